package api

import (
	"context"
	"net/http"
	"testing"
	"time"

	"crier/lambda"
)

// TestReports: what became of an event is told with its status, what the answer
// says, and both as they went; but no event that nobody got.
func TestReports(t *testing.T) {
	const sorry = `{"statusCode":500,"body":"sorry"}`
	failed := fake{err: &lambda.Error{Type: "TypeError", Message: "no", Trace: []string{"at x"}}}
	say := func(a *testAPI) { a.Message(newConnection(), []byte("hi"), false)(context.Background()) }
	connect := func(a *testAPI) { a.Connect(context.Background(), newConnection(), newHandshake("")) }
	leave := func(a *testAPI) { a.Disconnect(context.Background(), newConnection(), 1000, "") }
	for _, test := range []struct {
		name, routes string
		main         fake
		do           func(*testAPI)
		status       int
		body, answer string
		nobody       bool // got the event
	}{
		{"well", allRoutes, fake{answer: `{"statusCode":200,"body":"hi"}`}, say, 200, "hi", `{"statusCode":200,"body":"hi"}`, false},
		{"a message", allRoutes, fake{answer: sorry}, say, 500, "sorry", sorry, false},
		{"two ways", "routes: {$default: {integration: main, routeResponse: true}}", fake{answer: sorry}, say, 500, "sorry", sorry, false},
		{"base64", allRoutes, fake{answer: `{"statusCode":500,"body":"aGk=","isBase64Encoded":true}`}, say, 500, "hi",
			`{"statusCode":500,"body":"aGk=","isBase64Encoded":true}`, false},
		{"a handshake", allRoutes, fake{answer: sorry}, connect, 500, "sorry", sorry, false},
		{"an end", allRoutes, fake{answer: sorry}, leave, 500, "sorry", sorry, false},
		{"a failure", allRoutes, failed, say, 502, "", `{"errorType":"TypeError","errorMessage":"no","stackTrace":["at x"]}`, false},
		{"a failed handshake", allRoutes, failed, connect, 502, "", `{"errorType":"TypeError","errorMessage":"no","stackTrace":["at x"]}`, false},
		{"no JSON", allRoutes, fake{answer: "<html>"}, say, 502, "", "<html>", false},
		{"too late", allRoutes, fake{hangs: true}, say, 504, "", "", false},
		{"too many", allRoutes, fake{full: true}, say, 429, "", "", true},
		{"no route", "routes: {$connect: main}", fake{}, say, 403, "", "", true},
	} {
		a := newTestAPI(t, test.routes)
		a.options.Timeout = 10 * time.Millisecond
		a.main = test.main
		test.do(a)
		if len(a.reports) != 1 {
			t.Fatalf("%s: there are %d reports", test.name, len(a.reports))
		}
		r := a.reports[0]
		if r.Status != test.status || string(r.Body) != test.body || string(r.Answer) != test.answer || (r.Event == nil) != test.nobody {
			t.Errorf("%s: reported %d %s, the answer %s, the event %s", test.name, r.Status, r.Body, r.Answer, r.Event)
		}
	}
}

// TestAuthorizerReports: an authorizer's event and answer are told, if it was
// asked.
func TestAuthorizerReports(t *testing.T) {
	const deny = `{"principalId":"ada","policyDocument":{"Statement":[]}}`
	for query, want := range map[string]struct {
		status        int
		asked, answer string
	}{"": {http.StatusUnauthorized, "", ""}, "token=x": {http.StatusForbidden, "asked", deny}} {
		a := newTestAPI(t, allRoutes+"authorizer: {integration: guard, identitySource: [route.request.querystring.token]}")
		a.guard.answer = deny
		a.Connect(context.Background(), newConnection(), newHandshake(query))
		r := a.reports[0]
		asked := ""
		if r.Event != nil {
			asked = "asked"
		}
		if len(a.reports) != 1 || r.Status != want.status || asked != want.asked || string(r.Answer) != want.answer {
			t.Errorf("%q: reported %+v", query, a.reports)
		}
	}
}
