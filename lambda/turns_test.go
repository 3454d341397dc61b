package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crier/fair"
)

// A patient function handles nothing before there is a file go. It answers with
// all events that it has got.
const patient = `
const fs = require('fs');
const all = [];
exports.handler = async (event) => {
  all.push(event);
  while (!fs.existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 2));
  return all.join(' ');
};`

// openPatient returns a patient function with one process, which has started,
// and lets it go.
func openPatient(t *testing.T) (f testFunction, let func()) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("index.js", patient)
	f = openFunction(t, "node", "index.handler", func(c *Config) { c.Directory = dir; c.Concurrency = 1 })
	f.await(t, "the process does not start", func() bool { return len(f.idle) > 0 })
	return f, func() { write("go", "") }
}

// TestTurns: the events of one origin are handled in the order in which they
// were started, and origins take turns.
func TestTurns(t *testing.T) {
	f, let := openPatient(t)
	longest := ""
	var waits []func(context.Context) ([]byte, error)
	for _, event := range strings.Fields("busy1 busy2 busy3 busy4 busy5 ann1 ann2 bob1") {
		wait, err := f.Start(event[:3], []byte(`"`+event+`"`))
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, wait)
	}
	let()
	for _, wait := range waits {
		got, err := wait(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > len(longest) {
			longest = string(got)
		}
	}
	if want := `"busy1 busy2 ann1 bob1 busy3 ann2 busy4 busy5"`; longest != want {
		t.Errorf("handled as %s, want %s", longest, want)
	}
}

// TestFull: events beyond the limit are refused, and those of other origins are
// not.
func TestFull(t *testing.T) {
	f, _ := openPatient(t)
	for i := range maxWaiting.PerKey + 1 { // the process has one
		if _, err := f.Start("busy", []byte("{}")); err != nil {
			t.Fatalf("event %d: %v", i+1, err)
		}
	}
	if _, err := f.Start("busy", []byte("{}")); !errors.Is(err, fair.ErrFull) {
		t.Errorf("one more: got %v", err)
	}
	wait, err := f.Start("ann", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := wait(context.Background()); !errors.Is(err, errClosed) {
		t.Errorf("at the end: got %v", err)
	}
}

// TestFullInvokeAPI: functions that invoke another one too often are told so,
// whether they wait or not.
func TestFullInvokeAPI(t *testing.T) {
	f, _ := openPatient(t)
	a, err := NewInvokeAPI(func(string) (*Function, func()) { return f.Function, func() {} })
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for range maxWaiting.PerKey + 1 {
		f.Start("", []byte("{}"))
	}
	for _, kind := range []string{"Event", "RequestResponse"} {
		r, err := http.NewRequest("POST", a.URL()+"/2015-03-31/functions/test/invocations", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Invocation-Type", kind)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got := fmt.Sprintln(resp.StatusCode, resp.Header.Get("X-Amzn-Errortype"), string(body))
		if !strings.HasPrefix(got, "429 TooManyRequestsException") || !strings.Contains(got, fair.ErrFull.Error()) {
			t.Errorf("%s: got %s", kind, got)
		}
	}
}
