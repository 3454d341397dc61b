package serve

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crier/app"
	wire "crier/client"
	"crier/door"
	"crier/hub"
	"crier/ws"
)

// herald is an app that says who has come and who has left, and nothing else.
type herald struct{}

func (herald) Handle(dst []app.Effect, ev app.Event) []app.Effect {
	say := func(text string) []app.Effect {
		return append(dst, app.Effect{Do: app.Publish, Data: []byte(text + ev.Conn.Identity.User), Echo: app.EchoNone})
	}
	switch ev.Kind {
	case app.Connect:
		if ev.Query.Has("reject") {
			return append(say("+"), app.Effect{Do: app.Reject, Data: []byte("no")})
		}
		dst = append(dst, app.Effect{Do: app.Subscribe, Topic: app.Everyone})
		return say("+")
	case app.Disconnect:
		return say("-")
	}
	return dst
}

// openHerald serves the herald beside the built-in apps.
func openHerald(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	return open(t, func(c *Config) {
		mount := mount{Mount: door.Mount{Path: "/herald", Name: "herald"}, app: herald{}, identifier: app.IdentifierOf(app.Rooms{}), fixed: true}
		c.apps = append(slices.Clone(builtins), mount)
		if change != nil {
			change(c)
		}
	})
}

func join(t *testing.T, s *Server, user string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(t.Context(), s.URL()+"/herald?user="+user, wire.Handshake{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HangUp)
	return c
}

// hears fails the test unless these are the next messages.
func hears(t *testing.T, c *wire.Conn, want ...string) {
	t.Helper()
	for _, text := range want {
		if data, _, err := c.Next(); string(data) != text {
			t.Fatalf("heard %q, %v, want %q", data, err, text)
		}
	}
}

// idOf returns the id of the herald's connection of a user.
func idOf(t *testing.T, s *Server, user string) string {
	t.Helper()
	for _, info := range s.home.connectionsHere("herald", nil) {
		if info.User == user {
			return info.ID
		}
	}
	t.Fatalf("%s is not there", user)
	return ""
}

// TestSymmetricLife: who is said to have come is said to have left, however that
// was; and nobody else.
func TestSymmetricLife(t *testing.T) {
	s := openHerald(t, nil)
	listener := join(t, s, "listener")
	for user, leave := range map[string]func(*wire.Conn){
		"goodbye": func(c *wire.Conn) { c.Goodbye(ws.Close{Code: 1000}) },
		"vanish":  func(c *wire.Conn) { c.HangUp() },
		"fault":   func(c *wire.Conn) { c.WriteFrames([]byte{0xff, 0xff}) },
		"kicked": func(*wire.Conn) {
			if no := (connections{s.home}).Close(idOf(t, s, "kicked")); no != nil {
				t.Error("there is nobody to kick", no)
			}
		},
	} {
		c := join(t, s, user)
		hears(t, listener, "+"+user)
		leave(c)
		c.Next() // answers a close frame
		hears(t, listener, "-"+user)
	}

	handshake := func(query string) (door.Socket, *door.Refusal) {
		r := httptest.NewRequest("GET", "/herald"+query, nil)
		r.RemoteAddr = "127.0.0.1:1" // which no door has counted
		return sockets{s.home}.Connect(r, door.Mount{Name: "herald"}, door.NewID(), nil)
	}
	socket, no := handshake("?user=abandon")
	if no != nil {
		t.Fatal(no)
	}
	hears(t, listener, "+abandon")
	socket.Abandon()
	hears(t, listener, "-abandon")
	if _, no := handshake("?user=rejected&reject=1"); no == nil || no.Status != http.StatusBadRequest {
		t.Errorf("got %+v", no)
	}

	last := join(t, s, "last")
	hears(t, listener, "+last")
	last.Goodbye(ws.Close{})
	last.Next()
	hears(t, listener, "-last")
	await(t, "connections are left", func() bool { return s.home.connections.free() == s.home.connections.max-1 })
}

// fickle is a carrier that has no room for a while.
type fickle struct {
	carrier
	full  chan struct{} // closed when there is room
	tries chan struct{} // gets one for each refusal
}

func (f *fickle) Publish(p hub.Publication) error {
	select {
	case <-f.full:
		return f.carrier.Publish(p)
	default:
		f.tries <- struct{}{}
		return hub.ErrBusy
	}
}

func (f *fickle) Retry() <-chan struct{} { return f.full }

// TestFarewellsWait: if there is no room to say that somebody has left, it is
// said later; somebody for whose coming there is no room is not let in.
func TestFarewellsWait(t *testing.T) {
	s := openHerald(t, nil)
	listener, ann, ben := join(t, s, "listener"), join(t, s, "ann"), join(t, s, "ben")
	hears(t, listener, "+ann", "+ben")
	full := &fickle{carrier: s.home.carrier, full: make(chan struct{}), tries: make(chan struct{}, 10)}
	s.home.carrier = full
	var refused *wire.Refused
	if _, err := wire.Dial(t.Context(), s.URL()+"/herald?user=late", wire.Handshake{}); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	<-full.tries
	ann.HangUp()
	<-full.tries
	<-full.tries // again, as the first of the farewells
	ben.HangUp()
	<-full.tries
	close(full.full)
	hears(t, listener, "-ann", "-ben")
	await(t, "connections are left", func() bool { return s.home.connections.free() == s.home.connections.max-1 })
}

// TestFarewellsEnd: what there is no room for when a server ends is dropped.
func TestFarewellsEnd(t *testing.T) {
	config := Defaults()
	config.Listen, config.Drain = "localhost:0", 0
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	s.home.carrier = &fickle{carrier: s.home.carrier, full: make(chan struct{}), tries: make(chan struct{}, 10)}
	s.home.connections.admit()
	s.home.connections.admit()
	for range 2 {
		s.home.farewells.add(func() error { return s.home.publish(hub.Publication{}) })
	}
	start := time.Now()
	s.Close()
	if took := time.Since(start); took < farewellGrace || took > farewellGrace+10*time.Second {
		t.Errorf("it took %v", took)
	}
	if dropped := s.home.farewells.dropped.Load(); dropped != 2 || s.home.connections.admitted != 0 {
		t.Errorf("%d were dropped, %d connections are left", dropped, s.home.connections.admitted)
	}
	checkHub(t, s)
}

// TestOneDoor: what clients say, what comes by HTTP and what is said of those who
// leave goes through one call, and nothing else publishes.
func TestOneDoor(t *testing.T) {
	s := openHerald(t, nil)
	counted := &counter{carrier: s.home.carrier}
	s.home.carrier = counted
	ann := join(t, s, "ann")
	ben, err := wire.Dial(t.Context(), s.URL(), wire.Handshake{})
	if err != nil {
		t.Fatal(err)
	}
	defer ben.HangUp()
	ben.Write([]byte("hi"), false)
	if _, _, err := ben.Next(); err != nil {
		t.Fatal(err)
	}
	if heard, no := (topics{s.home}).Publish(httptest.NewRequest("POST", "/publish", nil).WithContext(context.Background()), []byte("hi"), nil); heard != 1 || no != nil {
		t.Errorf("%d heard it, %v", heard, no)
	}
	ann.HangUp()
	await(t, "somebody is left", func() bool { return s.home.connections.free() == s.home.connections.max-1 })
	if got := strings.Join(counted.said, " "); !strings.Contains(got, "+ann") || len(counted.said) != 4 {
		t.Errorf("said %q", got)
	}
}

// counter is a carrier that remembers what it carried.
type counter struct {
	carrier
	mu   sync.Mutex
	said []string
}

func (c *counter) Publish(p hub.Publication) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, string(p.Frame))
	return c.carrier.Publish(p)
}
