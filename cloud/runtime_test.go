package cloud

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRuntime: events are answered one after the other, with what the handler
// returns or with its error, and the handler knows how long it may take.
func TestRuntime(t *testing.T) {
	t.Setenv("_X_AMZN_TRACE_ID", "")
	deadline := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	events := []string{`{"n":1}`, `{"n":2}`}
	var told []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n := len(told)
		switch {
		case r.Method == http.MethodPost:
			told = append(told, r.URL.Path+" "+string(body))
			w.WriteHeader(http.StatusAccepted)
		case r.URL.Path != "/2018-06-01/runtime/invocation/next":
			t.Errorf("got %s %s", r.Method, r.URL)
		case n == len(events):
			http.Error(w, "no more", http.StatusGone)
		default:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "id-"+strconv.Itoa(n))
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(deadline.UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Trace-Id", "Root="+strconv.Itoa(n))
			io.WriteString(w, events[n])
		}
	}))
	defer api.Close()
	handled := 0
	err := newRuntimeAPI(strings.TrimPrefix(api.URL, "http://")).run(t.Context(), func(ctx context.Context, payload []byte) ([]byte, error) {
		if got, ok := ctx.Deadline(); !ok || !got.Equal(deadline) {
			t.Errorf("the deadline is %v, want %v", got, deadline)
		}
		if got, want := os.Getenv("_X_AMZN_TRACE_ID"), "Root="+strconv.Itoa(handled); got != want {
			t.Errorf("the trace is %q, want %q", got, want)
		}
		handled++
		if handled == 2 {
			return nil, errors.New(`no "luck"`)
		}
		return payload, nil
	})
	if err == nil || !strings.Contains(err.Error(), "410 Gone: no more") {
		t.Errorf("ends with %v", err)
	}
	want := `/2018-06-01/runtime/invocation/id-0/response {"n":1}
/2018-06-01/runtime/invocation/id-1/error {"errorMessage":"no \"luck\"","errorType":"Error"}`
	if got := strings.Join(told, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRuntimeEnds: what is no Runtime API ends the function, and so does the
// context, also while there is nothing to do.
func TestRuntimeEnds(t *testing.T) {
	polled := make(chan bool, 1)
	idle := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		polled <- true
		<-r.Context().Done()
	})
	for _, c := range []struct {
		name, want string
		api        http.Handler
	}{
		{"no deadline", `Lambda-Runtime-Deadline-Ms is ""`, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})},
		{"another API", "404 Not Found", http.NotFoundHandler()},
		{"end", "context canceled", idle},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := httptest.NewServer(c.api)
			defer api.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				select {
				case <-polled:
					cancel()
				case <-ctx.Done():
				}
			}()
			err := newRuntimeAPI(strings.TrimPrefix(api.URL, "http://")).run(ctx, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ends with %v, want %s", err, c.want)
			}
		})
	}
}
