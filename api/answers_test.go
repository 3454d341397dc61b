package api

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"crier/lambda"
)

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
