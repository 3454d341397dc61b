package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
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

var errFunction = &lambda.Error{Type: "TypeError", Message: "x is not a function"}

// TestConnectAnswers: what comes of a handshake.
func TestConnectAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer fake
		want   int
		say    string
	}{
		{"accepted", fake{answer: `{"statusCode":200}`}, 200, ""},
		{"any 2xx accepts", fake{answer: `{"statusCode":204,"body":"ignored"}`}, 200, ""},
		{"moved", fake{answer: `{"statusCode":301}`}, 301, "Moved Permanently"},
		{"bad request", fake{answer: `{"statusCode":400,"body":"why"}`}, 400, "Bad Request"},
		{"unauthorized", fake{answer: `{"statusCode":401}`}, 401, "Unauthorized"},
		{"forbidden", fake{answer: `{"statusCode":403}`}, 403, "Forbidden"},
		{"its own mistake", fake{answer: `{"statusCode":500}`}, 500, "Internal server error"},
		{"not implemented", fake{answer: `{"statusCode":501}`}, 501, "Not Implemented"},
		{"no status that HTTP has", fake{answer: `{"statusCode":99}`}, 502, "Internal server error"},
		{"threw", fake{err: errFunction}, 502, "Internal server error"},
		{"null", fake{answer: `null`}, 502, "Internal server error"},
		{"text", fake{answer: `"ok"`}, 502, "Internal server error"},
		{"a list", fake{answer: `[]`}, 502, "Internal server error"},
		{"a number", fake{answer: `200`}, 502, "Internal server error"},
		{"no status", fake{answer: `{}`}, 200, ""},
		{"no status, but a body", fake{answer: `{"body":"in"}`}, 200, ""},
		{"status is null", fake{answer: `{"statusCode":null}`}, 200, ""},
		{"status is digits", fake{answer: `{"statusCode":"200"}`}, 200, ""},
		{"status is other digits", fake{answer: `{"statusCode":"403"}`}, 403, "Forbidden"},
		{"status is text", fake{answer: `{"statusCode":"OK"}`}, 502, "Internal server error"},
		{"status is a fraction", fake{answer: `{"statusCode":200.5}`}, 502, "Internal server error"},
		{"status is Python's", fake{answer: `{"statusCode":200.0}`}, 200, ""},
		{"status is Go's zero", fake{answer: `{"statusCode":0,"headers":null,"multiValueHeaders":null,"body":""}`}, 502, "Internal server error"},
		{"a body that is an object", fake{answer: `{"statusCode":200,"body":{}}`}, 502, "Internal server error"},
		{"a body that is a number", fake{answer: `{"statusCode":200,"body":5}`}, 200, ""},
		{"headers that are none", fake{answer: `{"statusCode":200,"headers":[]}`}, 502, "Internal server error"},
		{"more than the status", fake{answer: `{"statusCode":200,"message":"in"}`}, 200, ""},
		{"another spelling", fake{answer: `{"StatusCode":200}`}, 502, "Internal server error"},
		{"something else", fake{answer: `{"isAuthorized":true}`}, 502, "Internal server error"},
		{"garbage", fake{answer: `<html>`}, 502, "Internal server error"},
		{"nothing", fake{}, 502, "Internal server error"},
		{"too late", fake{hangs: true}, 504, "Endpoint request timed out"},
		{"too many wait", fake{full: true}, 429, "Too Many Requests"},
		{"two headers in one", fake{answer: `{"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"a\r\nX: y"}}`}, 502, "Internal server error"},
	} {
		a := newTestAPI(t, allRoutes)
		a.options.Timeout = 10 * time.Millisecond
		a.main = test.answer
		got := a.Connect(context.Background(), newConnection(), newHandshake(""))
		want := Admission{Status: test.want}
		if test.want != 200 {
			want.Body = fmt.Appendf(nil, `{"message": "%s", "connectionId":"JC1dgf9yoAMCK-g=", "requestId":"request-1="}`, test.say)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %d %s, want %d %s", test.name, got.Status, got.Body, want.Status, want.Body)
		}
		if r := a.reports[0]; len(a.reports) != 1 || r.Route != "$connect" || r.Connection != "JC1dgf9yoAMCK-g=" || r.Integration != "main" || string(r.Event) != a.main.events[0] && !test.answer.full {
			t.Errorf("%s: reported %+v", test.name, a.reports)
		}
	}
	a := newTestAPI(t, "routes: {}")
	if got := a.Connect(context.Background(), newConnection(), newHandshake("")); got.Status != 200 {
		t.Errorf("without the route $connect: %d", got.Status)
	}
	a.Disconnect(context.Background(), newConnection(), 1000, "")
	if len(a.reports) != 0 {
		t.Errorf("reported %v", a.reports)
	}
}

func TestSubprotocol(t *testing.T) {
	for answer, want := range map[string]string{
		`{"statusCode":200}`: "",
		`{"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"chat"}}`:            "chat",
		`{"statusCode":200,"headers":{"sec-websocket-protocol":"chat","x":1}}`:      "chat",
		`{"statusCode":200,"multiValueHeaders":{"Sec-WebSocket-Protocol":["b"]}}`:   "b",
		`{"statusCode":200,"headers":{"Sec-WebSocket-Protocol":null,"other":"no"}}`: "",
	} {
		a := newTestAPI(t, allRoutes)
		a.main.answer = answer
		if got := a.Connect(context.Background(), newConnection(), newHandshake("")); got.Status != 200 || got.Protocol != want {
			t.Errorf("%s: got %d %q, want %q", answer, got.Status, got.Protocol, want)
		}
	}
}

// TestMessageAnswers: what is sent back, on routes without a route response and on routes with one.
func TestMessageAnswers(t *testing.T) {
	const (
		failed = `{"message": "Internal server error", "connectionId":"JC1dgf9yoAMCK-g=", "requestId":"request-1="}`
		late   = `{"message": "Endpoint request timed out", "connectionId":"JC1dgf9yoAMCK-g=", "requestId":"request-1="}`
		empty  = "an empty message"
		many   = `{"message": "Too Many Requests", "connectionId":"JC1dgf9yoAMCK-g=", "requestId":"request-1="}`
	)
	for _, test := range []struct {
		name           string
		answer         fake
		oneWay, twoWay string
		status         int // of the one-way route, as reported
	}{
		{"an answer", fake{answer: `{"statusCode":200,"body":"hi"}`}, "", "hi", 200},
		{"no body", fake{answer: `{"statusCode":200}`}, "", empty, 200},
		{"an empty body", fake{answer: `{"statusCode":200,"body":""}`}, "", empty, 200},
		{"no status", fake{answer: `{}`}, "", empty, 200},
		{"a number", fake{answer: `{"statusCode":200,"body":5}`}, "", "5", 200},
		{"an object", fake{answer: `{"statusCode":200,"body":{}}`}, "", failed, 200},
		{"more", fake{answer: `{"statusCode":200,"body":"hi","ok":true}`}, "", "hi", 200},
		{"something else", fake{answer: `{"ok":true}`}, "", failed, 0},
		{"base64", fake{answer: `{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`}, "", "hi", 200},
		{"no base64", fake{answer: `{"statusCode":200,"body":"?","isBase64Encoded":true}`}, "", failed, 200},
		{"its own mistake", fake{answer: `{"statusCode":500,"body":"sorry"}`}, "", "sorry", 500},
		{"null", fake{answer: `null`}, "", failed, 0},
		{"text", fake{answer: `"ok"`}, "", failed, 0},
		{"the longest", fake{answer: `{"statusCode":200,"body":"` + strings.Repeat("x", maxBody) + `"}`}, "", strings.Repeat("x", maxBody), 200},
		{"longer", fake{answer: `{"statusCode":200,"body":"` + strings.Repeat("x", maxBody+1) + `"}`}, "", failed, 200},
		{"garbage", fake{answer: `<html>`}, failed, failed, 502},
		{"threw", fake{err: errFunction}, failed, failed, 502},
		{"too late", fake{hangs: true}, late, late, 504},
		{"too many wait", fake{full: true}, many, many, 429},
	} {
		for _, two := range []bool{false, true} {
			a := newTestAPI(t, fmt.Sprintf("routes: {$default: {integration: main, routeResponse: %v}}", two))
			a.options.Timeout = 10 * time.Millisecond
			a.main = test.answer
			got := a.Message(newConnection(), []byte("x"), false)(context.Background())
			want := test.oneWay
			if two {
				want = test.twoWay
			}
			if want == empty {
				want = ""
				if got == nil {
					t.Errorf("%s: nothing is sent", test.name)
				}
			} else if got != nil && want == "" {
				t.Errorf("%s, route response %v: an empty message is sent", test.name, two)
			}
			if string(got) != want {
				t.Errorf("%s, route response %v: got %s, want %s", test.name, two, got, want)
			}
			if !two && a.reports[0].Status != test.status {
				t.Errorf("%s: reported %d, want %d", test.name, a.reports[0].Status, test.status)
			}
			if isError := strings.HasPrefix(want, `{"message"`); isError != (a.reports[0].Cause != nil) {
				t.Errorf("%s: the cause is %v", test.name, a.reports[0].Cause)
			}
		}
	}
}

// TestDoubts: what API Gateway may take otherwise is told, and refused where
// answers are read strictly.
func TestDoubts(t *testing.T) {
	const oneWay, twoWay = "routes: {$default: main, $connect: main}", "routes: {$default: {integration: main, routeResponse: true}}"
	for _, test := range []struct {
		answer, doubt       string
		connect, one, two   int // the status; 0: there is none
		strictly, oneStrict int // of the handshake, and of a message without response
	}{
		{`{"statusCode":200}`, "", 200, 200, 200, 200, 200},
		{`{"statusCode":200,"message":"in"}`, `knows no member "message"`, 200, 200, 200, 502, 502},
		{`{"body":"in"}`, "no statusCode", 200, 200, 200, 200, 200},
		{`null`, "it is null", 502, 0, 502, 502, 502},
		{`"ok"`, `it is "ok"`, 502, 0, 502, 502, 502},
		{`{"ok":true}`, `knows no member "ok"`, 502, 0, 502, 502, 502},
		{`{"statusCode":"OK"}`, `statusCode is "OK"`, 502, 0, 502, 502, 502},
		{`{"statusCode":200,"body":{"a":1}}`, `body is {"a":1}; want text`, 502, 200, 502, 502, 502},
	} {
		do := func(routes string, strict bool, event func(*testAPI)) Report {
			a := newTestAPI(t, routes)
			a.options.Strict = strict
			a.main.answer = test.answer
			event(a)
			return a.reports[0]
		}
		connect := func(a *testAPI) { a.Connect(context.Background(), newConnection(), newHandshake("")) }
		message := func(a *testAPI) { a.Message(newConnection(), []byte("x"), false)(context.Background()) }
		for _, r := range []struct {
			name   string
			got    Report
			status int
		}{
			{"handshake", do(oneWay, false, connect), test.connect},
			{"one way", do(oneWay, false, message), test.one},
			{"two ways", do(twoWay, false, message), test.two},
			{"handshake, strictly", do(oneWay, true, connect), test.strictly},
			{"one way, strictly", do(oneWay, true, message), test.oneStrict},
		} {
			if r.got.Status != r.status {
				t.Errorf("%s, %s: the status is %d, want %d", test.answer, r.name, r.got.Status, r.status)
			}
			if test.doubt == "no statusCode" && !strings.HasPrefix(r.name, "handshake") {
				continue
			}
			told := fmt.Sprint(r.got.Cause, r.got.Doubt)
			if !strings.Contains(told, test.doubt) || (test.doubt == "") != (told == "<nil> <nil>") {
				t.Errorf("%s, %s: told %s, want %s", test.answer, r.name, told, test.doubt)
			}
		}
	}
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

// TestEndpoints: events go to web servers and invoke endpoints, and their answers count as a function's would.
func TestEndpoints(t *testing.T) {
	var mu sync.Mutex
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body[:18]))
		mu.Unlock()
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
	}))
	defer server.Close()
	f, err := Parse("crier.yaml", []byte(strings.ReplaceAll(`
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
`, "URL", server.URL)))
	if err != nil {
		t.Fatal(err)
	}
	var reports []Report
	a, err := Open(f, Options{NewID: func() string { return "id" }, Report: func(r Report) { reports = append(reports, r) }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
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
		frame := string(a.Message(newConnection(), fmt.Appendf(nil, `{"action":%q}`, test.route), false)(context.Background()))
		if !strings.Contains(frame, test.frame) || test.cause == "" && frame != test.frame {
			t.Errorf("%s: got %q, want %q", test.route, frame, test.frame)
		}
		if cause := fmt.Sprint(reports[i].Cause); test.cause == "" && reports[i].Cause != nil || !strings.Contains(cause, test.cause) {
			t.Errorf("%s: the cause is %s, want %s", test.route, cause, test.cause)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if got[0] != `POST /http application/json {"requestContext":` {
		t.Errorf("the endpoint got %s", got[0])
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

// TestVariables: what functions find in their environment.
func TestVariables(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-north-1")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "the user's own")
	t.Setenv("AWS_PROFILE", "work")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://localhost:9000")
	t.Setenv("CRIER_ADMIN_KEY", "secret")
	t.Setenv("PLAIN", "kept")
	f, err := Parse("crier.yaml", []byte("environment: {ALL: a, OVER: all}\nroutes: {}\nintegrations: {m: {lambda: {handler: x.y, environment: {OVER: one, AWS_PROFILE: , UNSET: }}}}"))
	if err != nil {
		t.Fatal(err)
	}
	a := &API{file: f, options: Options{Variables: []string{"AWS_ACCESS_KEY_ID=dummy"}}}
	got := make(map[string]string)
	for _, v := range a.variables(f.Integrations["m"].Lambda) {
		name, value, _ := strings.Cut(v, "=")
		got[name] = value
	}
	for name, want := range map[string]string{
		"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-north-1", "AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_PROFILE": "work", "AWS_ENDPOINT_URL_S3": "http://localhost:9000", "CRIER_ADMIN_KEY": "", "PLAIN": "kept", "ALL": "a", "OVER": "one", "UNSET": "", "TZ": ":UTC",
		"AWS_SESSION_TOKEN": "local",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, there := got["UNSET"]; there {
		t.Error("UNSET is there")
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

// TestMessageReportsLater: whoever hands over a message, an event loop, does not wait for a report to be written.
func TestMessageReportsLater(t *testing.T) {
	a := newTestAPI(t, "routes: {$connect: main, known: main}")
	for _, message := range []string{`{"action":"known"}`, `{"action":"unknown"}`} {
		reply := a.Message(newConnection(), []byte(message), false)
		if len(a.reports) > 0 {
			t.Errorf("%s is reported before anybody asks for the reply", message)
		}
		reply(context.Background())
		if len(a.reports) != 1 {
			t.Errorf("%s is reported %d times", message, len(a.reports))
		}
		a.reports = nil
	}
}
