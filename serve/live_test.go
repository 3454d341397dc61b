package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "crier/client"
	"crier/hub"
	"crier/ws"
)

// enter connects a client of live, and returns its greeting.
func enter(t *testing.T, s *Server, query string) (*wire.Conn, greeting) {
	t.Helper()
	c, err := wire.Dial(t.Context(), s.URL()+"/live?"+query, wire.Handshake{})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	t.Cleanup(c.HangUp)
	return c, greeted(t, c)
}

type greeting struct {
	ID, User, Resume, Offset string
	Missed                   bool
	Said, Count              int
	Here                     []struct{ ID, User string }
}

// greeted reads up to the end of a replay.
func greeted(t *testing.T, c *wire.Conn) (g greeting) {
	t.Helper()
	for {
		text := next(t, c)
		var frame struct {
			Hello *greeting `json:"_hello"`
			Ready bool      `json:"_ready"`
		}
		if err := json.Unmarshal([]byte(text), &frame); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if frame.Hello != nil {
			g = *frame.Hello
		}
		if frame.Ready {
			return g
		}
	}
}

func next(t *testing.T, c *wire.Conn) string {
	t.Helper()
	data, _, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// gets reads a frame for each of some texts that must be in it.
func gets(t *testing.T, c *wire.Conn, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if text := next(t, c); !strings.Contains(text, part) {
			t.Errorf("got %s, want %s", text, part)
		}
	}
}

// empty waits until a server has forgotten all clients of live.
func empty(t *testing.T, s *Server) {
	t.Helper()
	await(t, "something is left", func() bool {
		h := s.home
		h.sessions.mu.Lock()
		defer h.sessions.mu.Unlock()
		return h.connections.free() == h.connections.max && len(h.sessions.byToken)+len(h.sessions.byID) == 0
	})
	s.home.rooms.mu.Lock()
	defer s.home.rooms.mu.Unlock()
	for name, r := range s.home.rooms.byName {
		r.mu.Lock()
		if len(r.members) > 0 || r.guests.Count() > 0 || len(r.owed) > 0 {
			t.Errorf("in %s are %d members, %d guests, %d are owed", name, len(r.members), r.guests.Count(), len(r.owed))
		}
		if r.held != r.state.Memory() {
			t.Errorf("%s holds %d bytes for a state of %d", name, r.held, r.state.Memory())
		}
		r.mu.Unlock()
	}
}

// A barrier is a carrier that has no room while it is shut.
type barrier struct {
	carrier
	shut  atomic.Bool
	tries chan struct{} // gets one for each refusal
	retry chan struct{} // closed when it is open again
}

func (g *barrier) Publish(p hub.Publication) error {
	if g.shut.Load() {
		g.tries <- struct{}{}
		return hub.ErrBusy
	}
	return g.carrier.Publish(p)
}

func (g *barrier) Retry() <-chan struct{} { return g.retry }

// TestLiveWaits: if there is no room to say that somebody has left, it is said
// later, and in order; who cannot be announced is not let in.
func TestLiveWaits(t *testing.T) {
	s := open(t, nil)
	gate := &barrier{carrier: s.home.carrier, tries: make(chan struct{}, 100), retry: make(chan struct{})}
	s.home.carrier = gate
	listener, _ := enter(t, s, "topic=a&presence=told")
	ann, _ := enter(t, s, "topic=a&topic=b&user=ann")
	ben, _ := enter(t, s, "topic=a&user=ben")
	gets(t, listener, `{"_join":{"id":`, `"user":"ben"`)
	ann.Write([]byte(`{"_key":"k","_tied":true}`), false)
	gets(t, listener, `"_key":"k"`)
	gate.shut.Store(true)
	var refused *wire.Refused
	if _, err := wire.Dial(t.Context(), s.URL()+"/live?topic=a&user=late", wire.Handshake{}); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	<-gate.tries
	ann.Goodbye(ws.Close{Code: 1000})
	<-gate.tries // when it closed
	<-gate.tries // of the farewells
	ben.Goodbye(ws.Close{Code: 1000})
	<-gate.tries
	gate.shut.Store(false)
	close(gate.retry)
	gets(t, listener, `"_drop":true`, `{"_leave":{"id":`, `"user":"ben"`)
	listener.Goodbye(ws.Close{Code: 1000})
	empty(t, s)
}

// TestLinger: sessions that linger end in order, and those that are resumed do
// not; a place is taken until the end.
func TestLinger(t *testing.T) {
	s := open(t, func(c *Config) { c.Linger = 300 * time.Millisecond })
	watcher, _ := enter(t, s, "topic=a&presence=told")
	ann, hello := enter(t, s, "topic=a&user=ann")
	ben, _ := enter(t, s, "topic=a&user=ben")
	gets(t, watcher, `"user":"ann"`, `"user":"ben"`)
	for range 3 { // each time it lingers anew
		ann.HangUp()
		ann, _ = enter(t, s, "topic=a&user=ann&resume="+hello.Resume)
	}
	ben.HangUp()
	ann.HangUp()
	gets(t, watcher, `"user":"ben","same":0,"why":"lost"`, `"user":"ann","same":0,"why":"lost"`)
	cat, hello := enter(t, s, "topic=a&user=cat")
	gets(t, watcher, `"user":"cat"`)
	cat.Goodbye(ws.Close{Code: 1001})
	gets(t, watcher, `"user":"cat","same":0,"why":"left"`)
	_, again := enter(t, s, "topic=a&user=cat&resume="+hello.Resume)
	if again.ID == hello.ID || again.Said != 0 {
		t.Errorf("a session that has ended goes on: %+v", again)
	}
}

// TestTakenOver: of two connections of a session only one is heard, whatever the
// other sends at that moment, and what was heard is counted.
func TestTakenOver(t *testing.T) {
	s := open(t, nil)
	watcher, _ := enter(t, s, "topic=a")
	c, hello := enter(t, s, "topic=a&user=ann")
	sent := 0
	for range 30 {
		stop := make(chan struct{})
		var sending sync.WaitGroup
		sending.Go(func() {
			for range 300 {
				select {
				case <-stop:
					return
				default:
				}
				if c.Write(fmt.Appendf(nil, `{"n":%d}`, sent), false) != nil {
					return
				}
				sent++
			}
		})
		for range rand.IntN(20) {
			next(t, watcher)
		}
		d, again := enter(t, s, "topic=a&user=ann&resume="+hello.Resume)
		close(stop)
		sending.Wait()
		if again.ID != hello.ID || again.Said > sent {
			t.Fatalf("%d of %d are said; %+v", again.Said, sent, again)
		}
		c, sent = d, again.Said // the rest was not published
	}
	c.Write([]byte("end"), false)
	for n := 0; ; n++ {
		if text := next(t, watcher); strings.Contains(text, "end") {
			break
		}
	}
	c.Goodbye(ws.Close{Code: 1000})
	watcher.Goodbye(ws.Close{Code: 1000})
	empty(t, s)
}

// TestLiveStorm: clients come, speak, vanish and come back, all at once. In the
// end nothing is left of them.
func TestLiveStorm(t *testing.T) {
	s := open(t, func(c *Config) { c.Linger = 20 * time.Millisecond })
	var clients sync.WaitGroup
	for i := range 30 {
		clients.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			resume := ""
			for range 20 {
				query := fmt.Sprintf("topic=t%d&topic=t%d&user=u%d&resume=%s&last=5", rnd.IntN(3), rnd.IntN(3), i%7, resume)
				c, err := wire.Dial(t.Context(), s.URL()+"/live?"+query, wire.Handshake{})
				if err != nil {
					continue // the server may be busy
				}
				for range rnd.IntN(5) {
					c.Write([]byte([]string{"hi", `{"_key":"k","_tied":true}`, `{"_key":"k","_tied":true,"_drop":true}`, `{"_join":"t9"}`, `{"_leave":"t9"}`, `{"_to":"u1"}`, `{"_key":"s"}`}[rnd.IntN(7)]), false)
				}
				if data, _, err := c.Next(); err == nil {
					var frame struct {
						Hello greeting `json:"_hello"`
					}
					json.Unmarshal(data, &frame)
					resume = frame.Hello.Resume
				}
				switch rnd.IntN(4) {
				case 0:
					c.Goodbye(ws.Close{Code: 1000})
				case 1: // the next connection takes over
					defer c.HangUp()
					continue
				case 2:
					r, _ := http.NewRequest("DELETE", "http"+strings.TrimPrefix(s.URL(), "ws")+"/topics/t1", nil)
					if resp, err := http.DefaultClient.Do(r); err == nil {
						resp.Body.Close()
					}
				}
				c.HangUp()
			}
		})
	}
	clients.Wait()
	empty(t, s)
}

// TestKicked: whoever is kicked is gone at once, and cannot come back with the
// token; who lingers can be kicked, too.
func TestKicked(t *testing.T) {
	s := open(t, nil)
	watcher, _ := enter(t, s, "topic=a&presence=told")
	ann, hello := enter(t, s, "topic=a&user=ann")
	gets(t, watcher, `"user":"ann"`)
	kick := func(id string) bool { return connections{s.home}.Close(id) == nil }
	if !kick(hello.ID) || kick(hello.ID) {
		t.Error("it was not kicked once")
	}
	gets(t, watcher, `"why":"kicked"`)
	var end ws.Close
	if _, _, err := ann.Next(); !errors.As(err, &end) || end.Code != 1000 || end.Reason != "kicked: the session was ended" {
		t.Errorf("it ended with %v", err)
	}
	ann, again := enter(t, s, "topic=a&user=ann&resume="+hello.Resume)
	if again.ID == hello.ID {
		t.Error("it came back")
	}
	gets(t, watcher, `"_join":`)
	ann.HangUp()
	await(t, "it does not linger", func() bool { return s.home.connections.find(keyOf(again.ID)) == nil })
	if !kick(again.ID) {
		t.Error("who lingers cannot be kicked")
	}
	gets(t, watcher, `"why":"kicked"`)
	watcher.Goodbye(ws.Close{Code: 1000})
	empty(t, s)
}

// TestClosingIsNotSaid: a message that comes when its connection is closing
// already is neither published nor counted, so that its client says it again.
func TestClosingIsNotSaid(t *testing.T) {
	s := open(t, nil)
	watcher, _ := enter(t, s, "topic=a")
	_, hello := enter(t, s, "topic=a&user=ann")
	c := s.home.connections.find(keyOf(hello.ID))
	g := c.conn.Receiver().(*guest)
	for _, text := range []string{"first", `{"_to":"ann"}`} {
		if err := g.Message([]byte(text), false); err != nil {
			t.Fatal(err)
		}
	}
	c.conn.Member.Finish(ws.AppendClose(nil, ws.Close{Code: ws.TryAgainLater}), false)
	for _, text := range []string{"lost", `{"_to":"ann"}`, `{"_key":"k"}`} {
		if err := g.Message([]byte(text), false); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	again, now := enter(t, s, "topic=a&resume="+hello.Resume)
	if now.Said != 2 {
		t.Errorf("%d are said", now.Said)
	}
	again.Write([]byte("second"), false)
	gets(t, watcher, "first", "second")
}

// A picky is a carrier that has no room for frames in which there is a text.
type picky struct {
	carrier
	not   atomic.Pointer[string] // the text; nil: it has room for all
	tries chan struct{}          // gets one for each refusal
}

func (p *picky) Publish(m hub.Publication) error {
	if not := p.not.Load(); not != nil && strings.Contains(string(m.Frame), *not) {
		select {
		case p.tries <- struct{}{}:
		default:
		}
		return hub.ErrBusy
	}
	return p.carrier.Publish(m)
}

func (p *picky) refuse(text string) { p.not.Store(&text) }

// TestOwed: those who come into the list when somebody leaves are announced, also
// if there is no room for that at first.
func TestOwed(t *testing.T) {
	s := open(t, nil)
	carrier := &picky{carrier: s.home.carrier, tries: make(chan struct{}, 1)}
	s.home.carrier = carrier
	query := "topic=a&presence=seen&user=" + strings.Repeat("x", 64)
	first, hello := enter(t, s, query)
	last := first
	for hello.Count == len(hello.Here) {
		last, hello = enter(t, s, query)
	}
	watcher, _ := enter(t, s, "topic=a&presence=told")
	carrier.refuse(`{"_join"`)
	first.Goodbye(ws.Close{Code: 1000})
	gets(t, watcher, `{"_leave"`)
	<-carrier.tries
	carrier.not.Store(nil)
	last.Write([]byte("hi"), false)
	gets(t, watcher, `{"data":"hi"`, `{"_join":{"id":"`+hello.ID)
}

// TestHalfWayOut: a topic can be removed although there is no room to say so for
// a while. Nobody stays half in it.
func TestHalfWayOut(t *testing.T) {
	s := open(t, nil)
	carrier := &picky{carrier: s.home.carrier, tries: make(chan struct{}, 1)}
	s.home.carrier = carrier
	ann, _ := enter(t, s, "topic=a&topic=b&user=ann")
	greeted(t, ann)
	watcher, _ := enter(t, s, "topic=a&presence=told")
	carrier.refuse(`{"_leave"`)
	topics{s.home}.Remove("live", "a")
	carrier.not.Store(nil)
	reconsider(s)
	gets(t, ann, `"why":"kicked"`)
	ann.Goodbye(ws.Close{Code: 1000})
	watcher.Goodbye(ws.Close{Code: 1000})
	empty(t, s)
}

// reconsider makes those try again who wait for room.
func reconsider(s *Server) {
	topic := hub.Topic{App: "nobody's", Name: "a"}
	s.home.hub.Retain(topic, hub.Retention{Messages: 1, Bytes: 1000})
	s.home.hub.Publish(hub.Publication{Topics: []hub.Topic{topic}, Frame: []byte("x"), Keep: true})
	s.home.hub.Unretain(topic)
}

// TestPagesAreTold: a page whose handshake is refused is told why by a close
// frame; other clients get an answer of HTTP.
func TestPagesAreTold(t *testing.T) {
	s := open(t, nil)
	home := http.Header{"Origin": {"http" + strings.TrimPrefix(s.URL(), "ws")}}
	for _, path := range []string{"/live", "/live?topic=a&presence=2", "/live?topic=a&user=%07"} {
		conn, err := wire.Dial(t.Context(), s.URL()+path, wire.Handshake{Header: home})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var end ws.Close
		if _, _, err := conn.Next(); !errors.As(err, &end) || end.Code != 4400 || !strings.HasPrefix(end.Reason, "rejected: ") {
			t.Errorf("%s: %v", path, err)
		}
		conn.HangUp()
	}
	var refused *wire.Refused
	if _, err := wire.Dial(t.Context(), s.URL()+"/live", wire.Handshake{}); !errors.As(err, &refused) || refused.Status != 400 {
		t.Error(err)
	}
	elsewhere := http.Header{"Origin": {"https://elsewhere.example"}}
	for _, path := range []string{"/live?topic=a", "/chat"} {
		if _, err := wire.Dial(t.Context(), s.URL()+path, wire.Handshake{Header: elsewhere}); !errors.As(err, &refused) || refused.Status != 403 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestNamed: a message goes to those who are named, and to nobody else.
func TestNamed(t *testing.T) {
	s := open(t, nil)
	nameless, hello := enter(t, s, "topic=a")
	ann, _ := enter(t, s, "topic=a&user=ann&presence=0")
	ben, _ := enter(t, s, "topic=a&user=ben&presence=0")
	for _, to := range []string{`""`, `["",""]`, `"ann "`, `"cat"`} {
		ben.Write([]byte(`{"_to":`+to+`}`), false)
		gets(t, ben, `{"_error":{"name":"nobody"`)
	}
	ben.Write([]byte(`{"_to":["","ann","ann","ben"],"n":1}`), false)
	ben.Write([]byte(`{"_to":"`+hello.ID+`","n":2}`), false)
	gets(t, ben, `{"n":1,`, `{"n":2,`)
	ben.Write([]byte(`{"n":3}`), false)
	gets(t, ann, `{"n":1,`, `{"n":3,`)
	gets(t, nameless, `{"n":2,`, `{"n":3,`)
}
