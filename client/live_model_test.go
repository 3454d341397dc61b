package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"crier/ws"
)

var seeds = flag.Int("seeds", 400, "how many `runs` TestLiveModel makes")

// dice can be thrown by several goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed int) *dice { return &dice{r: rand.New(rand.NewPCG(uint64(seed), 0))} }

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) time(most time.Duration) time.Duration { return time.Duration(d.n(int(most))) }

// A weather is a network between a client and a world. It loses connections.
type weather struct {
	*dice
	w    *world
	mu   sync.Mutex
	fine bool
	cuts []func()

	going sync.WaitGroup
}

// dial makes a connection with which anything may happen.
func (n *weather) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	fine := n.fine
	n.mu.Unlock()
	if !fine && n.n(5) == 0 {
		return nil, errors.New("out of reach")
	}
	near, a := net.Pipe()
	far, b := net.Pipe()
	cut := sync.OnceFunc(func() { a.Close(); b.Close() })
	n.mu.Lock()
	n.cuts = append(n.cuts, cut)
	n.mu.Unlock()
	n.going.Go(func() { n.carry(a, b, cut, fine) })
	n.going.Go(func() { n.carry(b, a, cut, fine) })
	n.going.Go(func() { n.w.serve(far) })
	return near, nil
}

// carry brings bytes from one side to the other, until something happens. It
// always reads, because a write that waits for it would hold a lock, and the
// clock stands still while others wait for a lock.
func (n *weather) carry(from, to net.Conn, cut func(), fine bool) {
	chunks := make(chan []byte, 10_000)
	n.going.Go(func() {
		defer close(chunks)
		for {
			buf := make([]byte, 2048)
			m, err := from.Read(buf)
			if err != nil {
				return
			}
			chunks <- buf[:m]
		}
	})
	budget, freezes := n.n(1<<(7+n.n(10))), n.n(4) == 0
	for chunk := range chunks {
		if time.Sleep(time.Millisecond); !fine {
			time.Sleep(n.time(30 * time.Millisecond))
			chunk = chunk[:min(len(chunk), budget)]
			budget -= len(chunk)
		}
		if len(chunk) > 0 {
			to.Write(chunk)
		}
		if budget == 0 && !freezes {
			break
		}
	}
	if budget == 0 && freezes {
		time.Sleep(n.time(time.Minute)) // the other side does not know yet
	}
	cut()
	for range chunks {
	}
}

// calm ends all bad connections, and makes only good ones from now on.
func (n *weather) calm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fine = true
	for _, cut := range n.cuts {
		cut()
	}
}

// A run is one history of a client and a world.
type run struct {
	*testing.T
	weather
	c      *Client
	o      Options
	sent   int
	fates  map[int]<-chan Fate
	got    []Message
	missed int
	drops  map[int]Fate
}

// TestLiveModel: whatever the network does, every message is published once for
// as long as the session lives, its fate is the truth, and in the end the client
// knows what the server knows.
func TestLiveModel(t *testing.T) {
	counts := make(map[string]int)
	for seed := range *seeds {
		synctest.Test(t, func(t *testing.T) { testLiveRun(t, seed, counts) })
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Log(counts)
	for _, what := range []string{"confirmed", "unsure", "rejected", "resumed", "missed", "lost"} {
		if *seeds >= 100 && counts[what] == 0 {
			t.Errorf("nothing was %s", what)
		}
	}
}

func testLiveRun(t *testing.T, seed int, counts map[string]int) {
	r := &run{T: t, weather: weather{dice: newDice(seed), w: newWorld()}, fates: make(map[int]<-chan Fate), drops: make(map[int]Fate)}
	slow := r.n(3) == 0
	r.w.work = func() time.Duration {
		if slow {
			return r.time(20 * time.Millisecond)
		}
		return 0
	}
	r.o = Options{
		Topics: []string{"a", "b"}[:1+r.n(2)], User: []string{"", "ada"}[r.n(2)], NoEcho: r.n(4) == 0, Live: &Live{Last: r.n(2) * 5},
		Heartbeat: 20 * time.Second, Timeout: 5 * time.Second, Retry: [2]time.Duration{time.Second, 5 * time.Second}, dial: r.dial,
		Message: func(_ *Client, m Message) { r.hear(m) },
		Drop:    func(_ *Client, d Drop) { r.drops[number(d.Data)] = d.Fate },
	}
	c, err := Connect(context.Background(), nearby, r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.c = c
	bots := []*seat{{id: "bot1", user: "ben"}, {id: "bot2", user: "eve"}}
	for range 20 + r.n(60) {
		r.act()
		for range r.n(3) {
			r.w.mu.Lock()
			r.happen(bots)
			r.w.mu.Unlock()
		}
		if r.n(3) == 0 {
			time.Sleep(r.time(500 * time.Millisecond))
		}
		if r.n(40) == 0 {
			time.Sleep(r.time(time.Minute))
		}
	}
	r.calm()
	if r.n(4) > 0 {
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.w.mu.Lock()
		r.compare()
		r.w.mu.Unlock()
	}
	c.Close()
	r.going.Wait()
	time.Sleep(time.Minute)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.judge(counts)
	for _, q := range r.w.asked {
		if q.Get("resume") != "" {
			counts["resumed"]++
		}
	}
	counts["missed"] += r.missed
	counts["lost"] += r.w.lost
}

// hear takes a message from the client.
func (r *run) hear(m Message) {
	r.got = append(r.got, m)
	if misses(m) {
		r.missed++
	}
}

func misses(m Message) bool {
	return m.Kind == Hello && bytes.Contains(m.Data, []byte(`"missed":true`))
}

// act makes the client do something.
func (r *run) act() {
	text := func() string { return fmt.Sprintf(`{"n":%d}`, r.sent) }
	names := []string{"a", "b", "c", "forbidden"}
	r.sent++
	topic := r.c.Topic(names[r.n(2)])
	var fate <-chan Fate
	switch r.n(14) {
	case 0, 1, 2:
		fate = topic.Send(text())
	case 3:
		fate = topic.Set(names[r.n(3)], text(), Scope(r.n(3)))
	case 4:
		topic.Unset(names[r.n(3)], Scope(r.n(3)))
	case 5:
		fate = r.c.Topic("").SendTo(text(), "ben", "id1")
	case 6:
		fate = r.c.SendBinary([]byte(fmt.Sprint(r.sent)))
	case 7:
		fate = r.c.Send(fmt.Sprintf(`{"n":%d,"refuse":true}`, r.sent))
	case 8:
		fate = r.c.Send(fmt.Sprintf(`{"n":%d,"_keep":false}`, r.sent))
	case 9:
		r.c.Topic(names[2+r.n(2)]).Join(0)
	case 10:
		r.c.Topic("c").Leave()
	case 11:
		if r.n(3) == 0 {
			r.c.Reconnect()
		}
	default:
		fate = r.c.Send(text())
	}
	if fate != nil {
		r.fates[r.sent] = fate
	}
}

// happen makes others, or the server, do something.
func (r *run) happen(bots []*seat) {
	w, bot := r.w, bots[r.n(2)]
	p := w.place([]string{"a", "b", "c"}[r.n(3)])
	ours := r.ours()
	switch r.n(24) {
	case 0, 1, 2, 3, 4:
		w.enter(bot, p.name)
	case 5, 6:
		if slices.Contains(p.seats, bot) {
			w.leave(bot, p.name, "left")
		}
	case 7, 8, 9, 10, 11, 12:
		if slices.Contains(p.seats, bot) {
			w.handle(bot, fmt.Appendf(nil, `{"v":%d,"_topic":%q,"_key":"k%d"}`, len(p.entries), p.name, r.n(3)), false)
			w.handle(bot, fmt.Appendf(nil, `{"v":%d,"_topic":%q}`, len(p.entries), p.name), false)
		}
	case 13:
		if r.n(4) == 0 {
			p.floor = max(p.floor, len(p.entries)-r.n(10))
		}
	case 14:
		if r.n(10) == 0 {
			w.forget(p)
		}
	case 15:
		if ours != nil && r.n(6) == 0 {
			w.hangUp(ours, ws.Close{Code: ws.TryAgainLater, Reason: "overloaded: come back later"}, true)
		}
	case 16:
		if ours != nil && r.n(3) == 0 {
			w.hangUp(ours, ws.Close{Code: ws.TryAgainLater, Reason: "fell-behind: you read too slowly"}, false)
		}
	case 17:
		if ours != nil && r.n(3) == 0 {
			w.hangUp(ours, ws.Close{Code: ws.GoingAway, Reason: "going-away: the server is going away"}, r.n(2) == 0)
		}
	}
}

// ours returns what the world has of the client's session.
func (r *run) ours() *seat {
	id := r.c.ID()
	for _, s := range r.w.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
}

func number(data []byte) int {
	var m struct{ N int }
	if json.Unmarshal(data, &m) != nil {
		fmt.Sscan(string(data), &m.N)
	}
	return m.N
}

// compare checks that the client's view is the world's.
func (r *run) compare() {
	if s := r.c.Status(); s.State != Open {
		r.Errorf("it is %v", s)
	}
	ours := r.ours()
	r.c.mu.Lock()
	var rooms []string
	for _, room := range r.c.session.rooms {
		rooms = append(rooms, room.name)
	}
	r.c.mu.Unlock()
	if slices.Sort(rooms); ours == nil || ours.id != r.c.ID() || !slices.Equal(rooms, slices.Sorted(slices.Values(ours.topics))) {
		r.Errorf("it is %s in %q; the server has %+v", r.c.ID(), rooms, ours)
		return
	}
	for _, name := range rooms {
		p := r.w.topics[name]
		if here := r.c.Topic(name).Here(); !slices.Equal(here, p.here()) {
			r.Errorf("in %s it sees %v, there are %v", name, here, p.here())
		}
		r.compareState(p, ours)
		r.compareMessages(p)
		if r.Failed() {
			for _, m := range r.got {
				if m.Topic == name {
					r.Logf("got %s", m.Data)
				}
			}
		}
	}
}

// compareState checks the state, except, without echo, what the client sets
// itself: k0, k1 … are the others' keys.
func (r *run) compareState(p *place, ours *seat) {
	state := r.c.Topic(p.name).State()
	for key, i := range p.state {
		m, ok := state[key]
		delete(state, key)
		if r.o.NoEcho && key.Name[0] != 'k' {
			continue
		}
		if want := p.frame(i, ours.id); !ok || !strings.HasPrefix(string(m.Data), p.entries[i].frame) {
			r.Errorf("in %s %v is %s, want %s", p.name, key, m.Data, want)
		}
	}
	for key, m := range state {
		if !r.o.NoEcho || key.Name[0] == 'k' {
			r.Errorf("in %s %v is %s, and should not be there", p.name, key, m.Data)
		}
	}
}

// compareMessages checks that nothing came twice, and that from the first
// _ready on nothing is missing.
func (r *run) compareMessages(p *place) {
	base, seen := -1, []int(nil)
	for _, m := range r.got {
		// Of topics that the client joins and leaves, only the last visit counts.
		again := p.name == "c" && m.Kind == Hello
		if m.Topic == p.name && (again || misses(m)) {
			base, seen = -1, nil
		}
		var epoch, i int
		if n, _ := fmt.Sscanf(member(m.Data, "_offset"), `"e%d-%d"`, &epoch, &i); n < 2 || m.Topic != p.name {
			continue
		}
		if m.Kind == Ready {
			if base < 0 {
				base = i
			}
			continue
		}
		if len(seen) > 0 && i <= seen[len(seen)-1] {
			r.Errorf("in %s it received %s after %v", p.name, m.Data, seen)
		}
		seen = append(seen, i)
	}
	for i, e := range p.entries {
		own := strings.HasPrefix(e.from, "id")
		if i <= base || own && (r.o.NoEcho || e.kind != Said) || slices.Contains(seen, i) {
			continue
		}
		r.Errorf("in %s it has not received %d, %s; but %v, from %d on", p.name, i, e.frame, seen, base)
	}
}

// judge checks what has become of the client's messages.
func (r *run) judge(counts map[string]int) {
	if !slices.IsSorted(r.w.order) {
		r.Errorf("they were published in the order %v", r.w.order)
	}
	for n, of := range r.fates {
		var fate Fate
		select {
		case fate = <-of:
		default:
			r.Errorf("%d has no fate", n)
			continue
		}
		counts[fate.String()]++
		taken, refused, right := r.w.taken[n], r.w.refused[n], false
		switch fate {
		case Confirmed: // a refusal may be lost with a connection
			right = taken == 1 || taken == 0 && refused
		case Sent:
			right = taken == 1 || taken == 0 && (refused || r.w.lost > 0)
		case Unsure:
			right = taken <= 1 && r.w.lost > 0
		case Dropped:
			right = taken == 0
		case Rejected:
			right = taken == 0 && refused
		}
		if told, ok := r.drops[n]; ok && told != fate || !ok && (fate == Unsure || fate == Rejected) {
			r.Errorf("Drop tells of %d: %v, %v", n, ok, told)
		}
		if !right {
			r.Errorf("%d is %v; it was published %d times, refused %v, and %d sessions were lost", n, fate, taken, refused, r.w.lost)
		}
	}
}
