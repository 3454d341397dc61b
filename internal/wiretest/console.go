package wiretest

import (
	"encoding/json"
	"testing"
)

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
