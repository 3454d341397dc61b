package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"crier/fair"
	"crier/lambda"
)

// A fake is an integration that remembers what it got, and from whom.
type fake struct {
	events []string
	from   []string
	answer string
	err    error
	hangs  bool
	full   bool
}

func (f *fake) Start(from string, event []byte) (func(context.Context) ([]byte, error), error) {
	f.events = append(f.events, string(event))
	f.from = append(f.from, from)
	if f.full {
		return nil, fair.ErrFull
	}
	return func(ctx context.Context) ([]byte, error) {
		if f.hangs {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return []byte(f.answer), f.err
	}, nil
}

type testAPI struct {
	*API
	main, guard fake
	reports     []Report
}

// newTestAPI makes an API whose integrations main and guard are fakes.
func newTestAPI(t *testing.T, file string) *testAPI {
	t.Helper()
	f, err := Parse("crier.yaml", []byte(file+"\nintegrations: {main: {mock: }, guard: {mock: }}"))
	if err != nil {
		t.Fatal(err)
	}
	ids := 0
	a := &testAPI{main: fake{answer: `{"statusCode":200}`}}
	options := Options{
		NewID:   func() string { ids++; return fmt.Sprintf("request-%d=", ids) },
		Timeout: time.Second,
		Report:  func(r Report) { a.reports = append(a.reports, r) },
		Log:     slog.New(slog.DiscardHandler),
	}
	if a.API, err = Open(f, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	a.integrations["main"] = &a.main
	a.integrations["guard"] = &a.guard
	if a.authorizer != nil {
		a.authorizer.Integration = &a.guard
	}
	return a
}

func newConnection() *Connection {
	return &Connection{ID: "JC1dgf9yoAMCK-g=", Domain: "localhost:8080", SourceIP: "192.0.2.1", Connected: time.UnixMilli(1707502303419)}
}

func newHandshake(query string, headers ...string) Handshake {
	h := Handshake{Header: http.Header{}, Spell: strings.Clone}
	h.Query, _ = url.ParseQuery(query)
	for i := 0; i < len(headers); i += 2 {
		h.Header.Add(headers[i], headers[i+1])
	}
	return h
}

const allRoutes = "routes: {$connect: main, $disconnect: main, $default: main}\n"

// sameEvent compares an event with what is wanted, in which times and traces may be "…".
func sameEvent(t *testing.T, got, want string) {
	t.Helper()
	var g, w map[string]any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	context := g["requestContext"].(map[string]any)
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", context["requestTime"].(string))
	epoch := context["requestTimeEpoch"].(float64)
	if err != nil || int64(epoch)/1000 != at.Unix() || time.Since(at) > time.Minute {
		t.Errorf("requestTime %v and requestTimeEpoch %v differ, or are not now", context["requestTime"], epoch)
	}
	context["requestTime"], context["requestTimeEpoch"] = "…", "…"
	if headers, ok := g["headers"].(map[string]any); ok && headers["X-Amzn-Trace-Id"] != nil {
		if trace := headers["X-Amzn-Trace-Id"].(string); len(trace) != len("Root=1-65c66a1f-0123456789abcdef01234567") {
			t.Errorf("trace id %q", trace)
		}
		headers["X-Amzn-Trace-Id"] = "…"
		g["multiValueHeaders"].(map[string]any)["X-Amzn-Trace-Id"] = []any{"…"}
	}
	if !reflect.DeepEqual(g, w) {
		text, _ := json.MarshalIndent(g, "", "  ")
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// TestConnectEvent: the event is field for field that of API Gateway's documentation.
func TestConnectEvent(t *testing.T) {
	a := newTestAPI(t, allRoutes)
	a.Connect(context.Background(), newConnection(), newHandshake("token=s&token=t&empty=",
		"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "X-Multi", "a", "X-Multi", "b"))
	sameEvent(t, a.main.events[0], `{
		"headers": {
			"Host": "localhost:8080", "Sec-Websocket-Version": "13", "X-Multi": "b",
			"X-Amzn-Trace-Id": "…", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"
		},
		"multiValueHeaders": {
			"Host": ["localhost:8080"], "Sec-Websocket-Version": ["13"], "X-Multi": ["a", "b"],
			"X-Amzn-Trace-Id": ["…"], "X-Forwarded-For": ["192.0.2.1"], "X-Forwarded-Port": ["443"], "X-Forwarded-Proto": ["https"]
		},
		"queryStringParameters": {"token": "t", "empty": ""},
		"multiValueQueryStringParameters": {"token": ["s", "t"], "empty": [""]},
		"requestContext": {
			"routeKey": "$connect", "eventType": "CONNECT", "extendedRequestId": "request-1=", "requestTime": "…",
			"messageDirection": "IN", "stage": "dev", "connectedAt": 1707502303419, "requestTimeEpoch": "…",
			"identity": {"sourceIp": "192.0.2.1"}, "requestId": "request-1=", "domainName": "localhost:8080",
			"connectionId": "JC1dgf9yoAMCK-g=", "apiId": "criercrier"
		},
		"isBase64Encoded": false
	}`)
	c := newConnection()
	c.UserAgent = "Mozilla/5.0"
	h := newHandshake("", "x-forwarded-for", "198.51.100.1", "x-forwarded-proto", "http", "host", "elsewhere")
	h.Spell = strings.ToLower
	a.Connect(context.Background(), c, h)
	got := a.main.events[1]
	for _, want := range []string{`"X-Forwarded-For":"198.51.100.1, 192.0.2.1"`, `"X-Forwarded-Proto":"https"`, `"userAgent":"Mozilla/5.0"`, `"Host":"localhost:8080"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "ueryStringParameters") || strings.Contains(got, "elsewhere") {
		t.Errorf("without a query: %s", got)
	}
}

func TestMessageEvent(t *testing.T) {
	a := newTestAPI(t, "stageVariables: {colour: blue}\nroutes: {$default: main}\n")
	a.Message(newConnection(), []byte(`<{"action":"x"}> & `+"\u2028"), false)(context.Background())
	want := `{
		"stageVariables": {"colour": "blue"},
		"requestContext": {
			"routeKey": "$default", "messageId": "request-2=", "eventType": "MESSAGE", "extendedRequestId": "request-1=", "requestTime": "…",
			"messageDirection": "IN", "stage": "dev", "connectedAt": 1707502303419, "requestTimeEpoch": "…",
			"identity": {"sourceIp": "192.0.2.1"}, "requestId": "request-1=", "domainName": "localhost:8080",
			"connectionId": "JC1dgf9yoAMCK-g=", "apiId": "criercrier"
		},
		"body": "<{\"action\":\"x\"}> & \u2028", "isBase64Encoded": false
	}`
	sameEvent(t, a.main.events[0], want)
	if !strings.Contains(a.main.events[0], "> & ") {
		t.Errorf("escaped without need: %s", a.main.events[0])
	}
	a.Message(newConnection(), nil, false)(context.Background())
	a.Message(newConnection(), []byte{0, 255}, true)(context.Background())
	if got := a.main.events[1]; !strings.HasSuffix(got, `,"body":"","isBase64Encoded":false}`) {
		t.Errorf("an empty message: %s", got)
	}
	if got := a.main.events[2]; !strings.HasSuffix(got, `,"body":"AP8=","isBase64Encoded":true}`) {
		t.Errorf("a binary message: %s", got)
	}
}

func TestDisconnectEvent(t *testing.T) {
	a := newTestAPI(t, allRoutes)
	a.Disconnect(context.Background(), newConnection(), 1001, "")
	sameEvent(t, a.main.events[0], `{
		"headers": {"Host": "localhost:8080", "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""},
		"multiValueHeaders": {"Host": ["localhost:8080"], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]},
		"requestContext": {
			"routeKey": "$disconnect", "disconnectStatusCode": 1001, "eventType": "DISCONNECT", "extendedRequestId": "request-1=", "requestTime": "…",
			"messageDirection": "IN", "disconnectReason": "", "stage": "dev", "connectedAt": 1707502303419, "requestTimeEpoch": "…",
			"identity": {"sourceIp": "192.0.2.1"}, "requestId": "request-1=", "domainName": "localhost:8080",
			"connectionId": "JC1dgf9yoAMCK-g=", "apiId": "criercrier"
		},
		"isBase64Encoded": false
	}`)
}

// TestRouting: who gets a message.
func TestRouting(t *testing.T) {
	const routes = "routes: {$connect: main, $disconnect: main, join: main, '1': main, a/b: main, %s}"
	for message, want := range map[string]string{
		`{"action":"join"}`:     "join",
		`{"action":"Join"}`:     "$default",
		`{"action":1}`:          "1",
		`{"action":"a/b"}`:      "a/b",
		`{"action":"other"}`:    "$default",
		`{"action":"$connect"}`: "$default",
		`{"action":"$default"}`: "$default",
		`{"x":1}`:               "$default",
		`hello`:                 "$default",
		``:                      "$default",
	} {
		a := newTestAPI(t, fmt.Sprintf(routes, "$default: main"))
		a.Message(newConnection(), []byte(message), false)(context.Background())
		if got := a.reports[0].Route; got != want || !strings.Contains(a.main.events[0], fmt.Sprintf(`"routeKey":%q`, want)) {
			t.Errorf("%s: got %s, want %s", message, got, want)
		}
		a = newTestAPI(t, fmt.Sprintf(routes, ""))
		frame := a.Message(newConnection(), []byte(message), false)(context.Background())
		forbidden := string(frame) == `{"message": "Forbidden", "connectionId":"JC1dgf9yoAMCK-g=", "requestId":"request-1="}`
		if forbidden != (want == "$default") || forbidden != (len(a.main.events) == 0) {
			t.Errorf("%s, without $default: %s", message, frame)
		}
		if forbidden && (a.reports[0].Status != 403 || a.reports[0].Cause == nil) {
			t.Errorf("%s, without $default: reported %+v", message, a.reports[0])
		}
	}
}

const allow = `{"principalId":"user","policyDocument":{"Statement":[{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"}]}}`

// TestAuthorizer: who may connect.
func TestAuthorizer(t *testing.T) {
	policy := func(statements string) fake {
		return fake{answer: `{"principalId":"user","policyDocument":{"Version":"2012-10-17","Statement":` + statements + `}}`}
	}
	arn := "arn:aws:execute-api:us-east-1:123456789012:criercrier/dev/$connect"
	t.Setenv("AWS_REGION", "us-east-1")
	for _, test := range []struct {
		name  string
		query string
		guard fake
		want  int
	}{
		{"allowed", "token=t", fake{answer: allow}, 200},
		{"allowed by name", "token=t", policy(`{"Effect":"Allow","Action":["execute-api:*"],"Resource":["` + arn + `"]}`), 200},
		{"allowed by pattern", "token=t", policy(`[{"Effect":"Allow","Action":"EXECUTE-API:invoke","Resource":"arn:aws:execute-api:*:*:criercrie?/*"}]`), 200},
		{"denied", "token=t", policy(`[{"Effect":"Deny","Action":"execute-api:Invoke","Resource":"*"}]`), 403},
		{"denied and allowed", "token=t", policy(`[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*$connect"}]`), 403},
		{"allowed something else", "token=t", policy(`[{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"` + arn + `/x"}]`), 403},
		{"allowed another action", "token=t", policy(`[{"Effect":"Allow","Action":"execute-api:ManageConnections","Resource":"*"}]`), 403},
		{"nothing said", "token=t", policy(`[]`), 403},
		{"no identity", "", fake{answer: allow}, 401},
		{"empty identity", "token=", fake{answer: allow}, 401},
		{"threw Unauthorized", "token=t", fake{err: &lambda.Error{Type: "Error", Message: "Unauthorized"}}, 401},
		{"threw something else", "token=t", fake{err: errFunction}, 500},
		{"no policy", "token=t", fake{answer: `{"isAuthorized":true}`}, 500},
		{"garbage", "token=t", fake{answer: `yes`}, 500},
		{"nobody", "token=t", fake{answer: strings.Replace(allow, `"principalId":"user"`, `"principalId":""`, 1)}, 500},
		{"a condition", "token=t", policy(`[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]`), 500},
		{"all but an action", "token=t", policy(`[{"Effect":"Allow","NotAction":"x","Resource":"*"}]`), 500},
		{"an object in the context", "token=t", fake{answer: `{"principalId":"user","context":{"a":{}},"policyDocument":{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}}`}, 500},
		{"too late", "token=t", fake{hangs: true}, 500},
		{"too many wait", "token=t", fake{full: true}, 429},
	} {
		a := newTestAPI(t, allRoutes+"authorizer: {integration: guard, identitySource: [route.request.querystring.token]}")
		a.options.Timeout = 10 * time.Millisecond
		a.guard = test.guard
		got := a.Connect(context.Background(), newConnection(), newHandshake(test.query))
		if got.Status != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got.Status, test.want)
		}
		if asked := len(a.guard.events) > 0; asked != (test.query == "token=t") {
			t.Errorf("%s: asked %v", test.name, asked)
		}
		if connected := len(a.main.events) > 0; connected != (test.want == 200) {
			t.Errorf("%s: $connect asked %v", test.name, connected)
		}
		if r := a.reports[0]; r.Route != "authorizer" || r.Status != test.want || (r.Cause == nil) != (test.want == 200) {
			t.Errorf("%s: reported %+v", test.name, r)
		}
	}
}

// TestAuthorizerEvent: what an authorizer gets, and what later events tell of its decision.
func TestAuthorizerEvent(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	a := newTestAPI(t, allRoutes+"authorizer: guard")
	a.guard.answer = strings.Replace(allow, `{"principalId"`, `{"context":{"a":"text","n":1.50,"b":true,"none":null},"principalId"`, 1)
	c := newConnection()
	if got := a.Connect(context.Background(), c, newHandshake("", "Connection", "Upgrade", "Upgrade", "websocket")); got.Status != 200 {
		t.Fatalf("got %d", got.Status)
	}
	sameEvent(t, a.guard.events[0], `{
		"type": "REQUEST", "methodArn": "arn:aws:execute-api:eu-west-1:123456789012:criercrier/dev/$connect",
		"headers": {
			"Host": "localhost:8080", "Connection": "Upgrade", "Upgrade": "websocket", "content-length": "0",
			"X-Amzn-Trace-Id": "…", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"
		},
		"multiValueHeaders": {
			"Host": ["localhost:8080"], "Connection": ["Upgrade"], "Upgrade": ["websocket"], "content-length": ["0"],
			"X-Amzn-Trace-Id": ["…"], "X-Forwarded-For": ["192.0.2.1"], "X-Forwarded-Port": ["443"], "X-Forwarded-Proto": ["https"]
		},
		"queryStringParameters": {}, "multiValueQueryStringParameters": {}, "stageVariables": {},
		"requestContext": {
			"routeKey": "$connect", "eventType": "CONNECT", "extendedRequestId": "request-1=", "requestTime": "…",
			"messageDirection": "IN", "stage": "dev", "connectedAt": 1707502303419, "requestTimeEpoch": "…",
			"identity": {"sourceIp": "192.0.2.1"}, "requestId": "request-1=", "domainName": "localhost:8080",
			"connectionId": "JC1dgf9yoAMCK-g=", "apiId": "criercrier"
		}
	}`)
	a.Message(c, []byte("x"), false)(context.Background())
	a.Disconnect(context.Background(), c, 1000, "")
	for _, event := range a.main.events {
		if !strings.Contains(event, `"authorizer":{"a":"text","b":"true","n":"1.50","principalId":"user"}`) {
			t.Errorf("no authorizer, or another, in %s", event)
		}
	}
}

func TestIdentitySources(t *testing.T) {
	a := newTestAPI(t, allRoutes+"stageVariables: {colour: blue}")
	ev := a.newEvent(newConnection(), connect, "$connect")
	h := newHandshake("q=1&none=", "X-Token", "t")
	ev.setHandshake(h)
	for source, want := range map[string]bool{
		"route.request.header.X-Token": true, "route.request.header.x-token": true, "route.request.header.X-Other": false,
		"route.request.header.X-Forwarded-Proto": true, "route.request.header.host": true, // of API Gateway itself
		"route.request.querystring.q": true, "route.request.querystring.Q": false, "route.request.querystring.none": false,
		"stageVariables.colour": true, "stageVariables.size": false,
		"context.connectionId": true, "context.stage": true, "context.principalId": false,
	} {
		s, err := parseIdentitySource(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.in(ev, h); got != want {
			t.Errorf("%s: got %v", source, got)
		}
	}
}

// TestTry: an event by hand.
func TestTry(t *testing.T) {
	a := newTestAPI(t, allRoutes)
	for route, want := range map[string]string{"$connect": "CONNECT", "$disconnect": "DISCONNECT", "$default": "MESSAGE"} {
		a.main.events = nil
		answer, report := a.Try(context.Background(), newConnection(), route, []byte("hi"))
		if string(answer) != `{"statusCode":200}` || report.Cause != nil || report.Status != 200 || report.Route != route {
			t.Errorf("%s: %s, %+v", route, answer, report)
		}
		if !strings.Contains(a.main.events[0], `"eventType":"`+want+`"`) || strings.Contains(a.main.events[0], `"body":"hi"`) != (want == "MESSAGE") {
			t.Errorf("%s: %s", route, a.main.events[0])
		}
	}
	if _, report := a.Try(context.Background(), newConnection(), "nope", nil); report.Cause == nil || !strings.Contains(report.Cause.Error(), "there is no route nope; there are $connect, $default, $disconnect") {
		t.Errorf("got %v", report.Cause)
	}
}

// TestOpenFails: a function that cannot be is told by name, and what was started ends.
func TestOpenFails(t *testing.T) {
	f, err := Parse("testdata/crier.yaml", []byte("routes: {}\nintegrations: {good: {mock: }, wrong: {lambda: nowhere.handler}}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f, Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "function wrong: ") {
		t.Errorf("got %v", err)
	}
	if errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
