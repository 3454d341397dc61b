package transport

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"crier/hub"
)

// A loop serves the connections of one shard, all on one goroutine: it reads
// from the sockets that have something, takes the shard's turn, and writes to
// every connection that has news. What is not in its inbox belongs to it alone.
//
//	wait ─▶ adopt new sockets ─▶ read ─▶ the shard's turn ─▶ flush ─▶ resume held input ─▶ timers
//	 ▲                                                                                       │
//	 └───────────────────────────────────────────────────────────────────────────────────────┘
//
// Messages that arrive while it writes are in the sockets or the logs when it
// comes round, and go out together. So the fuller its hands, the fewer writes a
// message costs; when they are empty, every message is written at once.
type loop struct {
	transport *Transport
	shard     *hub.Shard
	poller    *poller

	lines  []*line // by descriptor
	wheel  wheel
	now    int64     // as Transport.now, read once a round
	held   []*line   // with input that had to wait, and may go on
	delays delayHeap // lines with input that waits for a time
	ready  []*line   // may have something to write
	more   bool      // the shard's turn is not over

	// Memory for one read, or a batch of writes.
	buf     [readSize]byte
	drafts  [batch]draft
	memory  hub.Memory
	vectors []unix.Iovec
	header  unix.Msghdr

	// news and asleep are how others wake the loop: it says that it sleeps,
	// then looks for news; they bring news, then look whether it sleeps.
	news   atomic.Bool
	asleep atomic.Bool
	stop   atomic.Bool

	mu    sync.Mutex
	inbox []*line // have got their socket

	got, sent uint64 // bytes read and written in this round
}

func (t *Transport) newWorker() (worker, *hub.Shard, error) {
	if t.config.pumps {
		p := newPump(t.config.Hub)
		return p, p.shard, nil
	}
	l, err := newLoop(t)
	if err != nil {
		return nil, nil, err
	}
	return l, l.shard, nil
}

func newLoop(t *Transport) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{transport: t, poller: p, now: t.now()}
	l.wheel = newWheel(t.config.tick().Milliseconds(), l.now)
	l.shard = t.config.Hub.NewShard(l.wake)
	return l, nil
}

// wake makes the loop come round. It may be called from any goroutine.
func (l *loop) wake() {
	l.news.Store(true)
	if l.asleep.CompareAndSwap(true, false) {
		l.poller.ring()
	}
}

// end stops the loop, when its connections have ended.
func (l *loop) end() {
	l.stop.Store(true)
	l.wake()
}

func (l *loop) run() {
	for !l.stop.Load() {
		events := l.wait()
		l.now = l.transport.now()
		l.adopt()
		for i := range events {
			if fd := int(events[i].Fd); fd < len(l.lines) && l.lines[fd] != nil { // it may have ended in this round
				l.lines[fd].event(events[i].Events)
			}
		}
		l.more = l.shard.Turn(turn)
		l.flush()
		l.resume()
		l.wheel.advance(l.now, (*line).onTimer)
		l.transport.bytesIn.Add(l.got)
		l.transport.bytesOut.Add(l.sent)
		l.got, l.sent = 0, 0
		if l.more {
			runtime.Gosched() // others may be waiting for this processor
		}
	}
	l.poller.close()
}

// wait returns what has happened to the sockets; it sleeps when there is
// nothing else to do.
func (l *loop) wait() []unix.EpollEvent {
	if l.more || l.news.Swap(false) {
		return l.poller.ready()
	}
	l.asleep.Store(true)
	if l.news.Swap(false) {
		l.asleep.Store(false)
		return l.poller.ready()
	}
	events := l.poller.wait(l.delays.next(l.transport.started))
	l.asleep.Store(false)
	l.news.Store(false)
	return events
}

// serve implements worker.
func (l *loop) serve(c *Conn, nc net.Conn, early []byte) bool {
	fd, ok := descriptor(nc)
	if !ok {
		return false
	}
	nc.Close()
	new := &line{conn: c, loop: l, fd: int32(fd)}
	if len(early) > 0 {
		new.held = &input{rest: early}
	}
	l.mu.Lock()
	l.inbox = append(l.inbox, new)
	l.mu.Unlock()
	l.wake()
	return true
}

// descriptor returns a descriptor of the socket under nc that stays open when
// nc is closed.
func descriptor(nc net.Conn) (fd int, ok bool) {
	var err error
	switch nc := nc.(type) {
	case *net.TCPConn:
		fd, err = duplicate(nc)
	case *net.UnixConn:
		fd, err = duplicate(nc)
	default:
		return 0, false
	}
	return fd, err == nil
}

// adopt takes over the sockets in the inbox.
func (l *loop) adopt() {
	l.mu.Lock()
	inbox := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, line := range inbox {
		line.open()
	}
}

// batch is how many lines are written to together.
const batch = 64

// flush writes what is new on all lines that are ready, a batch at a time. Each
// of its three steps goes through the whole batch: between two calls of the
// kernel, which uses the processor's caches for itself, every line's state would
// have to be fetched anew, one after the other; in a short loop they are fetched
// together.
func (l *loop) flush() {
	for len(l.ready) > 0 {
		n := min(len(l.ready), batch)
		drafts := l.drafts[:n]
		for i, line := range l.ready[:n] {
			drafts[i] = line.draft()
		}
		l.ready = append(l.ready[:0], l.ready[n:]...)
		for i := range drafts {
			drafts[i].send()
		}
		for i := range drafts {
			drafts[i].settle()
		}
		clear(drafts)
		l.memory.Reset()
	}
}

// resume handles input that had to wait.
func (l *loop) resume() {
	for len(l.delays) > 0 && l.delays[0].till <= l.now {
		l.delays.pop().delayed()
	}
	held := l.held
	l.held = nil // a line that has to wait again is put into a new list
	for _, line := range held {
		line.resume()
	}
}
