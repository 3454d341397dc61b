package wiretest

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"
)

// publishing is a request that publishes, with the lines that tell its length,
// and its body.
func (s server) publishing(topic, lines, body string) string {
	hostport, _ := s.host()
	return "POST /publish?topic=" + topic + " HTTP/1.1\r\nHost: " + hostport + "\r\n" + lines + "\r\n\r\n" + body
}

// wantsEnd checks that the server has nothing more to say on a connection.
func (c *raw) wantsEnd(why string) {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Errorf("%s: then comes %.200q, %v", why, rest, err)
	}
}

// open connects without a handshake.
func (s server) open(t *testing.T) *raw {
	t.Helper()
	nc, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &raw{t: t, nc: nc, in: bufio.NewReader(nc)}
}

// answered reads an answer and checks its status.
func (c *raw) answered(why string, status int) answer {
	c.t.Helper()
	a, err := readAnswer(c.in)
	if err != nil || a.status != status {
		c.t.Fatalf("%s: %d %s, %v, want %d", why, a.status, a.body, err, status)
	}
	return a
}

const chunkedHi = "2\r\nhi\r\n0\r\n\r\n"

// twoLengths are lines that let a proxy and a server disagree about where a
// request ends. RFC 9112, section 6.3
var twoLengths = []string{
	"Content-Length: 2\r\nTransfer-Encoding: chunked",
	"Transfer-Encoding: chunked\r\nContent-Length: 12",
	"content-length: 2\r\ntransfer-encoding: CHUNKED",
	"Transfer-Encoding:\r\n chunked\r\nX: y\r\nContent-Length: 0",
	"Content-Length: 2\r\nX: y\r\nTransfer-Encoding: chunked\r\nContent-Length: 2",
}

// testTwoLengths: such a request is refused, and is the last of its connection.
func testTwoLengths(t *testing.T, s server) {
	topic := unique("lengths")
	hears := s.dial(t, "/?topic="+topic)
	for _, lines := range twoLengths {
		c := s.open(t)
		c.send([]byte(s.publishing(topic, lines, chunkedHi) + s.publishing(topic, "Content-Length: 2", "no")))
		a := c.answered(lines, 400)
		if !strings.Contains(a.body, "Content-Length") || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%q: it is told %q", lines, a.body)
		}
		c.wantsEnd("after " + lines)
	}
	for _, path := range []string{"/", "/stats", "/healthz", "/metrics", "/crier.js", "/nowhere"} {
		hostport, _ := s.host()
		c := s.open(t)
		c.send([]byte("POST " + path + " HTTP/1.1\r\nHost: " + hostport + "\r\n" + twoLengths[0] + "\r\n\r\n" + chunkedHi))
		c.answered(path, 400)
		c.wantsEnd(path)
	}
	hears.hearsNothing("what was refused")
}

// testTwoLengthsLater: it does not help to begin with good requests, or to send
// all at once.
func testTwoLengthsLater(t *testing.T, s server) {
	topic := unique("lengths")
	hears := s.dial(t, "/?topic="+topic)
	hostport, _ := s.host()
	get := "GET /healthz HTTP/1.1\r\nHost: " + hostport + "\r\n\r\n"
	post, empty := s.publishing(topic, "Content-Length: 2", "hi"), s.publishing(topic, "Content-Length: 0", "")
	for _, before := range [][]string{
		{get}, {post}, {empty}, {get, get}, {post, post}, {post, get}, {get, post},
		{post + "\r\n"}, // which some clients send after a body
	} {
		for _, lines := range twoLengths {
			bad := s.publishing(topic, lines, chunkedHi)
			apart, together := s.open(t), s.open(t)
			together.send([]byte(strings.Join(before, "") + bad + post))
			for _, request := range before {
				apart.send([]byte(request))
				for _, c := range []*raw{apart, together} {
					c.answered("a good request", 200)
				}
				switch {
				case strings.HasPrefix(request, "GET"):
				case request == empty:
					hears.hears("nothing, twice", others(""), others(""))
				default:
					hears.hears("what was good, twice", others("hi"), others("hi"))
				}
			}
			apart.send([]byte(bad + post))
			for _, c := range []*raw{apart, together} {
				c.answered("the bad one", 400)
				c.wantsEnd("after the bad one")
			}
		}
	}
	hears.hearsNothing("what was refused")
}

// testChunkedIsLast: a request without a length is as good as any, but the last
// of its connection, since what comes after it could not be judged.
func testChunkedIsLast(t *testing.T, s server) {
	topic := unique("lengths")
	hears := s.dial(t, "/?topic="+topic)
	c := s.open(t)
	c.send([]byte(s.publishing(topic, "Transfer-Encoding: chunked", chunkedHi) + s.publishing(topic, "Content-Length: 2", "no")))
	c.answered("chunked", 200)
	c.wantsEnd("after it")
	hears.hears("it is published", others("hi"))
	hears.hearsNothing("what came after it")
}

// testUpgradeWithBody: nobody knows whether a body of a handshake is frames.
func testUpgradeWithBody(t *testing.T, s server) {
	for _, lines := range []string{"Content-Length: 5", "Content-Length: 05", "Transfer-Encoding: chunked"} {
		c := s.open(t)
		c.send([]byte(s.but("X", lines) + string(frames("text:hello"))))
		a := c.answered(lines, 400)
		if a.body != "a WebSocket handshake has no body\n" {
			t.Errorf("%s: it is told %q", lines, a.body)
		}
	}
	s.get(t, s.but("X", "Content-Length: 0")).is(t, "a body of nothing", 101)
}
