package wiretest

import (
	"encoding/json"
	"strings"
	"testing"
)

// testPage: who looks with a browser sees a page, who asks otherwise is told that this is a WebSocket, and pages of other
// origins can load the client.
func testPage(t *testing.T, s server) {
	plain := s.but("Upgrade", "")
	a := s.get(t, strings.Replace(plain, "\r\n", "\r\nAccept: text/html,*/*;q=0.8\r\n", 1))
	if a.status != 200 || !strings.HasPrefix(a.body, "<!doctype html>") || !strings.HasPrefix(a.header.Get("Content-Security-Policy"), "default-src 'none'; ") {
		t.Errorf("a browser gets %d %.60q %v", a.status, a.body, a.header)
	}
	a = s.get(t, strings.Replace(plain, "\r\n", "\r\nAccept: */*\r\n", 1))
	if a.status != 426 || !strings.HasPrefix(a.body, "this is a WebSocket, broadcast: ") {
		t.Errorf("curl gets %d %.60q", a.status, a.body)
	}
	s.get(t, strings.Replace(s.request("/"), "\r\n", "\r\nAccept: text/html\r\n", 1)).is(t, "a handshake that would like a page", 101)
	a = s.ask(t, "GET /crier.js")
	if a.status != 200 || !strings.Contains(a.body, "export ") || a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("crier.js: %d %.60q %v", a.status, a.body, a.header)
	}
}

// testStats: what happens is counted.
func testStats(t *testing.T, s server) {
	type stats struct {
		Now                                             int64
		Connections                                     map[string]int
		Topics, Messages, Deliveries, BytesIn, BytesOut int
	}
	ask := func() (st stats) {
		t.Helper()
		a := s.ask(t, "GET /stats")
		if err := json.Unmarshal([]byte(a.body), &st); a.status != 200 || err != nil {
			t.Fatalf("GET /stats: %d %s %v", a.status, a.body, err)
		}
		return st
	}
	before := ask()
	room := "/?topic=" + unique("stats")
	ann, bob := s.dial(t, room), s.dial(t, room)
	ann.say("hello")
	ann.hears("a message in", mine("hello"))
	bob.hears("and two out", others("hello"))
	eventually(t, "what happens is counted", func() bool {
		now := ask()
		return now.Now >= before.Now && now.Connections["broadcast"] >= 2 && now.Topics >= 1 &&
			now.Messages > before.Messages && now.Deliveries >= before.Deliveries+2 &&
			now.BytesIn > before.BytesIn && now.BytesOut > before.BytesOut
	})
}

// testLimitedLists: a list can be cut short; of topics the largest come first then.
func testLimitedLists(t *testing.T, s server) {
	topic := unique("limit")
	s.dial(t, "/?topic="+topic)
	s.dial(t, "/?topic="+topic)
	if list := s.list(t, "/@connections?limit=1&topic="+topic); len(list) != 1 {
		t.Errorf("a list of one is %v", list)
	}
	if list := s.list(t, "/@connections?limit=3&topic="+topic); len(list) != 2 {
		t.Errorf("a list of at most three is %v", list)
	}
	var topics []struct{ Members int }
	a := s.ask(t, "GET /topics?limit=2")
	if err := json.Unmarshal([]byte(a.body), &topics); err != nil || len(topics) < 1 || len(topics) > 2 || topics[0].Members < topics[len(topics)-1].Members {
		t.Errorf("the two largest topics: %d %s", a.status, a.body)
	}
	s.ask(t, "GET /topics?limit=many").is(t, "no number", 400)
}
