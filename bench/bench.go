// Package bench measures a broadcast server: many connections listen, some of them speak, and every message is followed to
// everyone who should hear it.
//
//	result, err := bench.Run(ctx, bench.Config{URL: "ws://localhost:8080", Subscribers: 1000, Publishers: 1, Window: 64, …})
//
// # What it verifies
//
// Every message carries its publisher and number. Each subscriber must get every publisher's messages once and in
// order, from the first to the last; where the server stamps, _me must be true in the publisher's own copies and false in
// all others. What is missing, out of order or stamped wrongly is counted.
//
// # What it measures
//
// Deliveries per second, and the time from when a message was to be sent to when a subscriber has read it: with a rate,
// a publisher that is held up does not make the numbers better, nor does what arrives when the time is over. The load takes
// processor time, too: if the server is on the same machine, give each its own cores.
package bench

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"crier/client"
)

// Config says what load to make. Either Rate or Window must be given.
type Config struct {
	URL         string        // of the app, ws:// or wss://
	Topic       string        // for ?topic=, unless empty
	Header      http.Header   // of each handshake
	TLS         *tls.Config   // for wss; nil: trust the authorities that the system trusts
	Subscribers int           // connections, all of which listen
	Publishers  int           // how many of them speak
	Rate        float64       // messages per second of each publisher
	Window      int           // messages under way at once, all publishers together
	Size        int           // bytes of a message
	Warmup      time.Duration // before it counts
	Duration    time.Duration // of what counts
	Progress    func(Progress)

	patience time.Duration // how long to wait for a server that does nothing; 0: as long as patience
}

// Progress is told once a second.
type Progress struct {
	Connected  int // connections so far
	Elapsed    time.Duration
	Deliveries uint64 // in the last second
}

// Result is what was measured.
type Result struct {
	Subscribers  int     `json:"subscribers"`
	Publishers   int     `json:"publishers"`
	Size         int     `json:"size"`
	Rate         float64 `json:"rate,omitempty"`
	Window       int     `json:"window,omitempty"`
	Seconds      float64 `json:"seconds"`
	Published    uint64  `json:"published"`           // in that time
	Deliveries   uint64  `json:"deliveries"`          // in that time
	PerSecond    float64 `json:"deliveriesPerSecond"` //
	P50          float64 `json:"p50Milliseconds"`     //
	P99          float64 `json:"p99Milliseconds"`     //
	P999         float64 `json:"p999Milliseconds"`    //
	Max          float64 `json:"maxMilliseconds"`     //
	Lost         uint64  `json:"lost"`                // of all that was sent, warm-up included
	Disordered   uint64  `json:"disordered"`          // came twice, or behind a later one
	WrongMe      uint64  `json:"wrongMe"`             // stamped wrongly
	Stamped      bool    `json:"stamped"`             // the server stamps
	Closed       int     `json:"closed"`              // connections that the server ended
	WhyClosed    string  `json:"whyClosed,omitempty"` // the first of them
	ServerMemory uint64  `json:"serverMemory"`        // bytes resident at the end; 0 if unknown
	ServerCPU    float64 `json:"serverCPU"`           // cores; 0 if unknown
	BenchCPU     float64 `json:"benchCPU"`            // cores that this process used, of those that it may use
	BenchLimits  bool    `json:"benchLimits"`         // it used nearly all of them: another bench may get more out of the server
	ConnectTime  float64 `json:"connectSeconds"`      // to open all connections
}

// Check reports what is wrong with a result other than that it is slow.
func (r Result) Check() error {
	switch {
	case r.Closed > 0:
		return fmt.Errorf("the server closed %d connections: %s", r.Closed, r.WhyClosed)
	case r.Lost > 0:
		return fmt.Errorf("%d deliveries were lost", r.Lost)
	case r.Disordered > 0:
		return fmt.Errorf("%d deliveries came twice or out of order", r.Disordered)
	case r.WrongMe > 0:
		return fmt.Errorf("%d deliveries had a wrong _me", r.WrongMe)
	}
	return nil
}

func (c Config) check() error {
	switch {
	case c.Subscribers < 1 || c.Publishers < 1 || c.Publishers > c.Subscribers:
		return errors.New("there must be at least one publisher, and no more publishers than subscribers")
	case c.Publishers > maxPublishers:
		return fmt.Errorf("at most %d publishers", maxPublishers)
	case (c.Rate > 0) == (c.Window > 0):
		return errors.New("either a rate or a window is needed")
	case c.Size < minSize:
		return fmt.Errorf("a message has at least %d bytes", minSize)
	case c.Duration <= 0:
		return errors.New("the duration must be positive")
	}
	return nil
}

// A run is one benchmark under way.
type run struct {
	config Config
	id     int       // of this run: others may be under way
	start  time.Time // messages carry times since then

	subscribers []*subscriber
	sent        []atomic.Uint64 // by publisher
	received    atomic.Uint64   // deliveries
	room        chan struct{}   // has room for one: look whether the window has room
	from, to    atomic.Int64    // nanoseconds since start: what was to be sent in between is measured
	stamped     atomic.Bool
}

// Run makes the load and returns what was measured. If ctx is done earlier it returns what there is, if there is anything.
func Run(ctx context.Context, config Config) (Result, error) {
	if err := config.check(); err != nil {
		return Result{}, err
	}
	config.patience = cmp.Or(config.patience, patience)
	r := &run{
		config: config,
		id:     rand.N(maxRuns),
		start:  time.Now(),
		sent:   make([]atomic.Uint64, config.Publishers),
		room:   make(chan struct{}, 1),
	}
	r.from.Store(math.MaxInt64)
	r.to.Store(math.MaxInt64)
	address, err := url.Parse(config.URL)
	if err != nil {
		return Result{}, err
	}
	if config.Topic != "" {
		query := address.Query()
		query.Add("topic", config.Topic)
		address.RawQuery = query.Encode()
	}
	if err := r.connect(ctx, address); err != nil {
		r.cut()
		return Result{}, err
	}
	return r.measure(ctx, address)
}

// atOnce is how many handshakes are under way at once.
const atOnce = 64

func (r *run) connect(ctx context.Context, address *url.URL) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.subscribers = make([]*subscriber, r.config.Subscribers)
	var next, connected atomic.Int64
	var dialing sync.WaitGroup
	for range atOnce {
		dialing.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(r.subscribers)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				conn, err := dial(ctx, address.String(), client.Handshake{Header: r.config.Header, TLS: r.config.TLS, MaxMessage: r.config.maxHeard()})
				if err != nil {
					stop(fmt.Errorf("connection %d: %w", i+1, err))
					return
				}
				r.subscribers[i] = newSubscriber(r, int(i), conn)
				connected.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() { dialing.Wait(); close(done) }()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return context.Cause(ctx)
		case <-ticker.C:
			r.tell(Progress{Connected: int(connected.Load())})
		}
	}
}

func (r *run) tell(p Progress) {
	if r.config.Progress != nil {
		r.config.Progress(p)
	}
}

// patience is how long the run waits for a server that does nothing: that neither takes messages nor delivers the last.
const patience = 5 * time.Second

func (r *run) measure(ctx context.Context, address *url.URL) (Result, error) {
	connected := time.Since(r.start)
	var listening, speaking sync.WaitGroup
	for _, s := range r.subscribers {
		listening.Go(s.listen)
	}
	speakCtx, quiet := context.WithCancel(ctx)
	defer quiet()
	if r.config.Window > 0 {
		speaking.Go(func() { r.keepWindow(speakCtx) })
	} else {
		for p := range r.config.Publishers {
			speaking.Go(func() { r.keepRate(speakCtx, p) })
		}
	}

	r.watch(ctx, r.config.Warmup, 0)
	interrupted := ctx.Err() != nil
	server, own := r.config.probe(ctx, address), ownCPU()
	before, begun := r.count(), time.Since(r.start)
	r.from.Store(int64(begun))
	r.watch(ctx, r.config.Duration, r.config.Warmup)
	after, ended := r.count(), time.Since(r.start)
	r.to.Store(int64(ended))
	spent := ownCPU() - own
	used := r.config.probe(ctx, address)
	quiet()
	stuck := time.AfterFunc(r.config.patience, r.cut)
	speaking.Wait()
	takes := stuck.Stop()
	if takes {
		r.settle()
		stuck.Reset(r.config.patience)
	}
	r.hangUp()
	listening.Wait()
	stuck.Stop()
	switch {
	case interrupted:
		return Result{}, errors.New("interrupted before it could measure anything")
	case !takes:
		return Result{}, fmt.Errorf("the server has taken no message for %v", r.config.patience)
	}
	seconds := (ended - begun).Seconds()

	result := Result{
		Subscribers: r.config.Subscribers, Publishers: r.config.Publishers, Size: r.config.Size,
		Rate: r.config.Rate, Window: r.config.Window,
		Seconds: seconds, Published: after.sent - before.sent, Deliveries: after.received - before.received,
		PerSecond:   float64(after.received-before.received) / seconds,
		Stamped:     r.stamped.Load(),
		ConnectTime: connected.Seconds(),
		BenchCPU:    spent.Seconds() / seconds,
	}
	result.BenchLimits = limits(result.BenchCPU)
	if used.ok && server.ok {
		result.ServerMemory = used.memory
		result.ServerCPU = (used.cpu - server.cpu) / used.at.Sub(server.at).Seconds()
	}
	r.sum(&result)
	return result, nil
}

// limits reports whether a bench that uses so many cores is as busy as it can be.
func limits(cores float64) bool { return cores > 0.9*float64(runtime.GOMAXPROCS(0)) }

type counted struct{ sent, received uint64 }

func (r *run) count() (c counted) {
	for p := range r.sent {
		c.sent += r.sent[p].Load()
	}
	c.received = r.received.Load()
	return c
}

// watch waits and tells how it goes.
func (r *run) watch(ctx context.Context, d, since time.Duration) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	last := r.received.Load()
	for start := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-ticker.C:
			now := r.received.Load()
			r.tell(Progress{Connected: len(r.subscribers), Elapsed: since + time.Since(start), Deliveries: now - last})
			last = now
		}
	}
}

// settle waits until everything that was sent has arrived, or nothing arrives any more.
func (r *run) settle() {
	want := r.count().sent * uint64(len(r.subscribers))
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	last, since := r.received.Load(), time.Now()
	for r.received.Load() < want && time.Since(since) < r.config.patience {
		<-ticker.C
		if now := r.received.Load(); now > last {
			last, since = now, time.Now()
		}
	}
}

// cut ends the connections of a server that does not even take a goodbye.
func (r *run) cut() {
	for _, s := range r.subscribers {
		if s != nil {
			s.conn.HangUp()
		}
	}
}

func (r *run) hangUp() {
	for _, s := range r.subscribers {
		s.hangUp()
	}
}

// sum adds up what the subscribers have found. They must have ended.
func (r *run) sum(result *Result) {
	var all histogram
	for _, s := range r.subscribers {
		all.add(&s.latency)
		result.Disordered += s.disordered
		result.WrongMe += s.wrongMe
		for p := range r.sent {
			if sent := r.sent[p].Load(); sent > s.next[p] {
				result.Lost += sent - s.next[p]
			}
		}
		result.Lost += s.gaps
		if s.closed != nil {
			if result.Closed++; result.WhyClosed == "" {
				result.WhyClosed = s.closed.Error()
			}
		}
	}
	result.P50, result.P99, result.P999 = all.quantile(0.5), all.quantile(0.99), all.quantile(0.999)
	result.Max = all.quantile(1)
}
