package hub

import (
	"errors"
	"sync"
	"sync/atomic"
)

// A Topic names an audience. App keeps the topics of different apps apart.
type Topic struct{ App, Name string }

// Config bounds what a hub keeps, in bytes, and says what becomes of readers
// that are too slow. A zero means the default.
type Config struct {
	// Backlog is what one topic's log holds for its slowest reader: at least
	// eight times the largest frame. Default 1 MiB.
	Backlog int
	// Memory is what everything together may take: half of it is for logs, a
	// quarter for posts and senders' own copies, a quarter for what callers
	// of Reserve collect. Default 256 MiB.
	Memory int
	// Posts is what may be posted to one member and not yet written.
	// Default 256 KiB.
	Posts int
	// Skipped returns the frame that tells a member how many messages it has
	// missed. A member that falls behind then continues with the newest
	// message. Without it, Pending returns ErrBehind.
	Skipped func(messages int) []byte
}

var (
	// ErrBehind means that the logs no longer hold what a member has yet to
	// get.
	ErrBehind = errors.New("hub: the member fell behind")

	// ErrBusy means that publishing now would overrun members that are
	// keeping up, or needs memory that others are using. Nothing was
	// published. Wait for Hub.Retry and try again.
	ErrBusy = errors.New("hub: no room for the message until others have read")

	// ErrTooLarge means that a message, or its sender's copy of it, can never
	// find room. Nothing was published.
	ErrTooLarge = errors.New("hub: the message is too large for the hub's memory")

	// ErrFull means that a member's posts would exceed Config.Posts. Nothing
	// was posted.
	ErrFull = errors.New("hub: too much is posted to the member already")

	// ErrGone means that a member has left, or that its last frame is queued.
	ErrGone = errors.New("hub: the member is gone")
)

// A Hub holds topics, their logs and their members. All methods may be called
// from any goroutine.
//
// Lock order: Shard.mu before Hub.mu. No two shards are locked at once. While
// Hub.mu is held nothing is allocated that grows with a message, and nobody is
// woken.
type Hub struct {
	config   Config // set once
	logLimit int    // set once
	private  budget // of private frames
	reserved budget
	starving atomic.Bool // a member was refused for lack of private

	mu     sync.Mutex
	seq    uint64 // the number of the last publish or post
	mark   uint64 // the number of the last publish that was tried
	topics map[Topic]*topic
	shards []*Shard
	due    []*Shard // to be woken as soon as mu is unlocked

	retry   chan struct{} // closed when there may be room again; nil if nobody waits
	refused []*Shard      // to be woken then: their members were told ErrBusy

	logBytes int // footprint of all chunks
	dropped  int // bytes of chunks that were ever dropped
	weighed  int // dropped, when members were last compared by what they hold
	expelled int // members that must give up what they hold, and have not yet

	// Topics whose logs nobody needs any more, the oldest of them first. Each
	// keeps its last chunk for its next frame, unless another log needs the
	// memory.
	spentFirst, spentLast *topic
}

// New returns a hub without shards.
func New(config Config) *Hub {
	if config.Backlog == 0 {
		config.Backlog = 1 << 20
	}
	if config.Memory == 0 {
		config.Memory = 256 << 20
	}
	if config.Posts == 0 {
		config.Posts = 256 << 10
	}
	h := &Hub{config: config, logLimit: config.Memory / 2, topics: make(map[Topic]*topic), weighed: -config.Memory}
	h.private.limit = int64(config.Memory / 4)
	h.reserved.limit = int64(config.Memory / 4)
	return h
}

// A Publication is a message on its way to everyone in its topics, each once.
// Publish keeps none of its slices.
type Publication struct {
	// From is who says it; nil if that is no member.
	From *Member
	// Topics is where it goes. nil: to the topics that From is in.
	Topics []Topic
	// Frame is what everyone gets, ready to be written.
	Frame []byte
	// Echo says what From gets if it is in one of the topics.
	Echo Echo
	// Copy is what From gets instead of Frame, with EchoCopy.
	Copy []byte
}

// An Echo is what the sender of a message gets of it.
type Echo uint8

const (
	EchoSame Echo = iota // what everyone gets
	EchoCopy             // a copy of its own
	EchoNone             // nothing
)

// Publish appends a frame to the log of each topic that has members.
//
// It returns ErrBusy, ErrTooLarge, ErrGone or nil, and never waits. After
// ErrBusy the shard of p.From is woken when it is worth trying again.
//
// Once a member's last frame is queued (see Member.Finish), Publish returns
// ErrGone for it. So by the time a client receives its last frame, it has its
// copy of everything it published.
func (h *Hub) Publish(p Publication) error {
	var spare spares
	for {
		err := h.tryPublish(&p, &spare)
		if err != errNoChunk {
			return err
		}
		spare.allocate()
	}
}

// errNoChunk means that a log needs a chunk, to be allocated while no lock is
// held.
var errNoChunk = errors.New("hub: no chunk")

func (h *Hub) tryPublish(p *Publication, spare *spares) error {
	var buf [wakeable]*Shard
	if p.From == nil {
		h.mu.Lock()
		_, err := h.append(p, nil, spare)
		due := h.takeDue(buf[:0])
		h.mu.Unlock()
		wake(due)
		return err
	}
	s := p.From.shard
	s.mu.Lock()
	if p.From.stage != present {
		s.mu.Unlock()
		return ErrGone
	}
	due, err := p.From.publish(p, spare, buf[:0])
	s.mu.Unlock()
	wake(due)
	return err
}

// append appends p's frame to the logs of its topics: those in known, and for
// each nil there, or beyond, the topic of that name in p. It returns the number
// of the message. It requires h.mu, and From's shard to be locked.
func (h *Hub) append(p *Publication, known []*topic, spare *spares) (seq uint64, err error) {
	var buf [16]*topic
	audience := h.audience(buf[:0], p.Topics, known)
	if len(audience) == 0 {
		return h.seq, nil
	}
	if err := h.makeRoomIn(audience, len(p.Frame), spare); err != nil {
		if err == ErrBusy {
			h.refuse(p.From)
		}
		return 0, err
	}
	h.seq++
	for _, t := range audience {
		t.log.append(h.seq, p.Frame)
		h.announce(t)
	}
	return h.seq, nil
}

// audience appends to dst each topic that has members, once. It requires h.mu.
func (h *Hub) audience(dst []*topic, names []Topic, known []*topic) []*topic {
	h.mark++
	for i := range max(len(names), len(known)) {
		var t *topic
		if i < len(known) {
			t = known[i]
		}
		if t == nil {
			t = h.topics[names[i]]
		}
		if t != nil && t.mark != h.mark {
			t.mark = h.mark
			dst = append(dst, t)
		}
	}
	return dst
}

// announce puts the topic's groups on their shards' lists of what is new.
func (h *Hub) announce(t *topic) {
	for _, g := range t.groups {
		if g.fresh {
			continue
		}
		g.fresh = true
		if len(g.shard.fresh) == 0 {
			h.call(g.shard)
		}
		g.shard.fresh = append(g.shard.fresh, g)
	}
}

// refuse remembers whom to wake when there may be room again.
func (h *Hub) refuse(from *Member) {
	if from != nil && !from.shard.refused {
		from.shard.refused = true
		h.refused = append(h.refused, from.shard)
	}
}

// starve remembers to wake m's shard when private memory comes back, of which m
// was refused n bytes. It appends to due the shards that the caller must wake.
func (h *Hub) starve(m *Member, n int, due []*Shard) []*Shard {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse(m)
	// giveBack looks whether somebody starves after it has given; here it is the
	// other way round. So one of the two notices the other.
	h.starving.Store(true)
	if h.private.fits(n) {
		h.reconsider()
	}
	return h.takeDue(due)
}

// giveBack gives back n bytes of private memory and wakes those who were refused
// some. It requires the hub not to be locked.
func (h *Hub) giveBack(n int) {
	h.private.give(n)
	if h.starving.Load() && h.starving.CompareAndSwap(true, false) {
		h.mu.Lock()
		h.reconsider()
		h.unlock()
	}
}

// reconsider wakes everyone who was refused: there may be room now.
// It requires h.mu.
func (h *Hub) reconsider() {
	if h.retry != nil {
		close(h.retry)
		h.retry = nil
	}
	for i, s := range h.refused {
		s.refused = false
		h.call(s)
		h.refused[i] = nil
	}
	h.refused = h.refused[:0]
}

// Retry returns a channel that is closed when it may be worth repeating a
// publish that was refused with ErrBusy. To miss nothing, ask for the channel
// before trying to publish.
func (h *Hub) Retry() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.retry == nil {
		h.retry = make(chan struct{})
	}
	return h.retry
}

// call has s woken when the hub is unlocked. It requires h.mu.
func (h *Hub) call(s *Shard) {
	if !s.called {
		s.called = true
		h.due = append(h.due, s)
	}
}

// wakeable is how many shards can be woken without allocating.
const wakeable = 32

// takeDue appends to dst the shards to be woken once h.mu is unlocked.
func (h *Hub) takeDue(dst []*Shard) []*Shard {
	for i, s := range h.due {
		s.called = false
		dst = append(dst, s)
		h.due[i] = nil
	}
	h.due = h.due[:0]
	return dst
}

// unlock unlocks the hub and wakes whoever has something to do now.
func (h *Hub) unlock() {
	var buf [wakeable]*Shard
	due := h.takeDue(buf[:0])
	h.mu.Unlock()
	wake(due)
}

func wake(due []*Shard) {
	for _, s := range due {
		s.wake()
	}
}
