package serve

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	wire "crier/client"
	"crier/ws"
)

// masked is a client's frame, with a mask of zeros.
func masked(text string) string {
	return string([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}) + text
}

// TestCutAnywhere: a conversation is cut after each of its bytes, and resumed.
// Each message is published once, in order.
func TestCutAnywhere(t *testing.T) {
	s := open(t, func(c *Config) { c.History, c.HistoryBytes = 10_000, 1<<20 })
	c, hello := enter(t, s, "topic=a&user=ann")
	total, since := 0, hello.Offset
	for cut, whole := 0, false; !whole; cut++ {
		if cut%3 == 0 { // sometimes the connection before is lost, sometimes it is taken over
			c.HangUp()
		}
		head := fmt.Sprintf("GET /live?topic=a&resume=%s&since=%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", hello.Resume, since)
		talk := head
		for i := range 3 {
			talk += masked(fmt.Sprintf(`{"n":%d}`, total+i))
		}
		nc, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "ws://"))
		if err != nil {
			t.Fatal(err)
		}
		whole = cut >= len(talk)
		nc.Write([]byte(talk[:min(cut, len(head))]))
		if cut > len(head) { // a client waits for the greeting before it says something
			for heard := ""; !strings.Contains(heard, `"_ready"`); {
				var buf [1000]byte
				n, err := nc.Read(buf[:])
				if err != nil {
					break // an earlier one was late, and has taken over
				}
				heard += string(buf[:n])
			}
			nc.Write([]byte(talk[len(head):min(cut, len(talk))]))
		}
		if cut%2 == 0 {
			nc.(*net.TCPConn).SetLinger(0)
		}
		nc.Close()
		var again greeting
		for said := -1; said < total+3; { // what was cut may arrive late, and take over
			if said < 0 {
				c, again = comeBack(t, s, "topic=a&resume="+hello.Resume+"&since="+since)
				if said = again.Said; again.ID != hello.ID || again.Missed || said < total || said > total+3 {
					t.Fatalf("cut after %d bytes: %+v, %d were said before", cut, again, total)
				}
				continue
			}
			c.Write(fmt.Appendf(nil, `{"n":%d}`, said), false)
			if text, _, err := c.Next(); err != nil {
				said = -1
			} else if said++; !strings.HasPrefix(string(text), fmt.Sprintf(`{"n":%d,`, said-1)) {
				t.Fatalf("cut after %d bytes: got %s", cut, text)
			}
		}
		total, since = total+3, again.Offset
	}
	_, text := ask(t, s, "GET", "/topics/a/messages?app=live", "")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		var message struct{ N int }
		if json.Unmarshal([]byte(line), &message); message.N != i {
			t.Fatalf("message %d is %s", i, line)
		}
	}
	if len(lines) != total {
		t.Errorf("%d of %d messages", len(lines), total)
	}
	c.Goodbye(ws.Close{Code: 1000})
}

// comeBack connects until it is let in and greeted.
func comeBack(t *testing.T, s *Server, query string) (*wire.Conn, greeting) {
	t.Helper()
	for {
		c, err := wire.Dial(t.Context(), s.URL()+"/live?"+query, wire.Handshake{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.HangUp)
		var hello greeting
		for {
			text, _, err := c.Next()
			if err != nil {
				break
			}
			var frame struct {
				Hello *greeting `json:"_hello"`
				Ready bool      `json:"_ready"`
			}
			if json.Unmarshal(text, &frame); frame.Hello != nil {
				hello = *frame.Hello
			}
			if frame.Ready {
				return c, hello
			}
		}
	}
}
