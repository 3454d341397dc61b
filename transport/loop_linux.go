package transport

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"crier/hub"
)

// A loop serves the connections of one shard, all on one goroutine: it reads from the sockets that have something, has
// the hub make its cut, and writes to everybody who has news. What is not in its inbox belongs to it alone.
//
//	wait ─▶ take in new sockets ─▶ read ─▶ the shard's turn: write ─▶ those who had to wait ─▶ those whose time has come
//	 ▲                                                                                                      │
//	 └──────────────────────────────────────────────────────────────────────────────────────────────────────┘
//
// Messages that arrive while it writes are in the sockets or the logs when it comes round, and go out together. So
// the fuller its hands, the fewer writes a message costs; when they are empty, every message is written at once.
type loop struct {
	transport *Transport
	shard     *hub.Shard
	poller    *poller

	lines   []*line // by descriptor
	wheel   wheel
	now     int64   // milliseconds since 1970, read once a round
	waiting []*line // with input that had to wait, and may go on
	ready   []*line // may have something to write
	more    bool    // the shard's turn is not over

	// Memory for one read, or a batch of writes.
	buf     [readSize]byte
	drafts  [batch]draft
	pending [][]byte
	vectors []unix.Iovec
	header  unix.Msghdr

	// news and asleep are how others wake the loop: it says that it sleeps, then looks for news; they bring news,
	// then look whether it sleeps.
	news   atomic.Bool
	asleep atomic.Bool
	stop   atomic.Bool

	mu    sync.Mutex
	inbox []*line // have got their socket

	bytesIn, bytesOut atomic.Uint64
	sent              uint64 // in this round, to be added to bytesOut
}

func (t *Transport) newWorker() (worker, error) {
	if t.config.pumps {
		return newPump(t.config.Hub), nil
	}
	return newLoop(t)
}

func newLoop(t *Transport) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{transport: t, poller: p, now: time.Now().UnixMilli()}
	l.wheel = newWheel(t.config.tick().Milliseconds(), l.now)
	l.shard = t.config.Hub.NewShard(l.wake)
	return l, nil
}

// wake has the loop come round. It may be called from any goroutine, and with locks of the hub held.
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
		l.now = time.Now().UnixMilli()
		l.takeIn()
		for i := range events {
			if fd := int(events[i].Fd); fd < len(l.lines) && l.lines[fd] != nil { // it may have ended in this round
				l.lines[fd].event(events[i].Events)
			}
		}
		l.more = l.shard.Turn(turn)
		l.write()
		l.goOn()
		l.wheel.advance(l.now, (*line).look)
		l.bytesOut.Add(l.sent)
		l.sent = 0
		if l.more {
			runtime.Gosched() // others may be waiting for this processor
		}
	}
	l.poller.close()
}

// wait returns what has happened to the sockets; it sleeps when there is nothing else to do.
func (l *loop) wait() []unix.EpollEvent {
	if l.more || l.news.Swap(false) {
		return l.poller.ready()
	}
	l.asleep.Store(true)
	if l.news.Swap(false) {
		l.asleep.Store(false)
		return l.poller.ready()
	}
	events := l.poller.wait()
	l.asleep.Store(false)
	l.news.Store(false)
	return events
}

func (l *loop) join(c *Conn) { l.shard.Join(&c.Member, c) }

func (l *loop) bytes() (in, out uint64) { return l.bytesIn.Load(), l.bytesOut.Load() }

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

// descriptor returns a descriptor of the socket under nc that stays open when nc is closed.
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

// takeIn takes over the sockets in the inbox.
func (l *loop) takeIn() {
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

// write writes what is new on all lines that are ready, a batch at a time. Each of its three steps goes through the whole
// batch: between two calls of the kernel, which uses the processor's caches for itself, every line's state would have to be
// fetched anew, one after the other; in a short loop they are fetched together.
func (l *loop) write() {
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
		clear(l.pending)
		l.pending = l.pending[:0]
	}
}

// goOn handles input that had to wait.
func (l *loop) goOn() {
	waiting := l.waiting
	l.waiting = nil // who has to wait again is put into a new list
	for _, line := range waiting {
		line.goOn()
	}
}
