package wiretest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func testListConnections(t *testing.T, s server) {
	topic, user := unique("list"), unique("user")
	a, b := s.dial(t, "/?topic="+topic+"&topic="+topic+"-2"), s.dial(t, "/bridge?topicName="+topic)
	c := s.dial(t, "/rooms?user="+user)
	c.say(`{"action":"subscribe","topic":"` + topic + `"}`)
	c.next()
	for path, want := range map[string][]*client{
		"/@connections?topic=" + topic:                {a, b, c},
		"/@connections?topic=" + topic + "&app=rooms": {c},
		"/@connections?topic=" + topic + "-2":         {a},
		"/@connections?topic=" + topic + "-3":         {},
		"/@connections?user=" + user:                  {c},
		"/prod/@connections?topic=" + topic:           {a, b, c},
	} {
		list := s.list(t, path)
		if len(list) != len(want) {
			t.Errorf("%s lists %v, want %d connections", path, list, len(want))
			continue
		}
		for i, l := range list { // the oldest first, but a millisecond tells no order
			if !strings.Contains(l.Identity.UserAgent, "wiretest-") || i > 0 && l.ConnectedAt < list[i-1].ConnectedAt {
				t.Errorf("%s: %v stands at place %d", path, l, i)
			}
		}
	}
	for _, l := range s.list(t, "/@connections") {
		switch l.Identity.UserAgent {
		case a.name:
			if l.App != "broadcast" || l.User != "" || fmt.Sprint(l.Topics) != fmt.Sprint([]string{topic, topic + "-2"}) {
				t.Errorf("the broadcast client is listed as %v", l)
			}
		case c.name:
			if l.App != "rooms" || l.User != user || fmt.Sprint(l.Topics) != fmt.Sprint([]string{topic}) {
				t.Errorf("the rooms client is listed as %v", l)
			}
		}
	}
	if a := s.ask(t, "GET /@connections?topic="+unique("none")); a.body != "[]\n" {
		t.Errorf("an empty list is %q", a.body)
	}
}

func testListTopics(t *testing.T, s server) {
	topic, slashed := unique("topics"), unique("a/b")
	c, second := s.dial(t, "/?topic="+topic), s.dial(t, "/?topic="+topic+"&topic="+slashed)
	room := s.dial(t, "/rooms?user=zoe")
	room.say(`{"action":"subscribe","topic":"` + topic + `"}`)
	room.next()
	listed := func(path string) (lines []string) {
		var list []struct {
			App, Topic string
			Members    int
		}
		a := s.ask(t, "GET "+path)
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatalf("GET %s: %d %s", path, a.status, a.body)
		}
		for _, l := range list {
			if l.Topic == topic || l.Topic == slashed {
				lines = append(lines, fmt.Sprint(l.App, " ", strings.TrimRight(l.Topic, "abcdefghijklmnopqrstuvwxyz234567"), " ", l.Members))
			}
		}
		return lines
	}
	for path, want := range map[string]string{
		"/topics":               "[broadcast a/b- 1 broadcast topics- 2 rooms topics- 1]",
		"/topics/":              "[broadcast a/b- 1 broadcast topics- 2 rooms topics- 1]",
		"/topics?app=rooms":     "[rooms topics- 1]",
		"/topics?app=broadcast": "[broadcast a/b- 1 broadcast topics- 2]",
		"/topics?app=chat":      "[]",
	} {
		if got := fmt.Sprint(listed(path)); got != want {
			t.Errorf("GET %s: %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string][]string{
		"/topics/" + topic:                                   {c.id(), second.id(), "zoe"},
		"/topics/" + topic + "?app=rooms":                    {"zoe"},
		"/topics/" + strings.Replace(slashed, "/", "%2F", 1): {second.id()},
		"/topics/" + unique("none"):                          {},
	} {
		var got []string
		a := s.ask(t, "GET "+path)
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || !sameSet(got, want) {
			t.Errorf("GET %s: %d %s, want %q", path, a.status, a.body, want)
		}
	}
}

func sameSet(a, b []string) bool {
	count := make(map[string]int)
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// testDeleteTopic: its members get nothing of it any more. A client whose address
// named no other topic is told.
func testDeleteTopic(t *testing.T, s server) {
	topic := unique("delete")
	c, both := s.dial(t, "/?topic="+topic), s.dial(t, "/?topic="+topic+"&topic="+topic+"-2")
	room := s.dial(t, "/rooms")
	room.say(`{"action":"subscribe","topic":"` + topic + `"}`)
	room.next()
	s.ask(t, "DELETE /topics/"+topic+"?app=chat").wants(t, "in another app", 200, "0\n")
	s.ask(t, "DELETE /topics/"+topic+"?app=rooms").wants(t, "in one app", 200, "1\n")
	room.say(`{"action":"broadcast","topic":"` + topic + `","payload":1}`)
	room.hears("it is no member any more", `{"action":"broadcast","ok":true}`)
	c.say("still")
	c.hears("the other app's topic is another", mine("still"))
	both.hears("the other app's topic is another", others("still"))
	s.ask(t, "DELETE /topics/"+topic).wants(t, "in all apps", 200, "1\n")
	s.ask(t, "DELETE /topics/"+topic).wants(t, "again", 200, "0\n")
	s.ask(t, "POST /publish?topic="+topic+"&topic="+topic+"-2\nhi").is(t, "publish", 200)
	both.hears("it is in its other topic", others("hi"))
	c.isTold(1000, "topic-removed: the topic of this connection was removed")
	room.say(`{"action":"subscribe","topic":"`+topic+`"}`, `{"action":"broadcast","topic":"`+topic+`","payload":2}`)
	room.hears("it may come back", `{"action":"subscribe","topic":"`+topic+`","ok":true}`,
		`{"payload":2,"_topic":"`+topic+`","_now":<NOW>,"_me":true}`, `{"action":"broadcast","ok":true}`)
}
