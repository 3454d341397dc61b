package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"crier/lambda"
)

// An Integration handles events.
type Integration interface {
	// Start hands an event over and returns at once. Events of one origin
	// keep the order in which they are started. If events have to wait,
	// origins take turns. The error is fair.ErrFull if too many wait
	// already, and nil otherwise.
	//
	// wait must be called once. It returns the integration's result: for a
	// proxy integration JSON such as {"statusCode":200}. Its error means
	// that the integration failed, or, if it is the context's, that it took
	// too long.
	Start(from string, event []byte) (wait func(context.Context) (payload []byte, err error), err error)
}

// maxAnswer is how many bytes are read of an endpoint's answer: as many as a
// Lambda function may answer.
const maxAnswer = 6 << 20

// An endpoint is an HTTP server that takes events as POST requests.
type endpoint struct {
	url     string
	timeout time.Duration
	gate    *gate
	client  *http.Client
	read    func(*http.Response, []byte) ([]byte, error)
}

func (a *API) newEndpoint(c *EndpointConfig, read func(*http.Response, []byte) ([]byte, error)) *endpoint {
	return &endpoint{c.URL, c.Timeout, newGate(c.Concurrency), a.client, read}
}

// Start implements Integration. The request is made by the goroutine that
// waits.
func (e *endpoint) Start(from string, event []byte) (wait func(context.Context) ([]byte, error), err error) {
	place, err := e.gate.join(from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.url, err)
	}
	return func(ctx context.Context) ([]byte, error) {
		if err := e.gate.pass(ctx, place); err != nil {
			return nil, fmt.Errorf("wait for earlier requests to %s: %w", e.url, err)
		}
		defer e.gate.leave()
		return e.post(ctx, event)
	}, nil
}

func (e *endpoint) post(ctx context.Context, event []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(event))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer of %s: %w", e.url, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("%s answers with more than %d bytes", e.url, maxAnswer)
	}
	return e.read(response, body)
}

// readHTTP turns a web server's response into a proxy's answer.
func readHTTP(response *http.Response, body []byte) ([]byte, error) {
	return json.Marshal(map[string]any{
		"statusCode":      response.StatusCode,
		"headers":         lasts(response.Header),
		"body":            base64.StdEncoding.EncodeToString(body),
		"isBase64Encoded": true,
	})
}

// readInvocation reads the answer of a Lambda invoke endpoint.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func readInvocation(response *http.Response, body []byte) ([]byte, error) {
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the invoke endpoint answers %s: %.200s", response.Status, body)
	}
	if kind := response.Header.Get("X-Amz-Function-Error"); kind != "" {
		failed := &lambda.Error{Type: kind, Message: string(body)}
		json.Unmarshal(body, failed) // if it is more than text
		return nil, failed
	}
	return body, nil
}

// A mock always gives the same answer.
type mock struct{ payload []byte }

func newMock(c *MockConfig) mock {
	answer := map[string]any{"statusCode": c.StatusCode}
	if c.Body != "" {
		answer["body"] = c.Body
	}
	payload, _ := json.Marshal(answer) // a number and a text: it cannot fail
	return mock{payload}
}

// Start implements Integration.
func (m mock) Start(string, []byte) (wait func(context.Context) ([]byte, error), err error) {
	return func(context.Context) ([]byte, error) { return m.payload, nil }, nil
}
