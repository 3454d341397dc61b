package serve

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"crier/app"
	"crier/hub"
	"crier/ws"
)

// A carrier delivers messages to all members of their topics. Publish never
// waits: hub.ErrBusy means that nothing has happened, and Retry tells when to
// try again. A [hub.Hub] is a carrier.
type carrier interface {
	Publish(hub.Publication) error
	Retry() <-chan struct{}
}

// publish publishes a message. All messages go through it, wherever they come
// from. It returns hub.ErrBusy when there is no room.
func (h *home) publish(p hub.Publication) error {
	if h.shared != nil {
		return h.appendPublication(p, nil, nil)
	}
	return h.carrier.Publish(p)
}

// retry returns a channel that is closed when it may be worth trying again after
// hub.ErrBusy.
func (h *home) retry() <-chan struct{} {
	if h.shared != nil {
		return h.shared.Retry()
	}
	return h.carrier.Retry()
}

// patiently calls try again and again until it does not return hub.ErrBusy, and
// returns its error. When ctx is done, it returns the error of ctx.
func (h *home) patiently(ctx context.Context, try func() error) error {
	for {
		retry := h.retry()
		err := try()
		if !errors.Is(err, hub.ErrBusy) {
			return err
		}
		select {
		case <-retry:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A scratch is the memory for handling one event.
type scratch struct {
	conn    app.Conn
	names   []string // of conn.Topics
	effects []app.Effect
	topics  []hub.Topic
	frame   []byte
	copy    []byte
	number  uint64
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is up to how many bytes a frame's memory is kept for the next
// event.
const maxScratch = 64 << 10

func (m *scratch) free() {
	m.conn = app.Conn{}
	clear(m.names)
	if cap(m.frame) <= maxScratch && cap(m.copy) <= maxScratch {
		scratches.Put(m)
	}
}

// publication turns an effect into a publication. Its slices belong to m.
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

// frameOf frames data, as text if it is UTF-8 and as binary otherwise.
func frameOf(data []byte) []byte {
	return ws.AppendFrame(make([]byte, 0, len(data)+10), opcode(!utf8.Valid(data)), data)
}

// farewells say that clients have left, if there was no room for it at that
// moment. No goroutine of the client remains that could wait. The client's place
// stays taken until then, so there are never more farewells than places.
type farewells struct {
	home    *home // set once
	ctx     context.Context
	cancel  context.CancelFunc
	waiting queue[func() error]
	dropped atomic.Int64
}

func newFarewells(h *home) *farewells {
	f := &farewells{home: h}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.waiting.do, f.waiting.max = f.say, 1 // in order
	return f
}

// add calls try until it does not return hub.ErrBusy, and then dismisses the
// client.
func (f *farewells) add(try func() error) { f.waiting.add(try) }

func (f *farewells) say(try func() error) {
	if f.home.patiently(f.ctx, try) != nil {
		f.dropped.Add(1)
	}
	f.home.connections.dismiss()
}

// farewellGrace is how much time is left for farewells when the last client has
// left.
const farewellGrace = time.Second

// end waits until all farewells are said. After farewellGrace it drops the rest.
func (f *farewells) end() {
	defer time.AfterFunc(farewellGrace, f.cancel).Stop()
	f.waiting.wait()
	f.cancel()
	if n := f.dropped.Load(); n > 0 {
		f.home.config.Log.Warn("there was no room to say that all clients have left", "dropped", n)
	}
}
