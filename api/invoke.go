package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Functions returns the names of the functions that crier runs, in order.
func (f *File) Functions() (names []string) {
	for name, c := range f.Integrations {
		if c.Lambda != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// OnlyFunction removes all integrations except one function.
func (f *File) OnlyFunction(name string) error {
	names := f.Functions()
	if !slices.Contains(names, name) {
		if len(names) == 0 {
			names = []string{"none"}
		}
		return fmt.Errorf("there is no function %s; there are %s", name, strings.Join(names, ", "))
	}
	f.only(name)
	return nil
}

// Invoke invokes a function with an event that is not about a connection, and
// returns its answer. An empty event becomes {}.
func (a *API) Invoke(ctx context.Context, function string, event []byte) ([]byte, error) {
	if len(event) == 0 {
		event = []byte("{}")
	}
	if !json.Valid(event) {
		return nil, errors.New(`the event of a function is JSON, such as {"key": "value"}`)
	}
	return a.function(function).Invoke(ctx, event)
}

// Try gives an invented event to the integration of a route and returns the
// result. route is $connect, $disconnect, $default or another key of the file.
func (a *API) Try(ctx context.Context, c *Connection, route string, body []byte) ([]byte, Report) {
	config, ok := a.file.Routes[route]
	if !ok {
		return nil, Report{Route: route, Cause: fmt.Errorf("there is no route %s; there are %s", route, list(a.file.Routes))}
	}
	var ev event
	switch route {
	case "$connect":
		ev = a.newEvent(c, connect, route)
		ev.setHandshake(Handshake{Spell: strings.Clone})
	case "$disconnect":
		ev = a.newEvent(c, disconnect, route)
		ev.setGoodbye(1005, NoStatusReason)
	default:
		ev = a.newEvent(c, message, route)
		ev.RequestContext.MessageID = a.options.NewID()
		ev.setBody(body, false)
	}
	payload, report := a.start(config.Integration, c.ID, ev)(ctx)
	if said, err := parseAnswer(payload); report.Cause == nil && err == nil {
		report.take(said)
	}
	return payload, report
}
