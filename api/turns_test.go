package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crier/fair"
)

// patience is how long a test waits for what must happen; it matters only when
// it does not.
const patience = 20 * time.Second

// TestOrigins: with whom events take turns.
func TestOrigins(t *testing.T) {
	a := newTestAPI(t, allRoutes+"authorizer: guard")
	a.guard.answer = allow
	c := newConnection()
	ctx := context.Background()
	a.Connect(ctx, c, newHandshake(""))
	reply := a.Message(c, []byte("hi"), false)
	if got := c.Pending(); got != 1 {
		t.Errorf("%d messages are pending, want 1", got)
	}
	a.Disconnect(ctx, c, 1000, "") // must not overtake the message
	reply(ctx)
	if got := c.Pending(); got != 0 {
		t.Errorf("%d messages are pending, want 0", got)
	}
	a.Disconnect(ctx, c, 1000, "")
	if want := []string{c.ID, c.ID, c.ID, leavers}; !slices.Equal(a.main.from, want) {
		t.Errorf("$connect, a message and $disconnect twice are from %q, want %q", a.main.from, want)
	}
	if want := []string{c.ID}; !slices.Equal(a.guard.from, want) {
		t.Errorf("the authorizer's event is from %q, want %q", a.guard.from, want)
	}
}

// passed reports whether a place at a gate was let through.
func passed(p place) bool {
	select {
	case <-p.Value:
		return true
	default:
		return false
	}
}

// TestGate: as many are let through as there is room for, in turn; those who
// give up take nothing from others.
func TestGate(t *testing.T) {
	g := newGate(2)
	join := func(from string) place {
		t.Helper()
		p, err := g.join(from)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a1, a2, a3, a4, b1 := join("a"), join("a"), join("a"), join("a"), join("b")
	state := func(step, want string) {
		t.Helper()
		got := ""
		for i, p := range []place{a1, a2, a3, a4, b1} {
			if passed(p) {
				got += []string{"a1 ", "a2 ", "a3 ", "a4 ", "b1 "}[i]
			}
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: let through are %s, want %s", step, got, want)
		}
	}
	state("at first", "a1 a2")
	g.leave()
	state("when one leaves", "a1 a2 a3")
	g.leave()
	state("it is the turn of the other", "a1 a2 a3 b1")
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.pass(over, a4); !errors.Is(err, context.Canceled) {
		t.Errorf("whoever gives up gets %v", err)
	}
	g.leave()
	state("nobody waits", "a1 a2 a3 b1")
	g.leave()
	if g.free != 2 || g.waiting.Len() != 0 {
		t.Errorf("in the end %d are free and %d wait", g.free, g.waiting.Len())
	}
}

// TestGateStress: whatever happens at the same time, no more pass than may, and
// in the end all have left.
func TestGateStress(t *testing.T) {
	g := newGate(3)
	inside := make(chan struct{}, 3)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for k := range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(k%5)*20*time.Microsecond)
				p, err := g.join(fmt.Sprint(i % 7))
				if err != nil {
					t.Error(err)
				} else if g.pass(ctx, p) == nil {
					select {
					case inside <- struct{}{}:
					default:
						t.Error("more than 3 are inside")
					}
					<-inside
					g.leave()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if g.free != 3 || g.waiting.Len() != 0 {
		t.Errorf("in the end %d are free and %d wait", g.free, g.waiting.Len())
	}
}

// TestEndpointTurns: an endpoint gets as many requests at once as it may, and
// connections take turns.
func TestEndpointTurns(t *testing.T) {
	arrived, answer := make(chan string), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ev event
		body, _ := io.ReadAll(r.Body)
		json.Unmarshal(body, &ev)
		arrived <- *ev.Body
		<-answer
	}))
	defer server.Close()
	file, err := Parse("crier.yaml", fmt.Appendf(nil,
		"routes: {$default: web}\nintegrations: {web: {http: {url: %q, concurrency: 2}}}", server.URL))
	if err != nil {
		t.Fatal(err)
	}
	options := Options{NewID: func() string { return "id" }, Report: func(Report) {}, Log: slog.New(slog.DiscardHandler)}
	a, err := Open(file, options)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	next := func() string {
		t.Helper()
		select {
		case body := <-arrived:
			return body
		case <-time.After(patience):
			t.Fatal("no request")
			panic("unreachable")
		}
	}
	busy, ann := &Connection{ID: "busy"}, &Connection{ID: "ann"}
	var replies sync.WaitGroup
	say := func(c *Connection, text string) {
		reply := a.Message(c, []byte(text), false)
		replies.Go(func() {
			if frame := reply(context.Background()); frame != nil {
				t.Errorf("%s: got %s", text, frame)
			}
		})
	}
	for i := range 10 {
		say(busy, fmt.Sprint("busy", i+1))
	}
	say(ann, "ann1")
	at := map[string]bool{next(): true, next(): true} // side by side
	if !at["busy1"] || !at["busy2"] {
		t.Errorf("first came %v", at)
	}
	for _, want := range strings.Fields("busy3 ann1 busy4 busy5 busy6 busy7 busy8 busy9 busy10") {
		select {
		case body := <-arrived:
			t.Fatalf("%s is a third request at once", body)
		default:
		}
		answer <- struct{}{}
		if got := next(); got != want {
			t.Errorf("%s came, want %s", got, want)
		}
	}
	close(answer)
	replies.Wait()
}

// TestFullEndpoint: requests beyond the limit are refused at once.
func TestFullEndpoint(t *testing.T) {
	e := (&API{}).newEndpoint(&EndpointConfig{URL: "http://127.0.0.1:1/", Concurrency: 1}, readHTTP)
	for range maxWaiting.PerKey + 1 {
		if _, err := e.Start("busy", nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := e.Start("busy", nil)
	if !errors.Is(err, fair.ErrFull) || !strings.HasPrefix(err.Error(), "http://127.0.0.1:1/: ") {
		t.Errorf("got %v", err)
	}
	if _, err := e.Start("ann", nil); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}
