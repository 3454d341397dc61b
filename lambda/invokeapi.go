package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxPayload is how many bytes an event may have. See maxAnswer for the source.
const maxPayload = 6 << 20

// An InvokeAPI serves the part of Lambda's API with which functions invoke each
// other, and themselves.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
type InvokeAPI struct {
	find     func(name string) (f *Function, done func()) // nil: there is none
	listener net.Listener
	server   http.Server
	ctx      context.Context // of events whose results are not wanted
	cancel   context.CancelFunc
	serving  sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// NewInvokeAPI opens the API on a port of this machine. find returns a
// function, which is there until done is called, or nil.
func NewInvokeAPI(find func(name string) (f *Function, done func())) (*InvokeAPI, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the invoke API: %w", err)
	}
	a := &InvokeAPI{find: find, listener: l}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", a.invoke)
	a.server = http.Server{Handler: forPrograms(mux), ReadHeaderTimeout: 10 * time.Second}
	a.serving.Go(func() { a.server.Serve(l) }) // until Close
	return a, nil
}

// URL returns where the API is: the value for AWS_ENDPOINT_URL_LAMBDA.
func (a *InvokeAPI) URL() string { return "http://" + a.listener.Addr().String() }

// Close ends the API. The results of events under way are lost.
func (a *InvokeAPI) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.server.Close()
	a.serving.Wait()
}

func (a *InvokeAPI) invoke(w http.ResponseWriter, r *http.Request) {
	f, done := a.find(functionName(r.PathValue("name")))
	if f == nil {
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+r.PathValue("name"))
		return
	}
	defer func() { done() }()
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", fmt.Sprintf("an event has at most %d bytes", maxPayload))
		return
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) {
		refuse(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		a.answer(w, r, f, payload)
	case "Event":
		// The result shows only in the function's own output.
		wait, err := f.Start("", payload)
		if err != nil {
			refuse(w, http.StatusTooManyRequests, "TooManyRequestsException", err.Error())
			return
		}
		a.await(wait, done)
		done = func() {}
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusBadRequest, "InvalidParameterValueException", fmt.Sprintf("there is no invocation type %q", kind))
	}
}

// await calls done when an event whose result is not wanted has been handled.
func (a *InvokeAPI) await(wait func(context.Context) ([]byte, error), done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		done()
		return
	}
	a.serving.Go(func() {
		defer done()
		wait(a.ctx)
	})
}

// answer invokes a function and waits.
func (a *InvokeAPI) answer(w http.ResponseWriter, r *http.Request, f *Function, payload []byte) {
	out, err := f.Invoke(r.Context(), payload)
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	var failed *Error
	switch {
	case errors.As(err, &failed):
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		answer(w, http.StatusOK, failed)
	case err != nil:
		refuse(w, http.StatusTooManyRequests, "TooManyRequestsException", err.Error())
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Write(out)
	}
}

// functionName returns the name in a text that is a function's name or its ARN,
// with or without a version.
func functionName(text string) string {
	if _, name, ok := strings.Cut(text, ":function:"); ok {
		text = name
	}
	name, _, _ := strings.Cut(text, ":")
	return name
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("X-Amzn-Errortype", kind)
	answer(w, status, map[string]string{"Type": "User", "message": message})
}
