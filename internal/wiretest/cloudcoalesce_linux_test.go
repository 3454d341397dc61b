package wiretest

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	reconnecting "crier/client"
)

var coalesced = flag.Duration("coalesce", 0, "measure a room of 20 with this window for ten seconds, for docs/aws.md")

// TestCloudCoalesce: with a window, a fast room has every message once, with fewer posts; clients of ours take them apart.
func TestCloudCoalesce(t *testing.T) {
	t.Parallel()
	window, players, each, pause := 50*time.Millisecond, 5, 20, 20*time.Millisecond
	if *coalesced > 0 {
		window, players, each, pause = *coalesced, 20, 100, 100*time.Millisecond
	}
	e := startEndpoint(t)
	s := startApp(t, "broadcast", 10, "CRIER_ENDPOINT: "+e.URL+"/prod", fmt.Sprintf("CRIER_COALESCE: %d", window.Milliseconds()))
	e.lead(s)
	var posts int
	e.from(func(n int, _ string) string { posts = n; return passed })

	r := &room{t: t, got: make([]map[string]int, players)}
	r.play(s.url, each, pause)
	want := players * each
	for start := time.Now(); time.Since(start) < patience; time.Sleep(10 * time.Millisecond) {
		if r.has(want) {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, got := range r.got {
		double := 0
		for _, n := range got {
			double += n - 1
		}
		if len(got) != want || double > 0 {
			t.Errorf("client %d got %d messages, want %d; %d of them again", i, len(got), want, double)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if posts >= want*players {
		t.Errorf("%d posts for %d messages to %d clients", posts, want, players)
	}
	t.Logf("window %v: %d posts for %d deliveries; half of the messages took %v, 95 in 100 took %v", window, posts, want*players, quantile(r.late, 0.5), quantile(r.late, 0.95))
}

// A room is clients that send at a steady pace.
type room struct {
	t    *testing.T
	mu   sync.Mutex
	got  []map[string]int // what each has got, and how often
	late []time.Duration  // how long messages took to the first
}

// play lets the clients connect and send, and returns when all is sent.
func (r *room) play(address string, each int, pause time.Duration) {
	r.t.Helper()
	var clients []*reconnecting.Client
	for i := range r.got {
		r.got[i] = make(map[string]int)
		c, err := reconnecting.Connect(r.t.Context(), address, reconnecting.Options{Message: func(_ *reconnecting.Client, m reconnecting.Message) { r.hear(i, m) }})
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { c.Close() })
		clients = append(clients, c)
	}
	for _, c := range clients {
		for c.Status().State != reconnecting.Open {
			time.Sleep(10 * time.Millisecond)
		}
	}
	var saying sync.WaitGroup
	for i, c := range clients {
		saying.Go(func() {
			time.Sleep(time.Duration(i) * pause / time.Duration(len(clients)))
			for n := range each {
				c.Send(fmt.Sprintf(`{"i":%d,"n":%d,"at":%d}`, i, n, time.Now().UnixMicro()))
				time.Sleep(pause)
			}
		})
	}
	saying.Wait()
}

// hear notes what a client has got.
func (r *room) hear(i int, m reconnecting.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, _, _ := strings.Cut(string(m.Data), `,"_now"`)
	r.got[i][text]++
	var at int64
	if fmt.Sscanf(text[strings.LastIndex(text, ":")+1:], "%d", &at); i == 0 {
		r.late = append(r.late, time.Since(time.UnixMicro(at)))
	}
}

// has reports whether all clients have so many messages.
func (r *room) has(want int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.got, func(got map[string]int) bool { return len(got) < want })
}

func quantile(times []time.Duration, part float64) time.Duration {
	slices.Sort(times)
	return times[int(part*float64(len(times)-1))].Round(time.Millisecond)
}
