package lambda

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestInvokeAPI: functions are invoked by name, with and without waiting.
func TestInvokeAPI(t *testing.T) {
	echo := openFunction(t, "node", "index.echo", nil)
	throws := openFunction(t, "node", "index.throws", nil)
	prints := openFunction(t, "python", "app.exits", nil)
	a, err := NewInvokeAPI(func(name string) (*Function, func()) {
		return map[string]*Function{"echo": echo.Function, "throws": throws.Function, "prints": prints.Function}[name], func() {}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, test := range []struct {
		name, kind, body string
		status           int
		want             string
		header           string // name and value
	}{
		{"echo", "", `{"a":1}`, 200, `{"a":1}`, "X-Amz-Executed-Version $LATEST"},
		{"echo", "RequestResponse", `[]`, 200, `[]`, ""},
		{"arn:aws:lambda:eu-west-1:123456789012:function:echo:7", "", `1`, 200, `1`, ""},
		{"echo:$LATEST", "", `1`, 200, `1`, ""},
		{"throws", "", `{}`, 200, `"errorType":"RangeError","errorMessage":"thrown"`, "X-Amz-Function-Error Unhandled"},
		{"echo", "", ``, 200, `{}`, ""},
		{"echo", "", `nope`, 400, `Could not parse request body into json`, "X-Amzn-Errortype InvalidRequestContentException"},
		{"throws", "", `{}`, 200, `"trace":[`, ""},
		{"prints", "Event", `{}`, 202, ``, ""},
		{"echo", "DryRun", `{}`, 204, ``, ""},
		{"echo", "Later", `{}`, 400, `there is no invocation type \"Later\"`, "X-Amzn-Errortype InvalidParameterValueException"},
		{"nobody", "", `{}`, 404, `Function not found: nobody`, "X-Amzn-Errortype ResourceNotFoundException"},
		{"echo", "", strings.Repeat("x", maxPayload+1), 413, `an event has at most 6291456 bytes`, "X-Amzn-Errortype RequestTooLargeException"},
	} {
		r, err := http.NewRequest("POST", a.URL()+"/2015-03-31/functions/"+test.name+"/invocations", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		if test.kind != "" {
			r.Header.Set("X-Amz-Invocation-Type", test.kind)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != test.status || !strings.Contains(string(got), test.want) {
			t.Errorf("%s %s: got %d %.200s, want %d %s", test.name, test.kind, resp.StatusCode, got, test.status, test.want)
		}
		if name, value, ok := strings.Cut(test.header, " "); ok && resp.Header.Get(name) != value {
			t.Errorf("%s %s: %s is %q, want %q", test.name, test.kind, name, resp.Header.Get(name), value)
		}
	}
	prints.printed.waitFor(t, "I leave")
}
