package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestMessage(t *testing.T) {
	for _, size := range []int{minSize, 64, 1000} {
		m := appendMessage([]byte(`{"data":"`), 12345, 9876543210, 1234567*time.Microsecond, size)
		if got := len(m) - len(`{"data":"`); got != size {
			t.Errorf("%d bytes, want %d", got, size)
		}
		p, n, at, ok := parseMessage(append(m, `","_me":true}`...))
		if !ok || p != 12345 || n != 9876543210 || at != 1234567*time.Microsecond {
			t.Errorf("%s is read as %d %d %v %v", m, p, n, at, ok)
		}
	}
	for _, other := range []string{"", "hello", "#", "#00001 0000000001 000000000000000"} {
		if _, _, _, ok := parseMessage([]byte(other)); ok {
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

// room is a broadcast server as simple as can be; spoil changes what a subscriber gets of a message.
type room struct {
	mu    sync.Mutex
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
	r.conns = append(r.conns, conn)
	r.mu.Unlock()
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
			server := httptest.NewServer(r)
			defer server.Close()
			result, err := Run(context.Background(), Config{
				URL:         "ws" + strings.TrimPrefix(server.URL, "http"),
				Subscribers: 2,
				Publishers:  1,
				Rate:        200,
				Size:        64,
				Duration:    100 * time.Millisecond,
			})
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
