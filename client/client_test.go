package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestWhatOneSaysAllHear(t *testing.T) {
	home := openHome(t)
	ann, bob := join(t, home.url(), Options{Topics: []string{"talk"}}), join(t, "http"+strings.TrimPrefix(home.url(), "ws")+"/?topic=talk", Options{})
	ann.becomes(Open)
	bob.becomes(Open)
	if f := fate(t, ann.Send("hi there")); f != Confirmed {
		t.Errorf("its fate is %v", f)
	}
	if f := fate(t, ann.SendBinary([]byte{0, 255, 1})); f != Sent {
		t.Errorf("the binary message's fate is %v", f)
	}
	for name, p := range map[string]*person{"true": ann, "false": bob} {
		p.until("two messages", func() bool { return len(p.heard) == 2 })
		if m := p.heard[0]; !regexp.MustCompile(`^\{"data":"hi there","_now":\d+,"_me":`+name+`\}$`).Match(m.Data) || m.Mine != (p == ann) || m.Binary {
			t.Errorf("heard %s, %v", m.Data, m)
		}
		if m := p.heard[1]; string(m.Data) != "\x00\xff\x01" || m.Mine || !m.Binary {
			t.Errorf("heard %v", m)
		}
	}
	if n := ann.Pending(); n != 0 {
		t.Errorf("%d messages are pending", n)
	}
}

func TestTopicsAndNoEcho(t *testing.T) {
	home := openHome(t)
	quiet := join(t, home.url(), Options{Topics: []string{"a", "b"}, NoEcho: true})
	a, b := join(t, home.url(), Options{Topics: []string{"a"}}), join(t, home.url(), Options{Topics: []string{"b"}})
	for _, p := range []*person{quiet, a, b} {
		p.becomes(Open)
	}
	if f := fate(t, quiet.Send(`{"n":1}`)); f != Sent {
		t.Errorf("its fate is %v", f)
	}
	a.until("a message", func() bool { return len(a.heard) == 1 })
	b.until("a message", func() bool { return len(b.heard) == 1 })
	if f := fate(t, a.Send(`{"n":2}`)); f != Confirmed {
		t.Errorf("its fate is %v", f)
	}
	a.until("its own", func() bool { return len(a.heard) == 2 })
	if q, a, b := quiet.numbers(), a.numbers(), b.numbers(); !slices.Equal(a, []int{1, 2}) || !slices.Equal(b, []int{1}) || len(q) > 1 {
		t.Errorf("heard %v, %v, %v", q, a, b)
	}
}

// someServer is one whose connections are handled by talk.
func someServer(t *testing.T, talk func(*http.Request, *websocket.Conn)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { accept(w, r, talk) }))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

func accept(w http.ResponseWriter, r *http.Request, talk func(*http.Request, *websocket.Conn)) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v2"}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	talk(r, c)
}

// TestBinary: it is copied, in order with text, and counted while it is on its way.
func TestBinary(t *testing.T) {
	release, got := make(chan struct{}), make(chan string, 10)
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		c.SetReadLimit(-1)
		<-release
		for {
			_, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			got <- string(data[:1])
		}
	})
	ctx, hangUp := context.WithCancel(t.Context())
	c, err := Connect(ctx, url, Options{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 10<<20) // more than the sockets on the way take
	large[0] = 'b'
	first := c.Send("a")
	sent := c.SendBinary(large)
	large[0] = 'x'
	last := c.Send("c")
	eventually(t, "it is stuck", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.batch) == 1 && time.Since(c.writing) > 50*time.Millisecond
	})
	if n := c.Pending(); n != 3 {
		t.Errorf("%d are pending", n)
	}
	close(release)
	if f := fate(t, sent); f != Sent {
		t.Errorf("its fate is %v", f)
	}
	if order := <-got + <-got + <-got; order != "abc" {
		t.Errorf("the server got %s", order)
	}
	for range 20 { // more than may be kept at once
		if f := fate(t, c.SendBinary(large[:1<<20])); f != Sent {
			t.Fatalf("then its fate is %v", f)
		}
		<-got
	}
	hangUp()
	if a, b := fate(t, first), fate(t, last); a != Unsure || b != Unsure {
		t.Errorf("the texts' fates are %v and %v", a, b)
	}
	c.Close()
}

func TestContextEndsIt(t *testing.T) {
	home := openHome(t)
	ctx, cancel := context.WithCancel(context.Background())
	c, err := Connect(ctx, home.url(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if f := fate(t, c.Send("hi")); f != Confirmed {
		t.Fatal(f)
	}
	cancel()
	n := 0
	for range c.Messages() {
		n++
	}
	if s := c.Status(); n != 1 || s.State != Closed || s.Ended != context.Canceled {
		t.Errorf("it heard %d and is %v", n, s)
	}
}

func TestConnectMistakes(t *testing.T) {
	for want, c := range map[string]struct {
		url     string
		options Options
	}{
		"should begin with ws://":  {"localhost:8080", Options{}},
		"missing ']'":              {"ws://[", Options{}},
		"should have a host":       {"ws:///path", Options{}},
		"should have a host ":      {"ws:localhost:80", Options{}},
		"a port below 65536":       {"ws://localhost:65536", Options{}},
		`the header "X"`:           {"ws://localhost", Options{Header: http.Header{"X": {"a\nb"}}}},
		`the header "A B"`:         {"ws://localhost", Options{Header: http.Header{"A B": {"c"}}}},
		"marks what is one's own":  {"ws://localhost:1/chat", Options{Once: true}},
		"marks what is one's own ": {"ws://localhost:1", Options{Once: true, NoEcho: true}},
	} {
		if _, err := Connect(context.Background(), c.url, c.options); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%q: %v", c.url, err)
		}
	}
}

// TestFirst: what is said first goes before what waited, on each connection, and is not counted.
func TestFirst(t *testing.T) {
	home := openHome(t)
	rooms := join(t, home.url()+"/rooms", Options{User: "ann", First: []string{`{"action":"subscribe","topic":"t"}`}})
	say := func(n int) { rooms.Send(fmt.Sprintf(`{"action":"broadcast","topic":"t","payload":{"n":%d}}`, n)) }
	rooms.becomes(Open)
	say(1)
	rooms.until("the first", func() bool { return len(rooms.heard) >= 2 })
	home.stop()
	rooms.becomes(Waiting)
	say(2)
	home.start()
	eventually(t, "the second", func() bool { return slices.Equal(rooms.numbers(), []int{1, 2}) })
	talks := join(t, home.url(), Options{First: []string{"I", "am here"}})
	if f := fate(t, talks.Send("hi")); f != Confirmed || talks.Pending() != 0 {
		t.Errorf("its fate is %v, %d are pending", f, talks.Pending())
	}
	talks.until("all", func() bool { return len(talks.heard) == 3 })
}

func TestLiveOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"Live excludes Once": {Once: true},
		"Live excludes":      {First: []string{"x"}},
		"Once, Confirm":      {Confirm: Never},
	} {
		o.Live = new(Live)
		if _, err := Connect(t.Context(), nearby, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := Connect(t.Context(), nearby+"/live?a=%", Options{Live: new(Live)}); err == nil || !strings.Contains(err.Error(), "query") {
		t.Errorf("of a query that cannot be read it says %v", err)
	}
	bad := errors.New("no address")
	for _, address := range []func(context.Context) (string, error){
		func(context.Context) (string, error) { return "", bad },
		func(context.Context) (string, error) { return "ftp://x", nil },
		func(context.Context) (string, error) { return "ws://x?a=%", nil },
	} {
		c, err := Connect(t.Context(), "", Options{Live: &Live{Address: address}, ComeBack: func(error) bool { return false }})
		if err != nil {
			t.Fatal(err)
		}
		for range c.Messages() {
		}
		if ended := c.Status().Ended; ended == nil {
			t.Errorf("it ended with %v", ended)
		}
	}
}
