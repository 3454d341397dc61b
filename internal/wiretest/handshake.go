package wiretest

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// get sends a request by hand and returns the answer.
func (s server) get(t *testing.T, request string) answer {
	t.Helper()
	nc, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	a, err := readAnswer(bufio.NewReader(nc))
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	return a
}

// readAnswer reads one answer from a connection that may have more.
func readAnswer(in *bufio.Reader) (answer, error) {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// but returns a handshake with another line in place of the one that begins so.
func (s server) but(name, line string) string {
	head, rest, _ := strings.Cut(s.request("/"), "\r\n")
	kept := []string{head}
	for l := range strings.SplitSeq(strings.TrimSuffix(rest, "\r\n\r\n"), "\r\n") {
		if !strings.HasPrefix(l, name+":") {
			kept = append(kept, l)
		}
	}
	if line != "" {
		kept = append(kept, line)
	}
	return strings.Join(kept, "\r\n") + "\r\n\r\n"
}

// testHandshake: what RFC 6455, section 4.2, asks for, and no promise that is not kept.
func testHandshake(t *testing.T, s server) {
	for why, request := range map[string]string{
		"as it is":           s.request("/"),
		"a slash at the end": s.request("/chat/"),
		"a query of its own": s.request("/?token=a.b-c&_=1561016329388&v=2&topicId=7"),
		"tokens in any case": strings.NewReplacer("websocket\r", "WebSocket\r", ": Upgrade\r", ": keep-alive, uPGRADE\r").Replace(s.request("/")),
		"headers in any case": strings.NewReplacer("Sec-WebSocket-Key", "SEC-WEBSOCKET-KEY", "Host", "host", "Connection", "connection").
			Replace(s.request("/rooms")),
		"several upgrades":      s.but("Upgrade", "Upgrade: h2c, websocket"),
		"compression offered":   s.but("X", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
		"a subprotocol offered": s.but("X", "Sec-WebSocket-Protocol: graphql-ws, json"),
		"cookies":               s.but("X", "Cookie: a=b\r\nAuthorization: Basic YTpi"),
	} {
		a := s.get(t, request)
		if a.status != 101 {
			t.Errorf("%s: %d %s", why, a.status, a.body)
			continue
		}
		for name, want := range map[string]string{
			"Upgrade": "websocket", "Connection": "upgrade", "Sec-Websocket-Accept": accept,
			"Sec-Websocket-Extensions": "", "Sec-Websocket-Protocol": "",
		} {
			got := a.header.Get(name)
			if name != "Sec-Websocket-Accept" {
				got = strings.ToLower(got)
			}
			if got != want {
				t.Errorf("%s: the answer has %s: %q, want %q", why, name, got, want)
			}
		}
	}
}

// testEarlyFrames: a client need not wait for the answer to its handshake, and may write it in pieces.
func testEarlyFrames(t *testing.T, s server) {
	stream := []byte(s.request("/?topic="+unique("early")) + string(frames("text:early ping:p text:la- cont:te")))
	for _, size := range []int{len(stream), len(stream) - 1, len(stream) - 30, 50, 1} {
		nc, err := s.connect()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		c := &raw{t: t, nc: nc, in: bufio.NewReader(nc)}
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			c.send(rest[:min(size, len(rest))])
		}
		if err := switched(c.in); err != nil {
			t.Fatal(err)
		}
		c.gets("what came early", "text:"+mine("early"), "pong:p", "text:"+mine("late"))
	}
}
