package wiretest

import (
	"fmt"
	"strings"
	"testing"
)

// The documented defaults.
const (
	maxMessage = 128 << 10
	maxHeader  = 32 << 10
	maxTopics  = 1024
	maxName    = 256
	maxReach   = 64
)

// topics returns a query with n topics.
func topics(n int) (query string) {
	for i := range n {
		query += fmt.Sprintf("&topic=%d", i)
	}
	return query
}

func testMaxMessage(t *testing.T, s server) {
	room := "/?topic=" + unique("big")
	listener := s.dial(t, room)
	most := strings.Repeat("x", maxMessage)
	third := most[:maxMessage/3]
	rest := most[:maxMessage-2*len(third)]
	for why, stream := range map[string][]byte{
		"the largest message":     appendFrame(nil, true, opText, []byte(most)),
		"in fragments":            frames("text:" + third + "- cont:" + third + "- cont:" + rest),
		"with pings in between":   frames("text:" + third + "- ping:xxx cont:" + third + "- pong:xxx cont:" + rest),
		"text that grows sixfold": appendFrame(nil, true, opText, []byte(strings.Repeat("\x01", maxMessage))),
	} {
		c := s.raw(t, room+"&echo=0")
		c.send(stream)
		if strings.HasPrefix(why, "text") {
			listener.hears(why, others(strings.Repeat(`\u0001`, maxMessage)))
			continue
		}
		listener.hears(why, others(most))
	}
	for why, stream := range map[string][]byte{
		"one byte more":          appendFrame(nil, true, opText, []byte(most+"x")),
		"one byte more, binary":  appendFrame(nil, true, opBinary, []byte(most+"x")),
		"in the second fragment": frames("text:" + most + "- cont:x"),
		"in many fragments":      frames("text:" + strings.Repeat(third+"- cont:", 4) + "x"),
		"announced only":         unhex("82 ff 00 00 00 01 00 00 00 00 37 fa 21 3d"),
		"as much as can be":      unhex("81 ff 7f ff ff ff ff ff ff ff 37 fa 21 3d 00"),
	} {
		c := s.raw(t, room)
		c.send(stream)
		if told := c.ends(); told.code() != 1009 || !strings.Contains(told.reason(), fmt.Sprint(maxMessage)) {
			t.Errorf("%s: told %v, want 1009 and the limit", why, told)
		}
	}
	listener.say("marker")
	listener.hears("nothing of what was too big", mine("marker"))
}

func testMaxHeader(t *testing.T, s server) {
	handshake := func(padding int) string {
		return strings.Replace(s.request("/"), "\r\n", "\r\nX-Padding: "+strings.Repeat("x", padding)+"\r\n", 1)
	}
	s.get(t, handshake(maxHeader/2)).wants(t, "a long header", 101, "")
	for _, request := range []string{
		handshake(2 * maxHeader),
		strings.Replace(s.request("/"), "\r\n", strings.Repeat("\r\nX: y", maxHeader), 1),
		s.request("/?topic=" + strings.Repeat("x", 2*maxHeader)),
	} {
		if a := s.get(t, request); a.status != 431 || a.body == "" {
			t.Errorf("%.60q… of %d bytes: %d %q", request, len(request), a.status, a.body)
		}
	}
}

func testMaxTopics(t *testing.T, s server) {
	name := strings.Repeat("x", maxName)
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/?" + topics(maxTopics), 101, ""},
		{"/?" + topics(maxTopics) + topics(10), 101, ""},
		{"/?" + topics(maxTopics+1), 400, "a connection is in at most 1024 topics\n"},
		{"/bridge?" + topics(maxTopics+1), 400, "a connection is in at most 1024 topics\n"},
		{"/?topic=" + name, 101, ""},
		{"/?topic=" + name + "x", 400, "a topic's name has at most 256 bytes\n"},
		{"/bridge?topicName=" + name + "x", 400, "a topic's name has at most 256 bytes\n"},
		{"/?topic=%ff", 400, "a topic's name is UTF-8\n"},
		{"/bridge?topicName=%fe", 400, "a topic's name is UTF-8\n"},
		{"/rooms?user=%ff", 400, "a user's name is UTF-8\n"},
		{"/rooms?user=" + name, 101, ""},
		{"/rooms?user=" + name + "x", 400, "a user's name has at most 256 bytes\n"},
	} {
		s.get(t, s.request(c.path)).wants(t, fmt.Sprintf("%.60s…", c.path), c.status, c.body)
	}
	c := s.dial(t, "/rooms")
	c.say(`{"action":"subscribe","topic":"` + name + `x"}`)
	c.hears("in rooms, too", `{"statusCode":500,"body":"A topic's name has at most 256 bytes"}`)
}

// testMaxReach: a message of broadcast goes to as many topics, and not to one
// more: who is in more of them can listen.
func testMaxReach(t *testing.T, s server) {
	room := "/?topic=" + unique("reach")
	listener, far, tooFar := s.dial(t, room), s.dial(t, room+topics(maxReach-1)), s.dial(t, room+topics(maxReach))
	far.say("to 64 topics")
	listener.hears("the most there may be", others("to 64 topics"))
	tooFar.hears("it can listen", others("to 64 topics"))
	tooFar.say("to 65 topics")
	if got := tooFar.next(); !strings.HasPrefix(got, `{"message": "a message goes to at most 64 topics", `) {
		t.Errorf("who says something to 65 topics hears %s", got)
	}
	listener.say("marker")
	listener.hears("nothing of that", mine("marker"))
}
