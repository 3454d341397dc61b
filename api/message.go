package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"crier/fair"
)

// Message hands a message to the route that it selects, and returns at once.
// Where messages have to wait, connections take turns. reply waits for the
// answer and returns what to send to the client, or nil for nothing. It must be
// called once.
func (a *API) Message(c *Connection, data []byte, binary bool) (reply func(context.Context) []byte) {
	key, ok := a.file.Route(data)
	route := a.file.Routes[key]
	ev := a.newEvent(c, message, key)
	ev.RequestContext.MessageID = a.options.NewID()
	ev.setBody(data, binary)
	if !ok {
		selected, _ := a.file.Selection.Key(data)
		report := Report{Route: selected, Connection: c.ID, Status: http.StatusForbidden, Cause: errNoRoute}
		return func(context.Context) []byte {
			a.options.Report(report)
			return errorFrame(ev, "Forbidden")
		}
	}
	c.pending.Add(1)
	wait := a.start(route.Integration, c.ID, ev)
	return func(ctx context.Context) []byte {
		defer c.pending.Add(-1)
		payload, report := wait(ctx)
		frame := a.answer(ev, route, payload, &report)
		a.options.Report(report)
		return frame
	}
}

// maxBody is how many bytes a route may send back: "WebSocket API message
// payload: 128 KB".
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const maxBody = 128 << 10

var errNoRoute = errors.New("no such route, and no $default")

// answer returns what a route sends back, and completes the report.
func (a *API) answer(ev event, route RouteConfig, payload []byte, report *Report) []byte {
	switch {
	case errors.Is(report.Cause, context.DeadlineExceeded):
		report.Status = http.StatusGatewayTimeout
		return errorFrame(ev, "Endpoint request timed out")
	case errors.Is(report.Cause, fair.ErrFull):
		report.Status = http.StatusTooManyRequests
		return errorFrame(ev, "Too Many Requests")
	}
	var body []byte
	if report.Cause == nil {
		said, err := a.read(payload)
		report.take(said)
		if route.Respond {
			body = said.body
		}
		switch {
		case len(body) > maxBody:
			report.Cause = fmt.Errorf("%w: its body has %d bytes, and a message at most %d", errMalformed, len(body), maxBody)
		case err == nil:
		case route.Respond, a.options.Strict, !json.Valid(payload):
			report.Cause = err
		default:
			report.Doubt = err // but nothing of it is sent
		}
	}
	if report.Cause != nil {
		report.Status = http.StatusBadGateway
		return errorFrame(ev, "Internal server error")
	}
	return body
}
