package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A Log is the log that several servers share, as this server sees it.
//
// Four goroutines belong to it. The applier (apply.go) owns the fold and calls
// the machine. The publisher (publish.go) stores this server's batches, one at a
// time. The watch (watch.go) ticks, and looks at how far this server reaches. The sweeper (checkpoint.go)
// removes what no server needs any more.
type Log struct {
	// Set once.
	config  Config
	log     *slog.Logger
	backend backend
	ahead   *ahead // what is stored and not applied yet
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	work    chan struct{} // wakes the publisher
	calls   chan func()   // for the applier
	asked   chan struct{} // has one for each question that is being answered
	sweeps  chan struct{} // wakes the sweeper
	opened  chan struct{} // closed once the log is open, or never will be

	// applied is the place of the last batch applied. The applier writes it, with
	// mu locked.
	applied atomic.Uint64

	// Owned by the applier.
	fold    *fold
	owns    []any // of the records of the batch that is being applied, if it is ours
	changed bool  // a server has come or left in it
	lag     lag
	saved   uint64 // the place of the last checkpoint that this server has saved,
	hash    [sha256.Size]byte
	doubt   time.Time // when to ask whether this is still the same log; zero: no doubt
	seeds   importing // that another server has begun
	rescued rescued   // what this server knows of a log that is lost
	isOpen  bool
	planted atomic.Bool // the log began with config.Seed

	mu sync.Mutex
	// Guarded by mu.
	inc      *incarnation // nil between two: cut off
	health   health
	held     bool          // a tick has had no acknowledgement for long
	lagging  bool          // a live server has much log to apply still
	open     bool          // the gate: Append takes records
	closing  bool          // Close has been called
	ended    error         // why Append never takes a record again
	waiting  string        // what Open waits for
	parted   error         // why the last incarnation has ended; nil after a bye
	cut      error         // why the applier is to end the incarnation
	replaced bool          // the applier is to start over: the log is another one,
	shrunk   bool          // or lacks what this server has applied
	knows    uint64        // how far it had applied a log that is lost; 0: none is
	epoch    uint64        // of the log. Invariant: not 0 if inc is not nil
	sweepTo  uint64        // what is before may be removed
	read     uint64        // bytes applied
	servers  []ServerInfo  // the fold's; replaced, never changed
	retry    chan struct{} // what Retry has given out, or nil
	moved    chan struct{} // closed when the applier has got on, or nil
	stats    Stats
}

// A ServerInfo is a live server.
type ServerInfo struct {
	ID   Server
	Name string
	Self bool // this one
}

// Stats are for metrics.
type Stats struct {
	State         string
	Batches       uint64 // applied
	Records       uint64
	Bytes         uint64
	Written       uint64 // own batches
	Resent        uint64
	Waiting       int    // bytes queued and not stored
	Gaps          uint64 // that were filled
	Behind        uint64 // batches known to be stored and not applied
	Servers       int
	Beat          uint64
	Checkpoints   uint64
	Disagreements uint64
	Incarnations  uint64
	Deaths        uint64
}

// Open returns when the machine has everything that was stored when Open began.
func Open(ctx context.Context, c Config) (*Log, error) {
	c.setDefaults()
	alone := c.Embedded != nil && len(c.Embedded.Peers) > 0 && singleStore(c.Embedded.Dir)
	if alone {
		var err error
		if c.Seed, err = exportSingle(ctx, c); err != nil {
			return nil, err
		}
	}
	l, err := open(ctx, c, func(cb callbacks) (backend, error) { return connect(ctx, c, cb) })
	if err != nil || !alone {
		return l, err
	}
	if err := l.settleSingle(); err != nil {
		l.Close(ctx)
		return nil, err
	}
	return l, nil
}

func open(ctx context.Context, c Config, connect func(callbacks) (backend, error)) (*Log, error) {
	c.setDefaults()
	l := &Log{
		config: c, log: c.Log, ahead: newAhead(), fold: &fold{},
		work: make(chan struct{}, 1), calls: make(chan func()),
		asked: make(chan struct{}, maxAnswers), sweeps: make(chan struct{}, 1), opened: make(chan struct{}),
		waiting: "the stream",
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	b, err := connect(callbacks{deliver: l.ahead.put, respond: l.respond})
	if err != nil {
		l.stop()
		return nil, err
	}
	l.backend = b
	for _, run := range []func(){l.apply, l.publish, l.watch, l.sweep} {
		l.running.Go(run)
	}
	if err := l.await(ctx); err != nil {
		l.end(err)
		return nil, err
	}
	return l, nil
}

// await waits until the log is open, and says from time to time what for.
func (l *Log) await(ctx context.Context) error {
	say := time.NewTicker(sayEvery)
	defer say.Stop()
	for {
		select {
		case <-l.opened:
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.ended
		case <-ctx.Done():
			return fmt.Errorf("cluster: waiting for %s: %w", l.waitsFor(), context.Cause(ctx))
		case <-say.C:
			l.log.Info("the cluster waits for " + l.waitsFor())
		}
	}
}

func (l *Log) waitsFor() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

func (l *Log) setWaiting(what string) {
	l.mu.Lock()
	l.waiting = what
	l.mu.Unlock()
}

// Close says goodbye in the log, after everything that has been appended, so that
// the other servers need not wait for this one's death. When ctx is done before
// that has been applied here, what is left is lost.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		l.running.Wait()
		return nil
	}
	l.closing = true
	if l.inc != nil {
		l.inc.bye = true
	}
	l.look()
	l.mu.Unlock()
	l.wakePublisher()
	l.ahead.wake()
	var why error
	err := l.wait(ctx, func() bool {
		why = cmp.Or(l.ended, l.parted)
		return l.inc == nil || l.ended != nil
	})
	l.end(ErrClosed)
	if err == nil {
		err = why
	}
	if err != nil {
		return fmt.Errorf("cluster: closing without a goodbye: %w", err)
	}
	return nil
}

// end stops everything and waits for it.
func (l *Log) end(why error) {
	l.finish(why)
	l.stop()
	l.running.Wait()
	l.backend.Close()
}

// finish says why nothing can be appended any more. The first reason counts.
func (l *Log) finish(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = why
	}
	l.look()
	l.advanced()
}

// wait waits until done, which is called with mu locked and again each time the
// applier has got on.
func (l *Log) wait(ctx context.Context, done func() bool) error {
	for {
		l.mu.Lock()
		if done() {
			l.mu.Unlock()
			return nil
		}
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
		l.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.ctx.Done():
			return ErrClosed
		}
	}
}

// advanced wakes those that wait. mu is locked.
func (l *Log) advanced() {
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// Applied returns the place of the last batch applied here.
func (l *Log) Applied() uint64 { return l.applied.Load() }

// Reach waits until Applied is at least seq.
func (l *Log) Reach(ctx context.Context, seq uint64) error {
	return l.wait(ctx, func() bool { return l.applied.Load() >= seq })
}

// Sync returns nil when everything that was in the log when it was called is
// applied here. It writes to the log: what comes back was stored after that.
func (l *Log) Sync(ctx context.Context) error {
	var (
		inc *incarnation
		n   uint64
		err error
	)
	waited := l.wait(ctx, func() bool {
		if l.ended != nil {
			err = l.ended
			return true
		}
		if l.inc != nil && l.inc != inc { // the first, or a new one
			inc, n = l.inc, l.inc.n+1
			inc.noop = true
			l.wakePublisher()
		}
		return inc != nil && inc.applied >= n
	})
	if err == nil {
		err = waited
	}
	return err
}

// Servers returns the live servers in the order in which they came.
func (l *Log) Servers() []ServerInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	servers := append([]ServerInfo(nil), l.servers...)
	for i := range servers {
		servers[i].Self = l.inc != nil && l.inc.id == servers[i].ID
	}
	return servers
}

// Self returns this server's incarnation, 0 while it has none.
func (l *Log) Self() Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inc == nil {
		return 0
	}
	return l.inc.id
}

// Export returns the state of now, which another log can begin with (Config.Seed).
// It is nil when the log is closed.
func (l *Log) Export() []byte {
	var state []byte
	l.Do(context.Background(), func() { state = saveState(nil, l.fold, l.config.Machine) })
	return state
}

// Do calls f between two events, so that it sees the machine as it is at one place
// of the log. f must not wait. The error is that of ctx, or ErrClosed.
func (l *Log) Do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case l.calls <- func() { f(); close(done) }:
		<-done
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.ctx.Done():
		return ErrClosed
	}
}

// Stats returns what there is to count.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.State = l.state().String()
	s.Servers = len(l.servers)
	if l.inc != nil {
		s.Waiting = l.inc.waiting()
	}
	if known := l.ahead.stored(); known > l.applied.Load() {
		s.Behind = known - l.applied.Load()
	}
	return s
}
