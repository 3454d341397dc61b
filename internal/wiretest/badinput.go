package wiretest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// badInput is what breaks a rule of RFC 6455, and the close code for it. The section is the rule's.
var badInput = []struct {
	rule   string
	stream []byte
	code   int
}{
	{"5.1 a client masks", unhex("81 05 48 65 6c 6c 6f"), 1002},
	{"5.1 also what is empty", unhex("81 00"), 1002},
	{"5.1 also its pings", unhex("89 00"), 1002},
	{"5.1 also its close frame", unhex("88 02 03 e8"), 1002},
	{"5.2 the first reserved bit", unhex("c1 80 37 fa 21 3d"), 1002},
	{"5.2 the second", unhex("a1 80 37 fa 21 3d"), 1002},
	{"5.2 the third", unhex("91 80 37 fa 21 3d"), 1002},
	{"5.2 all of them, in a ping", unhex("f9 80 37 fa 21 3d"), 1002},
	{"5.2 in a continuation", append(frames("text:a-"), unhex("c0 80 37 fa 21 3d")...), 1002},
	{"5.2 opcode 3", unhex("83 80 37 fa 21 3d"), 1002},
	{"5.2 opcode 7", unhex("87 80 37 fa 21 3d"), 1002},
	{"5.2 opcode 11", unhex("8b 80 37 fa 21 3d"), 1002},
	{"5.2 opcode 15", unhex("8f 80 37 fa 21 3d"), 1002},
	{"5.2 125 bytes in the form for more", unhex("81 fe 00 7d 37 fa 21 3d"), 1002},
	{"5.2 no bytes in the form for more", unhex("82 fe 00 00 37 fa 21 3d"), 1002},
	{"5.2 65535 bytes in the form for more", unhex("82 ff 00 00 00 00 00 00 ff ff 37 fa 21 3d"), 1002},
	{"5.2 no bytes in the longest form", unhex("82 ff 00 00 00 00 00 00 00 00 37 fa 21 3d"), 1002},
	{"5.2 the highest bit of a length", unhex("82 ff 80 00 00 00 00 00 00 00 37 fa 21 3d"), 1002},
	{"5.2 all bits of a length", unhex("82 ff ff ff ff ff ff ff ff ff 37 fa 21 3d"), 1002},
	{"5.4 nothing to continue", frames("cont:a"), 1002},
	{"5.4 nothing to continue, and more to come", frames("cont:a-"), 1002},
	{"5.4 nothing to continue after a message", frames("text:a- cont:b cont:c"), 1002},
	{"5.4 a message within a message", frames("text:a- text:b"), 1002},
	{"5.4 of another kind", frames("text:a- binary:b-"), 1002},
	{"5.4 after a ping", frames("binary:- ping: text:b"), 1002},
	{"5.5 a ping in fragments", frames("ping:a- cont:b"), 1002},
	{"5.5 a pong in fragments", frames("pong:a- cont:b"), 1002},
	{"5.5 a close frame in fragments", frames("close:\x03\xe8- cont:b"), 1002},
	{"5.5 a ping of 126 bytes", appendFrame(nil, true, opPing, make([]byte, 126)), 1002},
	{"5.5 a ping of 65536 bytes", appendFrame(nil, true, opPing, make([]byte, 1<<16)), 1002},
	{"5.5 a pong of 126 bytes", appendFrame(nil, true, opPong, make([]byte, 126)), 1002},
	{"5.5 a close frame of 126 bytes", appendFrame(nil, true, opClose, []byte(closing(1000, strings.Repeat("x", 124)))), 1002},
	{"5.5.1 half a close code", frames("close:\x03"), 1002},
	{"5.5.1 a reason that is not UTF-8", frames("close:" + closing(1000, "\xff")), 1007},
	{"5.5.1 a reason that is cut", frames("close:" + closing(1000, "a\xe2\x82")), 1007},
	{"7.4 close code 0", frames("close:" + closing(0, "")), 1002},
	{"7.4 close code 999", frames("close:" + closing(999, "")), 1002},
	{"7.4 close code 1004", frames("close:" + closing(1004, "")), 1002},
	{"7.4 close code 1005", frames("close:" + closing(1005, "")), 1002},
	{"7.4 close code 1006", frames("close:" + closing(1006, "")), 1002},
	{"7.4 close code 1015", frames("close:" + closing(1015, "")), 1002},
	{"7.4 close code 1016", frames("close:" + closing(1016, "")), 1002},
	{"7.4 close code 2999", frames("close:" + closing(2999, "")), 1002},
	{"7.4 close code 5000", frames("close:" + closing(5000, "")), 1002},
	{"7.4 close code 65535", frames("close:" + closing(65535, "")), 1002},
	{"8.1 not UTF-8", frames("text:a\xff"), 1007},
	{"8.1 in the second fragment", frames("text:a- cont:\xff"), 1007},
	{"8.1 amid a long text", frames("text:" + strings.Repeat("x", 5000) + "\xc3(" + strings.Repeat("x", 5000)), 1007},
	{"8.1 a lone continuation byte", frames("text:\x80"), 1007},
	{"8.1 a surrogate", frames("text:\xed\xa0\x80"), 1007},
	{"8.1 a pair of them", frames("text:\xed\xa0\xbd\xed\xb8\x80"), 1007},
	{"8.1 a surrogate split over fragments", frames("text:\xed- cont:\xa0- cont:\x80"), 1007},
	{"8.1 a longer form than needed", frames("text:\xc0\x80"), 1007},
	{"8.1 a much longer one", frames("text:\xf0\x80\x80\xaf"), 1007},
	{"8.1 split over fragments", frames("text:\xe0- cont:\x80- ping: cont:\xaf"), 1007},
	{"8.1 above U+10FFFF", frames("text:\xf4\x90\x80\x80"), 1007},
	{"8.1 five bytes", frames("text:\xf8\x88\x80\x80\x80"), 1007},
	{"8.1 cut at the end", frames("text:a\xe2\x82"), 1007},
	{"8.1 cut at the last fragment's end", frames("text:a- cont:\xf0\x9f- cont:\x98"), 1007},
	{"8.1 cut and nothing more", frames("text:\xf0- cont:"), 1007},
	{"10.4 too much", unhex("82 ff 00 00 00 00 00 02 00 01 37 fa 21 3d"), 1009},
}

// testBadInput: who breaks a rule is told which, and that is the end, whether it comes at once or byte by byte.
func testBadInput(t *testing.T, s server) {
	for _, bad := range badInput {
		for way, size := range map[string]int{"at once": len(bad.stream), "byte by byte": 1} {
			if size == 1 && len(bad.stream) > 1000 {
				continue
			}
			c := s.raw(t, "/?topic="+unique("bad"))
			for piece := range slices.Chunk(bad.stream, size) {
				c.send(piece)
			}
			checkTold(t, bad.rule+", "+way, c.ends(), bad.code)
		}
	}
}

// checkTold checks that a close frame has a code and a reason.
func checkTold(t *testing.T, what string, told frame, code int) {
	t.Helper()
	if told.code() != code || told.reason() == "" || !utf8.ValidString(told.reason()) {
		t.Errorf("%s: told %v, want %d and a reason", what, told, code)
	}
}

// testBadInputThenGone: it is told also if it has said before that nothing more will come, as netcat does.
func testBadInputThenGone(t *testing.T, s server) {
	for _, bad := range badInput {
		c := s.raw(t, "/?topic="+unique("bad"))
		c.send(bad.stream)
		c.halfClose()
		checkTold(t, bad.rule, c.ends(), bad.code)
	}
}

// testBadInputReachesNobody: what breaks a rule is not passed on; what came before it is.
func testBadInputReachesNobody(t *testing.T, s server) {
	room := "/?topic=" + unique("bad")
	listener := s.dial(t, room)
	for _, bad := range badInput {
		if bytes.HasPrefix(bad.stream, frames("text:a- cont:b cont:c")) {
			continue // begins with a good message
		}
		c := s.raw(t, room)
		c.send(append(frames("text:before"), bad.stream...))
		c.ends()
		listener.hears("what came before: "+bad.rule, others("before"))
	}
	listener.say("marker")
	listener.hears("nothing else came", mine("marker"))
}

// testCutShort: a stream that ends amid a frame ends, without fuss, and nothing of it is passed on.
func testCutShort(t *testing.T, s server) {
	room := "/?topic=" + unique("cut")
	listener := s.dial(t, room)
	for _, stream := range [][]byte{
		frames("text:a- cont:" + strings.Repeat("x", 200)), frames("binary:b"), frames("ping:p"), frames("close:\x03\xe8bye"),
		appendFrame(nil, true, opText, make([]byte, 1<<16))[:100], frames("text:a- ping:p")[:12],
	} {
		for n := range len(stream) {
			c := s.raw(t, room)
			c.send(stream[:n])
			c.halfClose()
			if told := c.ends(); told.op == opClose {
				t.Errorf("after %d bytes of % x… it is told %v", n, stream[:min(n, 10)], told)
			}
			c.nc.Close()
		}
	}
	c := s.raw(t, room)
	c.send(append(frames("text:whole"), frames("text:cut")[:8]...))
	c.halfClose()
	listener.hears("nothing that was cut short, but what is whole", others("whole"))
}

// testVanished: connections that are reset leave nothing behind.
func testVanished(t *testing.T, s server) {
	room := unique("vanished")
	for _, sent := range []string{"text:x", "text:x-", "ping:x", "close:\x03\xe8"} {
		for range 20 {
			c := s.raw(t, "/?topic="+room)
			c.send(frames(sent)[:4])
			reset(c.nc)
		}
	}
	eventually(t, "those who vanished are no members", func() bool { return len(s.members(t, "broadcast", room)) == 0 })
}
