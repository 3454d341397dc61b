package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// A runtimeAPI is our side of Lambda's Runtime API: it polls for events and
// answers them, one at a time.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
//
// AWS's library for Go, aws-lambda-go, does this and more. Unless it is built
// with a tag, it also serves an interface of the past through net/rpc, which
// finds methods by their names at run time. So the linker keeps all exported
// methods of all packages, which nearly doubles the program.
type runtimeAPI struct {
	url    string // of invocations
	client *http.Client
}

// newRuntimeAPI returns the API at address, HOST:PORT. Requests
// have no timeout, because a poll lasts until there is an event, and never go
// through a proxy.
func newRuntimeAPI(address string) *runtimeAPI {
	return &runtimeAPI{"http://" + address + "/2018-06-01/runtime/invocation/", &http.Client{Transport: &http.Transport{}}}
}

// run hands events to handle. It returns if it cannot reach the API or does
// not understand it; then the process should end, and Lambda starts another.
func (r *runtimeAPI) run(ctx context.Context, handle func(context.Context, []byte) ([]byte, error)) error {
	for {
		v, err := r.next(ctx)
		if err == nil {
			err = r.answer(ctx, v, handle)
		}
		if err != nil {
			return fmt.Errorf("the Runtime API: %w", err)
		}
	}
}

// An invocation is an event, and until when it must be answered.
type invocation struct {
	id       string
	trace    string // X-Ray's header
	deadline time.Time
	payload  []byte
}

func (r *runtimeAPI) next(ctx context.Context) (*invocation, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"next", nil)
	if err != nil {
		return nil, err
	}
	header, payload, err := r.do(request, http.StatusOK)
	if err != nil {
		return nil, err
	}
	const deadline = "Lambda-Runtime-Deadline-Ms"
	ms, err := strconv.ParseInt(header.Get(deadline), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("an event whose %s is %q", deadline, header.Get(deadline))
	}
	return &invocation{
		id:       header.Get("Lambda-Runtime-Aws-Request-Id"),
		trace:    header.Get("Lambda-Runtime-Trace-Id"),
		deadline: time.UnixMilli(ms),
		payload:  payload,
	}, nil
}

// answer sends what handle makes of an event.
func (r *runtimeAPI) answer(ctx context.Context, v *invocation, handle func(context.Context, []byte) ([]byte, error)) error {
	// The SDK passes it on. Lambda stops functions that invoke themselves
	// without end by it.
	// https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
	os.Setenv("_X_AMZN_TRACE_ID", v.trace)
	limited, cancel := context.WithDeadline(ctx, v.deadline)
	defer cancel()
	outcome := "/response"
	answer, err := handle(limited, v.payload)
	if err != nil {
		outcome = "/error"
		answer, err = json.Marshal(map[string]string{"errorType": "Error", "errorMessage": err.Error()})
	}
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+v.id+outcome, bytes.NewReader(answer))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	_, _, err = r.do(request, http.StatusAccepted)
	return err
}

// do sends a request, and returns the answer if it has the status that it
// should have.
func (r *runtimeAPI) do(request *http.Request, status int) (http.Header, []byte, error) {
	response, err := r.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != status {
		err = fmt.Errorf("%s %s: %s: %.1000s", request.Method, request.URL, response.Status, body)
	}
	return response.Header, body, err
}
