package client

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crier/serve"
)

// patience is how long a test waits for what must happen; it matters only when it does not.
const patience = 20 * time.Second

// A home is a server that keeps its address over restarts.
type home struct {
	t       *testing.T
	address string
	change  []func(*serve.Config)
	stop    func()
}

func openHome(t *testing.T, change ...func(*serve.Config)) *home {
	h := &home{t: t, address: "127.0.0.1:0", change: change}
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *home) url() string { return "ws://" + h.address }

func (h *home) start() {
	h.t.Helper()
	config := serve.Defaults()
	config.Listen, config.Drain = h.address, 0
	config.History, config.HistoryBytes = 100_000, 64<<20 // no test says more while somebody is away
	for _, change := range h.change {
		change(&config)
	}
	var server *serve.Server
	// Between a stop and a start another program may have taken the port for a moment.
	eventually(h.t, "the server starts", func() bool {
		var err error
		if server, err = serve.Open(config); err != nil && !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
			h.t.Fatal(err)
		}
		return err == nil
	})
	h.address = strings.TrimPrefix(server.URL(), "ws://")
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A network stands between a client and a home. It can stop carrying anything, without a word.
type network struct {
	t        *testing.T
	to       *home
	listener net.Listener
	mu       sync.Mutex
	moves    chan struct{} // closed while it carries
	pairs    map[net.Conn]net.Conn
	carrying sync.WaitGroup
}

func openNetwork(t *testing.T, to *home) *network {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{t: t, to: to, listener: l, moves: make(chan struct{}), pairs: make(map[net.Conn]net.Conn)}
	close(n.moves)
	n.carrying.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			near.(*net.TCPConn).SetReadBuffer(64 << 10) // some systems would take all that a test sends
			far, err := net.Dial("tcp", to.address)
			if err != nil {
				near.Close()
				continue
			}
			n.mu.Lock()
			n.pairs[near] = far
			n.mu.Unlock()
			n.carrying.Go(func() { n.carry(near, far) })
			n.carrying.Go(func() { n.carry(far, near) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		n.thaw(false)
		n.carrying.Wait()
	})
	return n
}

func (n *network) url() string { return "ws://" + n.listener.Addr().String() }

func (n *network) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		m, err := from.Read(buf)
		n.mu.Lock()
		moves := n.moves
		n.mu.Unlock()
		<-moves
		if _, failed := to.Write(buf[:m]); err != nil || failed != nil {
			return
		}
	}
}

// freeze has nothing go through any more. Who is connected stays connected.
func (n *network) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.moves = make(chan struct{})
}

// thaw lets new connections through. What was frozen is lost, or, if late, goes on to the home after all, while its client
// has given it up.
func (n *network) thaw(late bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !late {
		for near, far := range n.pairs {
			near.(*net.TCPConn).SetLinger(0)
			near.Close()
			far.Close()
		}
		clear(n.pairs)
	}
	select {
	case <-n.moves:
	default:
		close(n.moves)
	}
}

// cut ends the connections there are, without a word.
func (n *network) cut() { n.thaw(false) }

// A person has a client, and remembers what was heard and what became of what was said.
type person struct {
	*Client
	t *testing.T

	mu     sync.Mutex
	news   chan struct{} // closed when anything changes
	heard  []Message
	drops  []Drop
	states []Status
}

// join makes a client with short times, which is closed at the end of the test.
func join(t *testing.T, url string, o Options) *person {
	t.Helper()
	p := &person{t: t, news: make(chan struct{})}
	if o.Retry == [2]time.Duration{} {
		o.Retry = [2]time.Duration{10 * time.Millisecond, 100 * time.Millisecond}
	}
	if o.Timeout == 0 {
		o.Timeout = 500 * time.Millisecond
	}
	o.Message = func(_ *Client, m Message) { p.note(func() { p.heard = append(p.heard, m) }) }
	o.State = func(_ *Client, s Status) { p.note(func() { p.states = append(p.states, s) }) }
	o.Drop = func(_ *Client, d Drop) { p.note(func() { p.drops = append(p.drops, d) }) }
	var err error
	if p.Client, err = Connect(context.Background(), url, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (p *person) note(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
	close(p.news)
	p.news = make(chan struct{})
}

// until waits for something that holds of a person.
func (p *person) until(what string, holds func() bool) {
	p.t.Helper()
	late := time.After(patience)
	for {
		p.mu.Lock()
		news, ok := p.news, holds()
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-late:
			p.t.Fatalf("never: %s; now it is %v", what, p.Status())
		}
	}
}

// changes returns how many states there were.
func (p *person) changes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.states)
}

// nth returns one of the states that there were.
func (p *person) nth(i int) Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states[i]
}

// becomes waits for a state, which may have been there already.
func (p *person) becomes(s State) {
	p.t.Helper()
	p.until("it becomes "+s.String(), func() bool { return len(p.states) > 0 && p.states[len(p.states)-1].State == s })
}

// numbers returns the n of each {"n":…} that was heard.
func (p *person) numbers() []int { return p.numbersOf(func(Message) bool { return true }) }

// own returns those that came back as one's own.
func (p *person) own() []int { return p.numbersOf(func(m Message) bool { return m.Mine }) }

func (p *person) numbersOf(which func(Message) bool) (ns []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.heard {
		var v struct{ N *int }
		if which(m) && json.Unmarshal(m.Data, &v) == nil && v.N != nil {
			ns = append(ns, *v.N)
		}
	}
	return ns
}

// hears waits until so many messages more were heard.
func (p *person) hears(more int) {
	p.t.Helper()
	p.mu.Lock()
	want := len(p.heard) + more
	p.mu.Unlock()
	p.until("it hears more", func() bool { return len(p.heard) >= want })
}

// fate waits for what becomes of a message.
func fate(t *testing.T, of <-chan Fate) Fate {
	t.Helper()
	select {
	case f := <-of:
		return f
	case <-time.After(patience):
		t.Fatal("it has no fate")
		return 0
	}
}

// A talk has a client say {"n":1}, {"n":2} … until it ends.
type talk struct {
	end   context.CancelFunc
	done  chan struct{}
	fates []<-chan Fate
}

func (p *person) talks() *talk {
	ctx, end := context.WithCancel(context.Background())
	k := &talk{end: end, done: make(chan struct{})}
	go func() {
		defer close(k.done)
		for n := 1; ctx.Err() == nil; n++ {
			k.fates = append(k.fates, p.Send(`{"n":`+itoa(n)+`}`))
			for p.Pending() > 500 && ctx.Err() == nil { // no more than are kept
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	p.t.Cleanup(func() { end(); <-k.done })
	return k
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// stop ends a talk and returns the numbers that had each fate.
func (k *talk) stop(t *testing.T) (all []int, by map[Fate][]int) {
	t.Helper()
	k.end()
	<-k.done
	by = make(map[Fate][]int)
	for i, of := range k.fates {
		f := fate(t, of)
		by[f] = append(by[f], i+1)
		all = append(all, i+1)
	}
	return all, by
}

// once reports whether no number is there twice.
func once(ns []int) bool {
	ns = slices.Clone(ns)
	slices.Sort(ns)
	return len(slices.Compact(ns)) == len(ns)
}
