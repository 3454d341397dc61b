package transport

import (
	"crypto/tls"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"crier/hub"
)

// A loop serves all connections of one shard on one goroutine. It reads from
// the sockets that have something, takes the shard's turn, and writes to every
// connection that has news. Except for the inbox and the atomic fields, its
// state belongs to that goroutine alone.
//
//	wait ─▶ adopt new sockets ─▶ read ─▶ the shard's turn ─▶ flush ─▶ resume held input ─▶ timers
//	 ▲                                                                                       │
//	 └───────────────────────────────────────────────────────────────────────────────────────┘
//
// Messages that arrive while it writes are in the sockets or the logs when the
// next round begins, and go out together. So the busier it is, the fewer writes
// a message costs. When it is idle, every message is written at once.
type loop struct {
	transport *Transport
	shard     *hub.Shard
	poller    *poller

	lines  []*line // by descriptor
	wheel  wheel
	now    int64     // as Transport.now, read once a round
	held   []*line   // lines whose held input may go on
	delays delayHeap // lines with input that waits for a time
	ready  []*line   // lines that may have something to write
	more   bool      // the shard's turn is not over

	// Memory for one read or one batch of writes.
	buf     [readSize]byte
	drafts  [batch]draft
	memory  hub.Memory
	vectors []unix.Iovec
	header  unix.Msghdr
	desk    desk

	// Other goroutines wake the loop with news and asleep. The loop sets
	// asleep, then checks news. The others set news, then check asleep. So no
	// wake-up is lost.
	news   atomic.Bool
	asleep atomic.Bool
	stop   atomic.Bool

	mu    sync.Mutex
	inbox []*line // new lines with their sockets

	got, sent uint64   // bytes read and written in this round
	written   workload // since the last pause
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

// wake makes the loop start another round. It may be called from any goroutine.
func (l *loop) wake() {
	l.news.Store(true)
	if l.asleep.CompareAndSwap(true, false) {
		l.poller.ring()
	}
}

// end stops the loop. It is called when no connection is left.
func (l *loop) end() {
	l.stop.Store(true)
	l.wake()
}

// The call tree of one round.
//
//	run
//	├─ wait                  what happened to the sockets; sleeps if idle
//	├─ adopt                 takes new sockets over: line.open
//	├─ line.event            reads what clients sent; publishes through
//	│                        Receiver.Message
//	├─ Shard.Turn            wakes members with news: Conn.Wake, line.wake
//	├─ flush                 64 lines at a time
//	│  ├─ line.draft         Member.Pending: what to write; with TLS, a record of it
//	│  ├─ draft.send         one system call for a line
//	│  └─ draft.settle       Member.Advance: what was written
//	├─ resume                held input: line.delayed, line.resume
//	└─ wheel.advance         line.onTimer

// run runs rounds until end is called.
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
		time.Sleep(l.written.pause())
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

// wait returns what has happened to the sockets. It sleeps if there is nothing
// else to do.
func (l *loop) wait() []unix.EpollEvent {
	if l.more || l.news.Swap(false) {
		return l.poller.ready()
	}
	l.asleep.Store(true)
	if l.news.Swap(false) {
		l.asleep.Store(false)
		return l.poller.ready()
	}
	l.written = workload{}
	events := l.poller.wait(l.delays.next(l.transport.started))
	l.asleep.Store(false)
	l.news.Store(false)
	return events
}

// serve implements worker.
func (l *loop) serve(c *Conn, nc net.Conn, early []byte) bool {
	socket, under := nc, inner(nil)
	if secret, ok := nc.(*tls.Conn); ok {
		if under, ok = secret.NetConn().(inner); !ok {
			return false
		}
		socket = under.NetConn()
	}
	fd, ok := descriptor(socket)
	if !ok {
		return false
	}
	new := &line{conn: c, loop: l, fd: int32(fd)}
	if under != nil {
		new.tunnel = &tunnel{tls: nc.(*tls.Conn), desk: &l.desk, fd: fd}
		under.Replace(new.tunnel)
	}
	socket.Close()
	if len(early) > 0 {
		new.held = &input{rest: early}
	}
	l.mu.Lock()
	l.inbox = append(l.inbox, new)
	l.mu.Unlock()
	l.wake()
	return true
}

// descriptor returns a descriptor of nc's socket that stays open when nc is
// closed.
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
// of its three steps goes through the whole batch. A system call uses the
// processor's caches for itself: if the steps were done line by line, the state
// of every line would have to be fetched again after each call, one after the
// other. In a short loop the states are fetched together.
func (l *loop) flush() {
	if len(l.ready) >= batch {
		l.written.lines += len(l.ready)
		defer func(start time.Time) { l.written.took += time.Since(start) }(time.Now())
	}
	for len(l.ready) > 0 {
		n := min(len(l.ready), batch)
		drafts := l.drafts[:n]
		for i, line := range l.ready[:n] {
			drafts[i] = line.draft()
			if len(l.desk.records) > maxRecords {
				n = i + 1
				drafts = drafts[:n]
				break
			}
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
		l.desk.records = l.desk.records[:0]
	}
}

// A workload is what was written without a pause.
type workload struct {
	lines  int // that were ready, where many were
	sealed int // messages that were finished in records
	took   time.Duration
}

// pause returns how long to wait before the next round. After many records with
// many messages each, the clients still have to open them, and what they answer
// comes one by one. If the loop went on with the first of it, there would be as many
// records again, with few messages each, and both sides would be busy with records.
// So a part of the time is left for more to come.
func (w *workload) pause() time.Duration {
	const (
		long  = 4 * time.Millisecond
		many  = 20
		share = 4
	)
	if w.took < long {
		return 0
	}
	last := *w
	*w = workload{}
	if last.sealed < many*last.lines {
		return 0
	}
	return last.took / share
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
