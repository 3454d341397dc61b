package serve

import (
	"context"
	"errors"
	"sync"
	"time"
	"unicode/utf8"

	"crier/app"
	"crier/hub"
	"crier/ws"
)

// A carrier takes messages to everyone who is in their topics. It never waits:
// hub.ErrBusy says that nothing has happened, and Retry when to try again. A hub
// is one.
type carrier interface {
	Publish(hub.Publication) error
	Retry() <-chan struct{}
}

// publish is the one way in for messages, whoever says them. With patience it
// tries again until that is done, and returns its error then; without, it
// returns hub.ErrBusy.
func (h *home) publish(p hub.Publication, patience context.Context) error {
	for {
		var retry <-chan struct{}
		if patience != nil {
			retry = h.carrier.Retry()
		}
		err := h.carrier.Publish(p)
		if patience == nil || !errors.Is(err, hub.ErrBusy) {
			return err
		}
		select {
		case <-retry:
		case <-patience.Done():
			return patience.Err()
		}
	}
}

// scratch is memory for one event.
type scratch struct {
	conn    app.Conn
	names   []string // of conn.Topics
	effects []app.Effect
	topics  []hub.Topic
	frame   []byte
	copy    []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is how many bytes of a frame are kept for the next event.
const maxScratch = 64 << 10

func (m *scratch) free() {
	m.conn = app.Conn{}
	clear(m.names)
	if cap(m.frame) <= maxScratch && cap(m.copy) <= maxScratch {
		scratches.Put(m)
	}
}

// publication makes a publication of an effect. Its slices are m's.
func (m *scratch) publication(appName string, e *app.Effect) hub.Publication {
	m.frame = ws.AppendFrame(m.frame[:0], opcode(e.Binary), e.Data)
	p := hub.Publication{Frame: m.frame}
	if e.Topics != nil {
		m.topics = appendTopics(m.topics[:0], appName, e.Topics)
		p.Topics = m.topics
	}
	switch e.Echo {
	case app.EchoSame:
		p.Echo = hub.EchoSame
	case app.EchoNone:
		p.Echo = hub.EchoNone
	case app.EchoCopy:
		m.copy = ws.AppendFrame(m.copy[:0], opcode(e.Binary), e.Copy)
		p.Echo, p.Copy = hub.EchoCopy, m.copy
	}
	return p
}

func appendTopics(dst []hub.Topic, appName string, names []string) []hub.Topic {
	for _, name := range names {
		dst = append(dst, hub.Topic{App: appName, Name: name})
	}
	return dst
}

func opcode(binary bool) ws.Opcode {
	if binary {
		return ws.Binary
	}
	return ws.Text
}

// frameOf frames data as text if it is text.
func frameOf(data []byte) []byte {
	return ws.AppendFrame(make([]byte, 0, len(data)+10), opcode(!utf8.Valid(data)), data)
}

// farewells publishes what apps say when a client has left, and there was no
// room for at that moment: nobody is there any more who could wait. The client's
// place is taken until then, so that there are never more of them than places.
type farewells struct {
	home   *home // set once
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	waiting [][]hub.Publication // of each client, the oldest first. Invariant: empty, or running
	running bool
	idle    *sync.Cond // signals that nothing is running
	dropped int
}

func newFarewells(h *home) *farewells {
	f := &farewells{home: h}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.idle = sync.NewCond(&f.mu)
	return f
}

// add publishes a client's farewells as soon as that can be, and then dismisses
// it.
func (f *farewells) add(list []hub.Publication) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, list)
	if !f.running {
		f.running = true
		go f.run() // end waits for it
	}
}

// run returns when nothing waits.
func (f *farewells) run() {
	for {
		f.mu.Lock()
		if len(f.waiting) == 0 {
			f.waiting, f.running = nil, false
			f.idle.Broadcast()
			f.mu.Unlock()
			return
		}
		list := f.waiting[0]
		f.waiting[0] = nil
		f.waiting = f.waiting[1:]
		f.mu.Unlock()
		dropped := 0
		for _, p := range list {
			if f.home.publish(p, f.ctx) != nil {
				dropped++
			}
		}
		f.mu.Lock()
		f.dropped += dropped
		f.mu.Unlock()
		f.home.sessions.dismiss()
	}
}

// farewellGrace is how long farewells may still take when the last client has
// left.
const farewellGrace = time.Second

// end waits until all is published, but not for long: then it is dropped.
func (f *farewells) end() {
	defer time.AfterFunc(farewellGrace, f.cancel).Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.running {
		f.idle.Wait()
	}
	f.cancel()
	if f.dropped > 0 {
		f.home.config.Log.Warn("there was no room to say that all clients have left", "dropped", f.dropped)
	}
}
