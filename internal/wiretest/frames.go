package wiretest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func testBinary(t *testing.T, s server) {
	room := "/?topic=" + unique("binary")
	ann, bob := s.dial(t, room), s.dial(t, room)
	for _, data := range []string{"\x00\xff\xfe", `{"a":1}`, "", "plain text", strings.Repeat("\x80", 70_000)} {
		ann.sayBinary(data)
		ann.hears("the sender's copy is no other", fmt.Sprintf("binary %x", data))
		bob.hears("binary stays binary, and has no stamp", fmt.Sprintf("binary %x", data))
	}
}

func testFragments(t *testing.T, s server) {
	c := s.raw(t, "/?topic="+unique("fragments"))
	long := strings.Repeat("x", 40_000)
	for _, test := range []struct {
		why, sent string
		want      []string
	}{
		{"two fragments are one message", "text:Hel- cont:lo", []string{"text:" + mine("Hello")}},
		{"empty fragments, too", "text:- cont:- cont:Hello- cont:", []string{"text:" + mine("Hello")}},
		{"nothing but empty fragments", "text:- cont:- cont:", []string{"text:" + mine("")}},
		{"binary in fragments", "binary:\xff- cont:\xfe", []string{"binary:\xff\xfe"}},
		{"a ping between fragments is answered at once", "text:Hel- ping:now? cont:lo", []string{"pong:now?", "text:" + mine("Hello")}},
		{"a pong between fragments is none of it", "text:Hel- pong:x cont:l- pong: cont:o", []string{"text:" + mine("Hello")}},
		{"a ping's payload is anything", "text:a- ping:\xff\x00 cont:b", []string{"pong:\xff\x00", "text:" + mine("ab")}},
		{"a character split over fragments", "text:\xf0- cont:\x9f- ping: cont:\x98\x80", []string{"pong:", "text:" + mine("😀")}},
		{"a character split over three", "text:a\xe2- cont:\x82- cont:\xac!", []string{"text:" + mine("a€!")}},
		{"long fragments", "text:" + long + "- cont:" + long, []string{"text:" + mine(long+long)}},
		{"messages follow each other", "text:a text:b- cont:c binary:d", []string{"text:" + mine("a"), "text:" + mine("bc"), "binary:d"}},
	} {
		c.send(frames(test.sent))
		c.gets(test.why, test.want...)
		if len(test.sent) > 1000 {
			continue
		}
		for _, b := range frames(test.sent) {
			c.send([]byte{b})
		}
		c.gets(test.why+", byte by byte", test.want...)
	}
	c.send(oneByteFragments("κόσμε 😀"))
	c.gets("each byte in a fragment", "text:"+mine("κόσμε 😀"))
}

// oneByteFragments is a text message with each byte in a fragment of its own.
func oneByteFragments(text string) (stream []byte) {
	op := byte(opText)
	for _, b := range []byte(text) {
		stream = appendFrame(stream, false, op, []byte{b})
		op = opContinuation
	}
	return appendFrame(stream, true, op, nil)
}

func testPings(t *testing.T, s server) {
	for _, app := range []string{"/?topic=" + unique("pings"), "/bridge?topicName=" + unique("pings"), "/rooms", "/directory"} {
		c := s.raw(t, app)
		long := strings.Repeat("p", 125)
		c.send(frames("ping: ping:a ping:" + long))
		c.gets("a pong has the ping's payload", "pong:", "pong:a", "pong:"+long)
		c.send(frames("pong:unasked ping:b"))
		c.gets("an unasked pong is not answered", "pong:b")
	}
}

// testPingsThatNobodyReads: who asks for much and does not read slows down itself, and loses nothing.
func testPingsThatNobodyReads(t *testing.T, s server) {
	const pings = 50_000 // more than all buffers on the way hold
	c := s.raw(t, "/?topic="+unique("pings"))
	payload := func(i int) string { return fmt.Sprintf("%0100d", i) }
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		var stream []byte
		for i := range pings {
			stream = append(stream[:0], appendFrame(nil, true, opPing, []byte(payload(i)))...)
			if _, err := c.nc.Write(stream); err != nil {
				t.Errorf("ping %d: %v", i, err)
				return
			}
		}
	})
	for i := range pings {
		f, err := readFrame(c.in)
		if err != nil || f.op != opPong || string(f.payload) != payload(i) {
			t.Errorf("pong %d: %v %v", i, f, err)
			return
		}
	}
}

func testClosingHandshake(t *testing.T, s server) {
	for _, sent := range []string{
		"", closing(1000, ""), closing(1000, "bye"), closing(1001, "the page was left"), closing(1003, ""), closing(1007, ""),
		closing(1011, ""), closing(1014, ""), closing(3000, ""), closing(4999, "mine"), closing(1000, strings.Repeat("é", 61)),
	} {
		c := s.raw(t, "/?topic="+unique("closing"))
		c.send(frames("text:hello"))
		c.gets("it works", "text:"+mine("hello"))
		c.send(appendFrame(nil, true, opClose, []byte(sent)))
		want := frame{opClose, []byte(sent)}.code()
		if told := c.ends(); told.code() != want {
			t.Errorf("closed with %d, the answer is %v", want, told)
		}
	}
}

// testNothingCountsAfterClose: neither what is said nor what is done wrong.
func testNothingCountsAfterClose(t *testing.T, s server) {
	room := unique("late")
	listener := s.dial(t, "/?topic="+room)
	for _, late := range []string{"text:late", "ping:late", "close:\x03\xe8", "cont:late"} {
		c := s.raw(t, "/?topic="+room)
		c.send(append(frames("text:before- cont:! close:\x03\xe8"), frames(late)...))
		if told := c.ends(); told.code() != 1000 {
			t.Errorf("close, then %s: the answer is %v", late, told)
		}
		listener.hears("what was said before the close", others("before!"))
	}
	c := s.raw(t, "/?topic="+room)
	c.send(append(frames("text:- ping: close:\x0f\xa0"), 0xff, 0xff))
	if told := c.ends(); told.code() != 4000 {
		t.Errorf("a close amid a message, then nonsense: the answer is %v", told)
	}
	listener.say("marker")
	listener.hears("nothing after the close", mine("marker"))
}
