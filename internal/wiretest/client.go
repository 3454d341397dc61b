package wiretest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// A client is an ordinary WebSocket client.
type client struct {
	t      *testing.T
	server server
	conn   *websocket.Conn
	name   string // its User-Agent, which nobody else has
	known  string // its connection id, once somebody asked

	// tag, if set, is in all that concerns this test; what others say at the same time is passed over.
	tag string
}

// dial connects a client to a path and query, such as /chat?a=b, with headers such as "X-WhoAmI: alice".
func (s server) dial(t *testing.T, path string, headers ...string) *client {
	t.Helper()
	c := &client{t: t, server: s, name: unique("wiretest")}
	options := &websocket.DialOptions{HTTPHeader: http.Header{"User-Agent": {c.name}}}
	for _, line := range headers {
		if name, value, ok := strings.Cut(line, ": "); ok {
			options.HTTPHeader.Set(name, value)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.ws(path), options)
	if err != nil {
		t.Fatalf("connect to %s: %v", path, err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { conn.CloseNow() })
	c.conn = conn
	return c
}

// say sends text messages.
func (c *client) say(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		if err := c.write(websocket.MessageText, text); err != nil {
			c.t.Fatalf("say %.100q: %v", text, err)
		}
	}
}

// sayBinary sends a binary message.
func (c *client) sayBinary(data string) {
	c.t.Helper()
	if err := c.write(websocket.MessageBinary, data); err != nil {
		c.t.Fatalf("say %.100q: %v", data, err)
	}
}

// write is for every goroutine: it does not end the test.
func (c *client) write(kind websocket.MessageType, data string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.conn.Write(ctx, kind, []byte(data))
}

// read returns the next message; a binary one as in "binary 616263". It is for every goroutine.
func (c *client) read() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		kind, data, err := c.conn.Read(ctx)
		switch {
		case err != nil:
			return "", err
		case c.tag != "" && !strings.Contains(string(data), c.tag):
			continue
		case kind == websocket.MessageBinary:
			return fmt.Sprintf("binary %x", data), nil
		}
		return string(data), nil
	}
}

// next returns the next message.
func (c *client) next() string {
	c.t.Helper()
	message, err := c.read()
	if err != nil {
		c.t.Fatalf("waiting for a message: %v", err)
	}
	return message
}

// hears checks the next messages, the time in them apart: it is <NOW>.
func (c *client) hears(why string, want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := timeless(c.next()); got != w {
			c.t.Fatalf("%s\n got %.1000q\nwant %.1000q", why, got, w)
		}
	}
}

// hearsNothing checks that nothing has been sent to the client since: what is posted to it now comes next.
func (c *client) hearsNothing(why string) {
	c.t.Helper()
	marker := unique("marker") + c.tag
	if a := c.server.ask(c.t, "POST /@connections/"+c.id()+"\n"+marker); a.status != 200 {
		c.t.Fatalf("post: %d %s", a.status, a.body)
	}
	if got := c.next(); got != marker {
		c.t.Fatalf("%s: it hears %.1000q", why, got)
	}
}

// isTold waits for the server's close frame.
func (c *client) isTold(code websocket.StatusCode, reason string) {
	c.t.Helper()
	message, err := c.read()
	var told websocket.CloseError
	if !errors.As(err, &told) {
		c.t.Fatalf("waiting to be told %d: got %.1000q %v", code, message, err)
	}
	if told.Code != code || told.Reason != reason {
		c.t.Fatalf("told %d %q, want %d %q", told.Code, told.Reason, code, reason)
	}
}

// bye leaves in good order.
func (c *client) bye() {
	c.t.Helper()
	if err := c.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		c.t.Fatalf("leaving: %v", err)
	}
}

// id is the client's connection id, found among all by what it calls itself.
func (c *client) id() string {
	c.t.Helper()
	if c.known != "" {
		return c.known
	}
	for _, l := range c.server.list(c.t, "/@connections") {
		if l.Identity.UserAgent == c.name {
			c.known = l.ID
			return l.ID
		}
	}
	c.t.Fatal("the client is not among the server's connections")
	return ""
}

// A listed is a connection in the management API's list.
type listed struct {
	ID       string `json:"connectionId"`
	App      string
	User     string
	Topics   []string
	Identity struct{ SourceIP, UserAgent string }

	ConnectedAt, LastActiveAt string
}

// list returns what a path such as /@connections?topic=a lists.
func (s server) list(t *testing.T, path string) (list []listed) {
	t.Helper()
	a := s.ask(t, "GET "+path)
	if err := json.Unmarshal([]byte(a.body), &list); a.status != 200 || err != nil {
		t.Fatalf("GET %s: %d %s %v", path, a.status, a.body, err)
	}
	return list
}

// members returns the ids of a topic's connections in an app, sorted.
func (s server) members(t *testing.T, app, topic string) (ids []string) {
	t.Helper()
	for _, l := range s.list(t, "/@connections?app="+app+"&topic="+topic) {
		ids = append(ids, l.ID)
	}
	slices.Sort(ids)
	return ids
}

// now is the time in a stamp.
var now = regexp.MustCompile(`"_now":([0-9]{13})\b`)

// timeless replaces the time in a stamp, as the recordings do.
func timeless(frame string) string { return now.ReplaceAllString(frame, `"_now":<NOW>`) }
