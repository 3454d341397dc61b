package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Kinds of events.
const (
	connect    = "CONNECT"
	message    = "MESSAGE"
	disconnect = "DISCONNECT"
)

const (
	// accountID and apiID stand in ARNs and events for what only AWS has.
	accountID = "123456789012"
	apiID     = "criercrier"
)

// An event is what a handler gets, in the order of API Gateway's own samples.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-integration-requests.html
type event struct {
	Type            string              `json:"type,omitempty"`      // of an authorizer's event
	MethodARN       string              `json:"methodArn,omitempty"` // of an authorizer's event
	Headers         map[string]string   `json:"headers,omitempty"`
	MultiHeaders    map[string][]string `json:"multiValueHeaders,omitempty"`
	Query           any                 `json:"queryStringParameters,omitempty"`           // nil, or a map[string]string
	MultiQuery      any                 `json:"multiValueQueryStringParameters,omitempty"` // nil, or a map[string][]string
	StageVariables  any                 `json:"stageVariables,omitempty"`                  // nil, or a map[string]string
	RequestContext  requestContext      `json:"requestContext"`
	Body            *string             `json:"body,omitempty"`
	IsBase64Encoded *bool               `json:"isBase64Encoded,omitempty"`
}

type requestContext struct {
	RouteKey          string            `json:"routeKey"`
	MessageID         string            `json:"messageId,omitempty"`
	Authorizer        map[string]string `json:"authorizer,omitempty"`
	DisconnectStatus  uint16            `json:"disconnectStatusCode,omitempty"`
	EventType         string            `json:"eventType"`
	ExtendedRequestID string            `json:"extendedRequestId"`
	RequestTime       string            `json:"requestTime"`
	MessageDirection  string            `json:"messageDirection"`
	DisconnectReason  *string           `json:"disconnectReason,omitempty"`
	Stage             string            `json:"stage"`
	ConnectedAt       int64             `json:"connectedAt"`
	RequestTimeEpoch  int64             `json:"requestTimeEpoch"`
	Identity          identity          `json:"identity"`
	RequestID         string            `json:"requestId"`
	DomainName        string            `json:"domainName"`
	ConnectionID      string            `json:"connectionId"`
	APIID             string            `json:"apiId"`
}

type identity struct {
	UserAgent string `json:"userAgent,omitempty"` // absent if the client sent none
	SourceIP  string `json:"sourceIp"`
}

// newEvent makes the event that is the same for all kinds.
func (a *API) newEvent(c *Connection, kind, routeKey string) event {
	now := time.Now()
	id := a.options.NewID()
	encoded := false
	ev := event{
		IsBase64Encoded: &encoded,
		RequestContext: requestContext{
			RouteKey:          routeKey,
			EventType:         kind,
			ExtendedRequestID: id,
			RequestTime:       now.UTC().Format("02/Jan/2006:15:04:05 +0000"),
			MessageDirection:  "IN",
			Stage:             a.file.Stage,
			ConnectedAt:       c.Connected.UnixMilli(),
			RequestTimeEpoch:  now.UnixMilli(),
			Identity:          identity{UserAgent: c.UserAgent, SourceIP: c.SourceIP},
			RequestID:         id,
			DomainName:        c.Domain,
			ConnectionID:      c.ID,
			APIID:             apiID,
			Authorizer:        c.authorizer,
		},
	}
	if len(a.file.Variables) > 0 {
		ev.StageVariables = a.file.Variables
	}
	return ev
}

// encode writes an event as JSON. Nothing in one can fail to be encoded.
func (ev event) encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(ev)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// setBody gives the event a message.
func (ev *event) setBody(data []byte, binary bool) {
	text := string(data)
	encoded := binary || !utf8.Valid(data)
	if encoded {
		text = base64.StdEncoding.EncodeToString(data)
	}
	ev.Body, ev.IsBase64Encoded = &text, &encoded
}

// A Handshake is what a client sent to connect.
type Handshake struct {
	Header http.Header
	Query  url.Values
	Spell  func(name string) string // returns a header's name as the client wrote it
}

// setHandshake gives the event what only a handshake has.
func (ev *event) setHandshake(h Handshake) {
	ev.MultiHeaders = make(map[string][]string)
	for name, values := range h.Header {
		ev.MultiHeaders[h.Spell(name)] = values
	}
	source := ev.RequestContext.Identity.SourceIP
	if before := h.Header.Get("X-Forwarded-For"); before != "" {
		source = before + ", " + source
	}
	ev.setHeader("Host", ev.RequestContext.DomainName)
	ev.setHeader("X-Amzn-Trace-Id", "Root=1-"+traceOf(ev.RequestContext))
	ev.setHeader("X-Forwarded-For", source)
	// API Gateway has no other port, and no plain HTTP. crier's own port is in
	// domainName.
	ev.setHeader("X-Forwarded-Port", "443")
	ev.setHeader("X-Forwarded-Proto", "https")
	ev.Headers = lasts(ev.MultiHeaders)
	if len(h.Query) > 0 {
		ev.MultiQuery = h.Query
		ev.Query = lasts(h.Query)
	}
}

// setHeader replaces a header, however it is spelt.
func (ev *event) setHeader(name, value string) {
	ev.dropHeader(name)
	ev.MultiHeaders[name] = []string{value}
}

func (ev *event) dropHeader(name string) {
	for spelt := range ev.MultiHeaders {
		if strings.EqualFold(spelt, name) {
			delete(ev.MultiHeaders, spelt)
		}
	}
}

// withoutUpgrade removes what API Gateway keeps from a $connect handler.
func (ev *event) withoutUpgrade() {
	for _, name := range []string{"Connection", "Upgrade", "Content-Length"} {
		ev.dropHeader(name)
	}
	ev.Headers = lasts(ev.MultiHeaders)
}

// forAuthorizer makes it what an authorizer gets. What a $connect event lacks
// if there is none is empty there.
func (ev event) forAuthorizer(methodARN string) event {
	ev.Type, ev.MethodARN = "REQUEST", methodARN
	ev.IsBase64Encoded = nil
	ev.MultiHeaders = maps.Clone(ev.MultiHeaders)
	ev.setHeader("content-length", "0")
	ev.Headers = lasts(ev.MultiHeaders)
	if ev.StageVariables == nil {
		ev.StageVariables = map[string]string{}
	}
	if ev.Query == nil {
		ev.Query, ev.MultiQuery = map[string]string{}, map[string][]string{}
	}
	return ev
}

// setGoodbye gives the event what only the end of a connection has.
func (ev *event) setGoodbye(code uint16, reason string) {
	ev.RequestContext.DisconnectStatus = code
	ev.RequestContext.DisconnectReason = &reason
	ev.MultiHeaders = map[string][]string{
		"Host":            {ev.RequestContext.DomainName},
		"X-Forwarded-For": {""},
		"x-api-key":       {""},
		"x-restapi":       {""},
	}
	ev.Headers = lasts(ev.MultiHeaders)
}

// lasts returns the last value of each: API Gateway's way with repeated headers
// and parameters.
func lasts(multi map[string][]string) map[string]string {
	single := make(map[string]string, len(multi))
	for name, values := range multi {
		if len(values) > 0 {
			single[name] = values[len(values)-1]
		}
	}
	return single
}

// traceOf makes the digits of a trace id: the time in seconds, and something of
// the request's own.
func traceOf(c requestContext) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 8+1+24)
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[c.RequestTimeEpoch/1000>>shift&15])
	}
	b = append(b, '-')
	for i := range 12 {
		v := c.RequestID[i%len(c.RequestID)]
		b = append(b, digits[v>>4], digits[v&15])
	}
	return string(b)
}
