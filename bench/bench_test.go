package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestMessage(t *testing.T) {
	for _, size := range []int{minSize, 64, 1000} {
		m := appendMessage([]byte(`{"data":"`), 271, 12345, 9876543210, 1234567*time.Microsecond, size)
		if got := len(m) - len(`{"data":"`); got != size {
			t.Errorf("%d bytes, want %d", got, size)
		}
		run, p, n, at, ok := parseMessage(append(m, `","_me":true}`...))
		if !ok || run != 271 || p != 12345 || n != 9876543210 || at != 1234567*time.Microsecond {
			t.Errorf("%s is read as %d %d %v %v", m, p, n, at, ok)
		}
	}
	for _, other := range []string{"", "hello", "#", "#00001 0000000001 000000000000000"} {
		if _, _, _, _, ok := parseMessage([]byte(other)); ok {
			t.Errorf("%q is taken for a message", other)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h, other histogram
	for us := 1; us <= 1000; us++ {
		h.record(time.Duration(us) * time.Microsecond)
		other.record(time.Duration(us+1000) * time.Microsecond)
	}
	h.add(&other)
	for q, want := range map[float64]float64{0.5: 1.0, 0.99: 1.98, 1: 2.0} {
		if got := h.quantile(q); got < want || got > want*17/16 {
			t.Errorf("quantile %v is %v ms, want %v or a sixteenth more", q, got, want)
		}
	}
	for range 10_000 {
		d := time.Duration(rand.Int64N(int64(time.Hour)) >> rand.IntN(40)).Truncate(time.Microsecond)
		if up := upTo(bucket(d)); up < d || up > d*17/16 {
			t.Fatalf("%v is counted as up to %v", d, up)
		}
	}
}

// room is a broadcast server for two, as simple as can be; spoil changes what a subscriber gets of a message.
type room struct {
	mu    sync.Mutex
	both  chan struct{} // closed when both are there
	conns []*websocket.Conn
	spoil func(to int, stamped string) []string
	heard int
}

func (r *room) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	conn, err := websocket.Accept(w, req, nil)
	if err != nil {
		return
	}
	r.mu.Lock()
	if r.conns = append(r.conns, conn); len(r.conns) == 2 {
		close(r.both)
	}
	r.mu.Unlock()
	<-r.both
	for {
		_, data, err := conn.Read(req.Context())
		if err != nil {
			return
		}
		r.mu.Lock()
		r.heard++
		for i, c := range r.conns {
			for _, text := range r.spoil(i, fmt.Sprintf(`{"data":"%s","_now":1,"_me":%v}`, data, c == conn)) {
				c.Write(req.Context(), websocket.MessageText, []byte(text))
			}
		}
		r.mu.Unlock()
	}
}

func TestRunFindsFaults(t *testing.T) {
	just := func(text string) []string { return []string{text} }
	for name, c := range map[string]struct {
		spoil func(r *room, to int, text string) []string
		want  string
	}{
		"perfect": {func(_ *room, _ int, text string) []string { return just(text) }, ""},
		"loses": {func(r *room, to int, text string) []string {
			if to == 1 && r.heard == 5 {
				return nil
			}
			return just(text)
		}, "1 deliveries were lost"},
		"loses the last": {func(r *room, to int, text string) []string {
			if to == 1 && r.heard > 5 {
				return nil
			}
			return just(text)
		}, "were lost"},
		"twice": {func(r *room, to int, text string) []string {
			if to == 1 && r.heard == 5 {
				return []string{text, text}
			}
			return just(text)
		}, "1 deliveries came twice or out of order"},
		"wrong _me": {func(r *room, to int, text string) []string {
			if r.heard == 5 {
				text = strings.Replace(text, `"_me":false`, `"_me":true`, 1)
			}
			return just(text)
		}, "1 deliveries had a wrong _me"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some of them wait for what never comes
			r := &room{}
			r.spoil = func(to int, text string) []string { return c.spoil(r, to, text) }
			result, err := r.visit(t.Context(), t, Config{Rate: 200, Duration: 100 * time.Millisecond, patience: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if result.Deliveries == 0 || !result.Stamped {
				t.Errorf("%+v", result)
			}
			got := ""
			if err := result.Check(); err != nil {
				got = err.Error()
			}
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// visit runs a short benchmark of a room.
func (r *room) visit(ctx context.Context, t *testing.T, c Config) (Result, error) {
	t.Helper()
	r.both = make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("/", r)
	mux.HandleFunc("/metrics", func(http.ResponseWriter, *http.Request) { time.Sleep(200 * time.Millisecond) })
	server := httptest.NewServer(mux)
	defer server.Close()
	c.URL = "ws" + strings.TrimPrefix(server.URL, "http")
	c.Subscribers, c.Publishers, c.Size = 2, 1, max(c.Size, minSize)
	return Run(ctx, c)
}

func fair(_ int, text string) []string { return []string{text} }

// TestOthers: what another benchmark says at the same time is not ours.
func TestOthers(t *testing.T) {
	t.Parallel()
	r := &room{}
	other := strings.NewReplacer(`"#`, `"#9`, ` 0`, ` 1`) // of another run, with other numbers
	r.spoil = func(_ int, text string) []string { return []string{other.Replace(text), text} }
	if result, err := r.visit(t.Context(), t, Config{Rate: 100, Duration: 100 * time.Millisecond}); err != nil || result.Check() != nil {
		t.Errorf("%v, %v", err, result.Check())
	}
}

// TestSlowMetrics: what is delivered while the server is asked how it is, before or after, does not count.
func TestSlowMetrics(t *testing.T) {
	t.Parallel()
	result, err := (&room{spoil: fair}).visit(t.Context(), t, Config{Rate: 100, Duration: 300 * time.Millisecond})
	if most := uint64(100*result.Seconds) + 2; err != nil || result.Published > most {
		t.Errorf("published %d in %v s, %v", result.Published, result.Seconds, err)
	}
}

// TestBenchLimits: a bench that uses nearly all of its cores says so.
func TestBenchLimits(t *testing.T) {
	cores := float64(runtime.GOMAXPROCS(0))
	for used, want := range map[float64]bool{0.1: false, 0.8 * cores: false, 0.95 * cores: true} {
		if limits(used) != want {
			t.Errorf("%.2f cores of %.0f: limits is %v", used, cores, !want)
		}
	}
	before := ownCPU()
	for begun := time.Now(); time.Since(begun) < 50*time.Millisecond; {
	}
	if ownCPU() <= before {
		t.Error("it has used no processor time")
	}
}

// TestLateAtTheEnd: what arrives when the time is over was late, too.
func TestLateAtTheEnd(t *testing.T) {
	t.Parallel()
	r := &room{}
	begun := time.Now()
	stall := sync.OnceFunc(func() { time.Sleep(500 * time.Millisecond) })
	r.spoil = func(_ int, text string) []string {
		if time.Since(begun) > 400*time.Millisecond {
			stall()
		}
		return []string{text}
	}
	result, err := r.visit(t.Context(), t, Config{Rate: 100, Duration: 400 * time.Millisecond})
	if err != nil || result.Max < 200 || result.Check() != nil {
		t.Errorf("%v, %v, the latest was %v ms late", err, result.Check(), result.Max)
	}
}

// TestInterrupted: whoever does not want to wait is told what there is, and nothing is said to be lost that was under way.
func TestInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		warmup time.Duration
		want   string
	}{
		"while it measures": {0, ""},
		"before":            {time.Minute, "interrupted before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &room{}
			r.spoil = func(_ int, text string) []string {
				time.Sleep(10 * time.Millisecond)
				return []string{text}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			result, err := r.visit(ctx, t, Config{Window: 4, Warmup: c.warmup, Duration: time.Minute})
			if got := fmt.Sprint(err); c.want != "" && !strings.Contains(got, c.want) || c.want == "" && (err != nil || result.Deliveries == 0) {
				t.Errorf("%+v, %v", result, err)
			}
			if err := result.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFrozenServer does not hold the benchmark up for ever.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	r, thaw := &room{}, make(chan struct{})
	defer close(thaw)
	r.spoil = func(int, string) []string { <-thaw; return nil }
	if _, err := r.visit(t.Context(), t, Config{Rate: 1000, Size: 30_000, Duration: 500 * time.Millisecond, patience: time.Second}); err == nil || !strings.Contains(err.Error(), "has taken no message") {
		t.Errorf("got %v", err)
	}
}

func TestRunRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not today\nnor tomorrow", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	_, err := Run(context.Background(), Config{
		URL: "ws" + strings.TrimPrefix(server.URL, "http"), Subscribers: 1, Publishers: 1, Window: 1, Size: 64, Duration: time.Second,
	})
	if err == nil || !strings.Contains(err.Error(), `refused: 503 Service Unavailable: "not today`) {
		t.Errorf("got %v", err)
	}
}
