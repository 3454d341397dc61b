package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const testLargest = 600 << 10

// A station is a backend in a test, with what it was given.
type station struct {
	backend
	t   *testing.T
	log *lines

	mu        sync.Mutex
	delivered map[uint64]string
	changed   chan struct{}
	answer    string
	closed    sync.Once
}

func (m *station) Close() { m.closed.Do(m.backend.Close) }

func newStation(t *testing.T) *station {
	return &station{
		t: t, log: new(lines), answer: "none",
		delivered: make(map[uint64]string), changed: make(chan struct{}),
	}
}

func (m *station) callbacks() callbacks {
	return callbacks{
		deliver: func(got message) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.delivered[got.seq] = string(got.data)
			close(m.changed)
			m.changed = make(chan struct{})
		},
		respond: func(question []byte) []byte {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.answer == "none" {
				return nil
			}
			return []byte(m.answer + " to " + string(question))
		},
	}
}

// waitFor waits until a message is delivered.
func (m *station) waitFor(seq uint64, want string) {
	m.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		m.mu.Lock()
		got, ok := m.delivered[seq]
		changed := m.changed
		m.mu.Unlock()
		if ok {
			if got != want {
				m.t.Fatalf("%d is %q, not %q", seq, got, want)
			}
			return
		}
		select {
		case <-changed:
		case <-deadline:
			m.t.Fatalf("%d is not delivered", seq)
		}
	}
}

// store stores a message, as often as it takes.
func (m *station) store(data string) uint64 {
	m.t.Helper()
	var err error
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
		var seq uint64
		if seq, err = m.Store(m.t.Context(), []byte(data), anyLast); err == nil {
			return seq
		}
	}
	m.t.Fatalf("%q cannot be stored: %v\n%s", data, err, m.log)
	return 0
}

// lines is a log in memory.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// waitForLine waits until there is a line with that.
func (l *lines) waitForLine(t *testing.T, part string) {
	t.Helper()
	eventually(t, func() error {
		if text := l.String(); !strings.Contains(text, part) {
			return fmt.Errorf("the log has no %q:\n%s", part, text)
		}
		return nil
	})
}

// eventually asks until there is no error any more.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// addresses returns addresses whose ports are free. A server of a cluster has to
// get its port again after a restart. So it is none of those that systems give
// to whoever asks for any.
func addresses(t testing.TB, n int) (list []string) {
	t.Helper()
	const from, to = 10_000, 32_000
	for len(list) < n {
		address := fmt.Sprintf("127.0.0.1:%d", from+rand.IntN(to-from))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		l.Close()
		if _, given := given.LoadOrStore(address, true); !given {
			list = append(list, address)
		}
	}
	return list
}

var given sync.Map // addresses

// testBackend holds an empty log, and those that share it, to the comments of
// backend.
func testBackend(t *testing.T, members []*station) {
	t.Helper()
	ctx := t.Context()
	a, z := members[0], members[len(members)-1]
	wantBounds(t, a, 1, 0)
	if _, err := z.Load(ctx, 1, true); err != errNone {
		t.Errorf("an empty log has a message: %v", err)
	}
	if seq, err := a.Store(ctx, []byte("1"), 0); seq != 1 || err != nil {
		t.Fatalf("the first message is %d, %v", seq, err)
	}
	if _, err := z.Store(ctx, []byte("1"), 0); err != errNotLast {
		t.Errorf("a second message is the first one: %v", err)
	}
	const last = 600 // more than one Load returns
	for n := 2; n <= last; n++ {
		from := members[n%len(members)]
		if seq := from.store(fmt.Sprint(n)); seq != uint64(n) {
			t.Fatalf("%d is stored as %d", n, seq)
		}
	}
	if seq, err := z.Store(ctx, []byte("no"), last-1); err != errNotLast {
		t.Errorf("stored as %d though it is not after %d: %v", seq, last-1, err)
	}
	for _, m := range members {
		wantBounds(t, m, 1, last)
		for n := uint64(1); n <= last; n++ {
			m.waitFor(n, fmt.Sprint(n))
		}
		wantLoads(t, m, 1, last, false)
		wantLoads(t, m, last-2, last, true)
	}
	if err := z.Purge(ctx, 301); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		wantBounds(t, m, 301, last)
		eventually(t, func() error { // a follower may purge later
			if _, err := m.Load(ctx, 300, false); err != errNone {
				return fmt.Errorf("300 is there after a purge: %v", err)
			}
			return nil
		})
		wantLoads(t, m, 301, last, false)
		if h := m.Health(); h != fine {
			t.Errorf("health is %d", h)
		}
	}
	if err := a.Purge(ctx, last+1); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, z, last+1, last)
	testAsk(t, members)
}

func wantBounds(t *testing.T, m *station, first, last uint64) {
	t.Helper()
	if f, l, err := m.Bounds(t.Context()); f != first || l != last || err != nil {
		t.Errorf("the log goes from %d to %d, not from %d to %d: %v", f, l, first, last, err)
	}
}

// wantLoads loads what is in the log from one number to another.
func wantLoads(t *testing.T, m *station, from, to uint64, fresh bool) {
	t.Helper()
	for from <= to {
		var messages []message
		eventually(t, func() (err error) { // a follower may have it later
			messages, err = m.Load(t.Context(), from, fresh)
			return err
		})
		for _, got := range messages {
			if got.seq != from || string(got.data) != fmt.Sprint(from) {
				t.Fatalf("%d is loaded as %d: %q", from, got.seq, got.data)
			}
			from++
		}
	}
}

func testAsk(t *testing.T, members []*station) {
	t.Helper()
	for i, m := range members {
		m.mu.Lock()
		m.answer = fmt.Sprint(i)
		m.mu.Unlock()
	}
	for i, m := range members {
		want := make(map[string]bool)
		for j := range members {
			if j != i {
				want[fmt.Sprintf("%d to why", j)] = true
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if len(want) == 0 {
			cancel() // there is nobody to wait for
		}
		err := m.Ask(ctx, []byte("why"), func(answer []byte) bool {
			if !want[string(answer)] {
				t.Errorf("%d is told %q", i, answer)
			}
			delete(want, string(answer))
			return len(want) > 0
		})
		cancel()
		if err != nil || len(want) > 0 {
			t.Errorf("%d misses %v: %v", i, want, err)
		}
	}
}

// healthy waits until a station is.
func (m *station) healthy(want health) {
	m.t.Helper()
	eventually(m.t, func() error {
		if got := m.Health(); got != want {
			return fmt.Errorf("health is %d, not %d", got, want)
		}
		return nil
	})
}

func wantBatch(t *testing.T, m *station, seq uint64, want string) {
	t.Helper()
	eventually(t, func() error {
		got, err := m.Load(t.Context(), seq, true)
		if err == nil && string(got[0].data) != want {
			t.Fatalf("%d is %q, not %q", seq, got[0].data, want)
		}
		return err
	})
}
