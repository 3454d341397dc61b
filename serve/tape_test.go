package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "crier/client"
	"crier/cluster"
	"crier/internal/wiretest"
)

// A tape is a log of several servers in one process. Each server applies it in a
// goroutine of its own, so some are ahead of others.
type tape struct {
	mu     sync.Mutex
	events []taped
	more   chan struct{} // closed when there are more events
	heads  []*head
}

// A taped is an event, and the server that wrote it.
type taped struct {
	event cluster.Event
	by    *head
	own   any
	probe func(*head) // instead of an event
}

// A head applies a tape for one server. It implements sharedLog.
type head struct {
	tape    *tape
	number  cluster.Server
	home    *home
	mu      sync.Mutex
	applied int
	moved   chan struct{} // closed when applied changes
	waits   atomic.Int32  // somebody waits for it
	loses   atomic.Bool   // what is appended
}

func newTape() *tape { return &tape{more: make(chan struct{})} }

func (t *tape) add(e taped) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.event.Now = time.Now().UnixMilli()
	if n := len(t.events); n > 0 {
		e.event.Now = max(e.event.Now, t.events[n-1].event.Now)
		e.event.Beat = t.events[n-1].event.Beat
	}
	if e.event.Kind == cluster.Beat {
		e.event.Beat++
	}
	t.events = append(t.events, e)
	close(t.more)
	t.more = make(chan struct{})
}

func (t *tape) at(i int) (e taped, more <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i < len(t.events) {
		return t.events[i], nil, true
	}
	return taped{}, t.more, false
}

func (t *tape) length() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.events)
}

// attach makes a server one of those that share the tape.
func (t *tape) attach(h *home) sharedLog {
	t.mu.Lock()
	defer t.mu.Unlock()
	head := &head{tape: t, number: cluster.Server(len(t.heads) + 1), home: h, moved: make(chan struct{})}
	t.heads = append(t.heads, head)
	return head
}

// run applies the tape until ctx is done.
func (h *head) run(ctx context.Context) {
	machine := replica{h.home}
	for i := 0; ; {
		e, more, ok := h.tape.at(i)
		if !ok {
			select {
			case <-more:
				continue
			case <-ctx.Done():
				return
			}
		}
		if e.by == h {
			e.event.Own = e.own
		}
		if i++; e.probe != nil {
			e.probe(h)
		} else if e.event.Kind != cluster.Lost || e.by == h {
			machine.Apply(&e.event)
		}
		h.mu.Lock()
		h.applied = i
		close(h.moved)
		h.moved = make(chan struct{})
		h.mu.Unlock()
	}
}

func (h *head) Append(record []byte, own any) error {
	e := cluster.Event{Kind: cluster.Record, Server: h.number, Data: bytes.Clone(record)}
	if h.loses.Load() {
		e.Kind = cluster.Lost
	}
	h.tape.add(taped{event: e, by: h, own: own})
	return nil
}

func (h *head) Retry() <-chan struct{} {
	always := make(chan struct{})
	close(always)
	return always
}

// reach waits until so many events are applied.
func (h *head) reach(ctx context.Context, n int) error {
	h.waits.Add(1)
	defer h.waits.Add(-1)
	for {
		h.mu.Lock()
		applied, moved := h.applied, h.moved
		h.mu.Unlock()
		if applied >= n {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *head) Sync(ctx context.Context) error { return h.reach(ctx, h.tape.length()) }

func (h *head) Ask(ctx context.Context, question []byte) (answers [][]byte, servers int) {
	h.mu.Lock()
	n := h.applied
	h.mu.Unlock()
	h.tape.mu.Lock()
	heads := h.tape.heads
	h.tape.mu.Unlock()
	for _, other := range heads {
		if other != h && other.reach(ctx, n) == nil {
			answers = append(answers, other.home.answer(question))
		}
	}
	return answers, len(heads)
}

// openShared starts n servers that share a tape.
func openShared(t *testing.T, n int, change func(*Config)) (*tape, []*Server) {
	t.Helper()
	shared := newTape()
	var servers []*Server
	for range n {
		config := Defaults()
		config.Listen = "localhost:0"
		config.Drain = 0
		config.share = shared.attach
		if change != nil {
			change(&config)
		}
		s, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		h := s.home.shared.(*head)
		s.http.Handler = summed(s.http.Handler, &servers)
		applying, enough := context.WithCancel(context.Background())
		ctx, stop := context.WithCancel(context.Background())
		done, applied := make(chan error), make(chan struct{})
		go func() { done <- s.Run(ctx) }()
		go func() { h.run(applying); close(applied) }()
		t.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			enough()
			<-applied
		})
		servers = append(servers, s)
	}
	rec := agrees(7, servers[0].home.config.terms())
	shared.heads[0].Append(rec, nil)
	beats, silent := context.WithCancel(context.Background())
	var beating sync.WaitGroup
	beating.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				shared.add(taped{event: cluster.Event{Kind: cluster.Beat}})
			case <-beats.Done():
				return
			}
		}
	})
	t.Cleanup(func() { silent(); beating.Wait() })
	return shared, servers
}

// balance leads each connection to another server. It returns the address.
func balance(t *testing.T, servers []*Server) string {
	t.Helper()
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.listeners[0].Addr().String())
	}
	return "ws://" + wiretest.Balance(t, addresses)
}

// summed answers requests for metrics with the sums of all servers, as those who
// watch them add them up.
func summed(inner http.Handler, servers *[]*Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" && r.ContentLength == 0 && r.TransferEncoding == nil {
			io.WriteString(w, sums(*servers))
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// residentMemory is what a process needs. Here it is that of all servers, of the
// test, and of the tape, which keeps everything. So it is told to be the same at
// all times. Goroutines are left out for that reason.
const residentMemory = "process_resident_memory_bytes"

// sums adds up the metrics of several servers.
func sums(servers []*Server) string {
	total := make(map[string]float64)
	for _, s := range servers {
		w := httptest.NewRecorder()
		s.home.metrics.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for line := range strings.Lines(w.Body.String()) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if n, err := strconv.ParseFloat(value, 64); err == nil && name != "go_goroutines" {
				total[name] += n
			}
		}
	}
	total[residentMemory] = 1
	var text strings.Builder
	for name, n := range total {
		fmt.Fprintf(&text, "%s %v\n", name, n)
	}
	return text.String()
}

// sameState compares what all servers know at one place of the tape.
func sameState(t *testing.T, shared *tape) {
	t.Helper()
	saved := make([][]byte, len(shared.heads))
	shared.add(taped{probe: func(h *head) { saved[h.number-1] = replica{h.home}.Save(nil) }})
	n := shared.length()
	for i, h := range shared.heads {
		if err := h.reach(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(saved[0], saved[i]) {
			t.Errorf("server %d knows something else than server 1", i+1)
		}
	}
	config := Defaults()
	config.Listen = "localhost:0"
	config.share = newTape().attach
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	again := replica{s.home}
	for range 2 { // the second time there is something to be replaced
		if err := again.Restore(saved[0]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(saved[0], again.Save(nil)) {
			t.Error("what is restored is not what was saved")
		}
	}
	for n := 0; n < len(saved[0]); n += max(1, len(saved[0])/200) {
		again.Restore(saved[0][:n]) // cut short: an error, or not, but no panic
	}
	again.Restore(nil)
}

// TestSharedState: whatever clients of three servers do, all servers know the
// same, and a server that starts from what they know does, too.
func TestSharedState(t *testing.T) {
	shared, servers := openShared(t, 3, func(c *Config) {
		c.Linger = 2 * time.Second
		c.History, c.HistoryBytes, c.Keys, c.StateBytes = 7, 2000, 5, 1500
	})
	url := balance(t, servers)
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() { disorder(t, url, uint64(i)) })
	}
	clients.Wait()
	sameState(t, shared)
}

// disorder is a client of live that does this and that.
func disorder(t *testing.T, url string, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	topic := func() string { return string("abc"[rnd.IntN(3)]) }
	token := ""
	for range 10 {
		c, err := wire.Dial(t.Context(), fmt.Sprintf("%s/live?topic=%s&user=u%d&last=5&resume=%s", url, topic(), rnd.IntN(4), token), wire.Handshake{})
		if err != nil {
			t.Error(err)
			return
		}
		token = greeted(t, c).Resume
		for range 5 + rnd.IntN(20) {
			c.Write([]byte([]string{
				`{"x":1}`, `{"x":2,"_keep":false}`, `{"v":1,"_key":"k"}`, `{"v":1,"_key":"t","_tied":true}`, `{"v":1,"_key":"o","_own":true}`,
				`{"_key":"k","_drop":true}`, `{"_join":"` + topic() + `"}`, `{"_leave":"` + topic() + `"}`, `{"_to":"u1","y":1}`, `{"_key":7}`, `words`,
				`{"v":"` + strings.Repeat("v", rnd.IntN(500)) + `","_key":"k` + topic() + `"}`,
			}[rnd.IntN(12)]), false)
		}
		switch rnd.IntN(3) {
		case 0:
			c.HangUp()
		default:
			c.Write([]byte(`{"_to":"nobody","_id":"last"}`), false)
			for !strings.Contains(next(t, c), `"last"`) {
			}
			c.HangUp()
			if rnd.IntN(2) == 0 {
				token = ""
			}
		}
	}
}

// TestSharedWire: three servers that share a log are on the wire as one.
func TestSharedWire(t *testing.T) {
	shared, servers := openShared(t, 3, nil)
	wiretest.Run(t, balance(t, servers))
	sameState(t, shared)
}
