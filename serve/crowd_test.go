package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// await waits until something is true.
func await(t *testing.T, otherwise string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

// peek runs a function that looks at what calls guards.
func (c *calls) peek(look func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	look()
}

// peek runs a function that looks at a queue.
func (q *queue[T]) peek(look func(waiting []T, workers int)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	look(q.waiting, q.workers)
}

// knock sends a handshake and does not wait for the answer.
func knock(t *testing.T, s *Server, query string) net.Conn {
	t.Helper()
	host := strings.TrimPrefix(s.URL(), "ws://")
	nc, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	fmt.Fprintf(nc, "GET /dev%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", query, host)
	return nc
}

// letIn returns the answer to a handshake.
func letIn(t *testing.T, nc net.Conn) *http.Response {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestTooManyCalls: one client has half of all messages at most with the
// handlers, and others are heard meanwhile.
func TestTooManyCalls(t *testing.T) {
	s, h := openOwn(t, nil)
	busy, other := dial(t, s, h, ""), dial(t, s, h, "")
	for range maxCalls / 2 {
		busy.say("hold")
	}
	busy.say("one more")
	if got := busy.hear(); !strings.HasPrefix(got, `{"message": "Too Many Requests", "connectionId":"`+busy.id) {
		t.Errorf("got %s", got)
	}
	for range maxCalls / 4 {
		other.say("hold")
	}
	other.say("one more")
	if got := other.hear(); !strings.HasPrefix(got, `{"message": "Too Many Requests", "connectionId":"`+other.id) {
		t.Errorf("the other got %s", got)
	}
	close(h.hold)
	for c, n := range map[*client]int{busy: maxCalls / 2, other: maxCalls / 4} {
		for range n {
			if got := c.hear(); got != "you said hold" {
				t.Fatalf("got %s", got)
			}
		}
		c.say("again")
		if got := c.hear(); got != "you said again" {
			t.Errorf("got %s", got)
		}
	}
	await(t, "messages are with the handlers in the end", func() (none bool) {
		s.home.calls.peek(func() { none = s.home.calls.messages == 0 })
		return none
	})
}

// TestTooManyHandshakes: handshakes beyond the limit are refused, and the
// others wait for their handler.
func TestTooManyHandshakes(t *testing.T) {
	s, h := openOwn(t, nil)
	var waiting []net.Conn
	for range maxHandshakes {
		waiting = append(waiting, knock(t, s, "?wait=1"))
	}
	await(t, "the handshakes do not arrive", func() (all bool) {
		s.home.calls.peek(func() { all = s.home.calls.handshakes == maxHandshakes })
		return all
	})
	resp := letIn(t, knock(t, s, ""))
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 429 || !strings.HasPrefix(string(body), `{"message": "Too Many Requests", "connectionId":"`) {
		t.Errorf("one more gets %s %s", resp.Status, body)
	}
	close(h.hold)
	for _, nc := range waiting {
		if got := letIn(t, nc).StatusCode; got != 101 {
			t.Fatalf("one that waited gets %d", got)
		}
	}
	if got := letIn(t, knock(t, s, "")).StatusCode; got != 101 {
		t.Errorf("another one gets %d", got)
	}
}

// A gate is a handler of $disconnect that keeps those who leave until it is
// opened.
type gate struct {
	*httptest.Server
	open chan struct{}

	mu     sync.Mutex
	inside int // at once
	most   int
	told   map[string]int // of connections that have left
}

func newDoor(t *testing.T) *gate {
	d := &gate{open: make(chan struct{}), told: make(map[string]int)}
	d.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var ev handlerEvent
		if err := json.NewDecoder(r.Body).Decode(&ev); err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		d.inside++
		d.most = max(d.most, d.inside)
		d.mu.Unlock()
		select {
		case <-d.open:
		case <-r.Context().Done():
		}
		d.mu.Lock()
		d.inside--
		d.told[ev.Context.Connection]++
		d.mu.Unlock()
	}))
	t.Cleanup(d.Close)
	return d
}

// crowd lets clients in, and returns when all have gone and the handler is told
// of them.
func crowd(t *testing.T, s *Server, clients int) {
	t.Helper()
	var all []net.Conn
	for range clients {
		nc := knock(t, s, "")
		if got := letIn(t, nc).StatusCode; got != 101 {
			t.Fatalf("a client gets %d", got)
		}
		all = append(all, nc)
	}
	for _, nc := range all {
		nc.Close()
	}
	await(t, "not all ends are noticed", func() (gone bool) {
		s.home.calls.endings.peek(func(waiting []ending, workers int) { gone = len(waiting)+workers == clients })
		return gone && len(s.home.connectionsHere("", nil)) == 0
	})
}

// TestMassDisconnect: when thousands leave at once, a few are handled at a
// time; the others wait, need no goroutine, and keep their place until the
// handler knows of them.
func TestMassDisconnect(t *testing.T) {
	const clients = 3000
	d := newDoor(t)
	own := openAPI(t, "routes: {$disconnect: web}\nintegrations: {web: {http: {url: %q, concurrency: 1000}}}", d.URL)
	s := open(t, func(c *Config) {
		c.Own = &OwnAPI{API: own, Alone: true}
		c.MaxConnections = clients
	})
	before := runtime.NumGoroutine()
	crowd(t, s, clients)
	await(t, "the handler is not asked", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.inside == maxEndings
	})
	// Each that is handled has five: the announcer, two of the HTTP client, two
	// of the HTTP server.
	if got := runtime.NumGoroutine() - before; got > 6*maxEndings {
		t.Errorf("there are %d more goroutines", got)
	}
	if resp := letIn(t, knock(t, s, "")); resp.StatusCode != 503 {
		t.Errorf("meanwhile another client gets %s", resp.Status)
	}
	close(d.open)
	await(t, "not all ends are handled", func() bool {
		s.home.connections.mu.Lock()
		defer s.home.connections.mu.Unlock()
		return s.home.connections.admitted == 0
	})
	s.home.calls.endings.peek(func(waiting []ending, workers int) {
		if workers != 0 || waiting != nil {
			t.Errorf("left are %d announcers and %d endings", workers, len(waiting))
		}
	})
	d.mu.Lock()
	if len(d.told) != clients || d.most != maxEndings {
		t.Errorf("the handler was told of %d ends, %d at once; want %d, %d at once",
			len(d.told), d.most, clients, maxEndings)
	}
	for id, times := range d.told {
		if times != 1 {
			t.Errorf("the handler was told %d times of %s", times, id)
		}
	}
	d.mu.Unlock()
	if resp := letIn(t, knock(t, s, "")); resp.StatusCode != 101 {
		t.Errorf("afterwards another client gets %s", resp.Status)
	}
}

// TestEndWithoutTime: a server that ends does not wait for a handler that takes
// too long, and says what it has dropped.
func TestEndWithoutTime(t *testing.T) {
	const clients = 300
	d := newDoor(t)
	own := openAPI(t, "routes: {$disconnect: web}\nintegrations: {web: {http: %q}}", d.URL)
	var log strings.Builder
	config := Defaults()
	config.Listen, config.Drain, config.Own = "localhost:0", 0, &OwnAPI{API: own, Alone: true}
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	crowd(t, s, clients)
	start := time.Now()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < callsGrace || took > callsGrace+patience {
		t.Errorf("it took %v", took)
	}
	want := fmt.Sprintf(`msg="there was no time to hand over all $disconnect events" dropped=%d`, clients-maxEndings)
	if !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %s:\n%s", want, log.String())
	}
	s.home.calls.endings.peek(func(waiting []ending, workers int) {
		if s.home.connections.admitted != 0 || workers != 0 || waiting != nil {
			t.Errorf("left are %d connections, %d announcers and %d endings",
				s.home.connections.admitted, workers, len(waiting))
		}
	})
	checkHub(t, s)
}
