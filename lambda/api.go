package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxAnswer is how many bytes a function may answer. "Invocation payload
// (request and response): 6 MB each for request and response (synchronous)"
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxAnswer = 6 << 20

// A runtimeAPI serves the Lambda Runtime API to one process.
type runtimeAPI struct {
	polls   chan poll
	reports chan report

	arn      string
	listener net.Listener
	server   http.Server
	serving  sync.WaitGroup
	over     chan struct{}
	current  atomic.Pointer[string] // the id of the event that awaits its answer
}

// A poll is a runtime waiting for an event. answer has room for one.
type poll struct{ answer chan event }

// An event is an invocation as a runtime gets it.
type event struct {
	id       string
	payload  []byte
	deadline time.Time
}

// A report is what a runtime reports about an event, or, without an id, about
// its start.
type report struct {
	id      string
	payload []byte
	err     *Error
}

func (r report) outcome() outcome {
	if r.err != nil {
		return outcome{err: r.err}
	}
	return outcome{payload: r.payload}
}

func newRuntimeAPI(config Config) (*runtimeAPI, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &runtimeAPI{
		polls:    make(chan poll),
		reports:  make(chan report),
		arn:      fmt.Sprintf("arn:aws:lambda:%s:123456789012:function:%s", config.Region, config.Name),
		listener: l,
		over:     make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.failure)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", a.failure)
	a.server = http.Server{Handler: forPrograms(mux), ReadHeaderTimeout: 10 * time.Second}
	a.serving.Go(func() { a.server.Serve(l) }) // until close
	return a, nil
}

func (a *runtimeAPI) address() string { return a.listener.Addr().String() }

// close ends all requests and waits for them.
func (a *runtimeAPI) close() {
	close(a.over)
	a.server.Close()
	a.serving.Wait()
}

// next holds the request until there is an event.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	p := poll{answer: make(chan event, 1)}
	select {
	case a.polls <- p:
	case <-a.over:
		return
	case <-r.Context().Done():
		return
	}
	var ev event
	select {
	case ev = <-p.answer:
	case <-a.over:
		return
	case <-r.Context().Done():
		return
	}
	a.current.Store(&ev.id)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", ev.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(ev.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", a.arn)
	h.Set("Lambda-Runtime-Trace-Id", traceID(ev.id))
	w.Write(ev.payload)
}

// traceID makes a trace of an event's id, which is not sampled. X-Ray's SDKs
// need all three parts: without a parent they take the function for one that is
// still starting, and drop its segments.
// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
func traceID(id string) string {
	digits := strings.ReplaceAll(id, "-", "")
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), digits[8:], digits[:16])
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		failed := &Error{Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxAnswer)}
		a.take(report{id: r.PathValue("id"), err: failed})
		answer(w, http.StatusRequestEntityTooLarge, failed)
	case err != nil:
		answer(w, http.StatusBadRequest, &Error{Type: "InvalidRequest", Message: "the answer ended early"})
	default:
		a.accept(w, report{id: r.PathValue("id"), payload: payload})
	}
}

// failure takes an error of an invocation, or of the start if there is no id in
// the path.
func (a *runtimeAPI) failure(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxAnswer)) // as much of it as there is
	failed := &Error{Type: r.Header.Get("Lambda-Runtime-Function-Error-Type"), Message: string(body)}
	var said Error
	if json.Unmarshal(body, &said) == nil && said.Message+said.Type != "" {
		failed = &said
	}
	a.accept(w, report{id: r.PathValue("id"), err: failed})
}

// accept hands a report over and confirms that to the runtime.
func (a *runtimeAPI) accept(w http.ResponseWriter, r report) {
	if !a.take(r) {
		answer(w, http.StatusBadRequest, &Error{Type: "InvalidRequestID", Message: "Invalid request ID"})
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

// take hands a report over, unless it is about something else than the current
// event.
func (a *runtimeAPI) take(r report) bool {
	if r.id != "" {
		current := a.current.Load()
		if current == nil || *current != r.id || !a.current.CompareAndSwap(current, nil) {
			return false
		}
	}
	select {
	case a.reports <- r:
	case <-a.over:
	}
	return true
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
