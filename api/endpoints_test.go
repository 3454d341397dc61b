package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// An endpointAPI sends events to a server, and remembers what that gets, and
// what is reported.
type endpointAPI struct {
	*API
	reports []Report
	mu      sync.Mutex
	got     []string
}

const endpointsFile = `
routes: {http: {integration: http, routeResponse: true}, invoke: {integration: invoke, routeResponse: true},
  moved: {integration: moved, routeResponse: true}, failed: failed, missing: missing, slow: slow, big: big, down: down}
integrations:
  http: {http: "URL/http"}
  invoke: {invoke: "URL/invoke"}
  moved: {http: "URL/moved"}
  failed: {invoke: "URL/failed"}
  missing: {invoke: "URL/missing"}
  slow: {http: {url: "URL/slow", timeout: 20ms}}
  big: {http: "URL/big"}
  down: {http: "http://127.0.0.1:1/"}
`

func openEndpoints(t *testing.T) *endpointAPI {
	e := new(endpointAPI)
	server := httptest.NewServer(http.HandlerFunc(e.answer))
	t.Cleanup(server.Close)
	f, err := Parse("crier.yaml", []byte(strings.ReplaceAll(endpointsFile, "URL", server.URL)))
	if err != nil {
		t.Fatal(err)
	}
	report := func(r Report) { e.reports = append(e.reports, r) }
	e.API, err = Open(f, Options{NewID: func() string { return "id" }, Report: report, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func (e *endpointAPI) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	e.got = append(e.got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body[:18]))
	e.mu.Unlock()
	switch r.URL.Path {
	case "/http":
		w.Header().Set("Sec-WebSocket-Protocol", "chat")
		w.WriteHeader(202)
		w.Write([]byte("b\xffdy"))
	case "/invoke":
		w.Write([]byte(`{"statusCode":200,"body":"invoked"}`))
	case "/failed":
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		w.Write([]byte(`{"errorType":"TypeError","errorMessage":"no"}`))
	case "/missing":
		http.Error(w, "no such function", 404)
	case "/moved":
		http.Redirect(w, r, "/http", http.StatusFound)
	case "/slow":
		<-r.Context().Done()
	case "/big":
		w.Write(make([]byte, maxAnswer+1))
	}
}

// TestEndpoints: events go to web servers and invoke endpoints, and their answers count as a function's would.
func TestEndpoints(t *testing.T) {
	e := openEndpoints(t)
	for i, test := range []struct{ route, frame, cause string }{
		{"http", "b\xffdy", ""},
		{"invoke", "invoked", ""},
		{"moved", "", ""},
		{"failed", "Internal server error", "TypeError: no"},
		{"missing", "Internal server error", "the invoke endpoint answers 404 Not Found: no such function"},
		{"slow", "Endpoint request timed out", "deadline"},
		{"big", "Internal server error", "answers with more than 6291456 bytes"},
		{"down", "Internal server error", "connection refused"},
	} {
		frame := string(e.Message(newConnection(), fmt.Appendf(nil, `{"action":%q}`, test.route), false)(context.Background()))
		if !strings.Contains(frame, test.frame) || test.cause == "" && frame != test.frame {
			t.Errorf("%s: got %q, want %q", test.route, frame, test.frame)
		}
		if cause := fmt.Sprint(e.reports[i].Cause); test.cause == "" && e.reports[i].Cause != nil || !strings.Contains(cause, test.cause) {
			t.Errorf("%s: the cause is %s, want %s", test.route, cause, test.cause)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.got[0] != `POST /http application/json {"requestContext":` {
		t.Errorf("the endpoint got %s", e.got[0])
	}
}
