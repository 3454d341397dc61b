package hub

import (
	"errors"
	"sync"
	"sync/atomic"
)

// A Topic names an audience. App separates the topics of different apps.
type Topic struct {
	App, Name string
	// Aside is for a second topic beside the one of that name. It is neither
	// listed nor counted.
	Aside bool
}

// Config sets how much a hub keeps, in bytes, and what happens to readers that
// are too slow. Negative values are not checked; each field says what they do.
type Config struct {
	// Backlog is how much the log of one topic holds for its slowest
	// reader. It must be at least eight times the largest frame. Zero means
	// 1 MiB. With a negative value a log holds a single chunk of 1 KiB, or
	// one frame if that is larger.
	Backlog int
	// Memory is how much everything together may take. Half of it is for
	// logs, a quarter for posts and senders' own copies, a quarter for what
	// callers of [Hub.Reserve] collect. Zero means 256 MiB. With a negative
	// value every publish to a topic that has members returns ErrTooLarge.
	Memory int
	// Posts is how much may be posted to one member and not be written yet.
	// Zero means 256 KiB. With a negative value every post returns ErrFull.
	Posts int
	// KeepHistory makes histories stay whatever memory is needed for. Only
	// their Retention limits them, so the caller has to limit all of them
	// together (see [Hub.HistoryBytes]). A topic with a history should then
	// get no messages without Keep: they stay as long as older ones that are
	// kept. If KeepHistory is false, other logs get the memory of histories.
	KeepHistory bool
	// Skipped returns the frame that tells a member how many messages it
	// missed. A member that falls behind then continues with the newest
	// message. If Skipped is nil, [Member.Pending] returns ErrBehind
	// instead.
	Skipped func(messages int) []byte
}

var (
	// ErrBehind means that the logs no longer hold everything that a member
	// needs, or that the member had to give its place up to others.
	ErrBehind = errors.New("hub: the member fell behind")

	// ErrBusy means that publishing now would overrun members that are
	// keeping up, or needs memory that others are using. Nothing was
	// published. Wait for [Hub.Retry] and try again.
	ErrBusy = errors.New("hub: no room for the message until others have read")

	// ErrTooLarge means that a message, or its sender's copy of it, can never
	// fit into the memory. Nothing was published.
	ErrTooLarge = errors.New("hub: the message is too large for the hub's memory")

	// ErrFull means that a member's posts would exceed [Config].Posts, or that
	// there is no memory for the post. Nothing was posted.
	ErrFull = errors.New("hub: too much is posted to the member already")

	// ErrGone means that a member has left, or that its last frame is queued.
	ErrGone = errors.New("hub: the member is gone")
)

// A Hub holds topics, their logs and their members. All methods may be called
// from any goroutine.
//
// Lock order: Shard.mu before Hub.mu. No two shards are locked at once. While
// Hub.mu is held, nothing is allocated that grows with a message, and no shard
// is woken.
type Hub struct {
	config   Config // set once
	logLimit int    // set once
	private  budget // for private frames
	reserved budget
	starving atomic.Bool // a member was refused because private was used up

	mu     sync.Mutex
	number uint64 // of the last publish
	mark   uint64 // the number of the last publish that was tried
	topics map[Topic]*topic
	listed int // topics that have members and are not aside
	shards []*Shard
	due    []*Shard // woken as soon as mu is unlocked

	retry   chan struct{} // closed when there may be room again; nil unless Retry was called
	refused []*Shard      // woken at the same time, because their members got ErrBusy

	logBytes int // footprint of all chunks
	dropped  int // bytes of all chunks dropped since the start
	weighed  int // value of dropped when members were last compared by what they hold
	expelled int // members that must give up what they hold, but have not yet

	// Topics whose logs nobody needs any more, in the order in which they
	// became so. Each keeps its last chunk for its next frame, unless another
	// log needs the memory.
	spentFirst, spentLast *topic

	histories [sizeClasses]*history // lists of those that hold memory, by the size of their log
	retained  int                   // bytes that Hold took

	historyBytes int // of the messages of all histories
	strained     int // of logBytes and retained: below it squeeze is not worth trying
}

// New returns a hub without shards. [Hub.NewShard] adds one.
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

// A Publication is a message for all members of its topics. Each member gets it
// once. Publish keeps none of its slices.
type Publication struct {
	// From is the member that sends it, or nil if the sender is not a
	// member.
	From *Member
	// Topics are its destinations. Nil means all topics that From is in; with
	// Force it means none.
	Topics []Topic
	// Frame is what every member gets, ready to be written.
	Frame []byte
	// Echo is what From gets if it is in one of the topics.
	Echo Echo
	// Copy is what From gets instead of Frame if Echo is EchoCopy.
	Copy []byte
	// Keep says that topics with a history keep the message there. See
	// [Hub.Retain].
	Keep bool
	// NumberAt and CopyNumberAt are where in Frame and in Copy the message's
	// number is to be written, in the form of [AppendNumber]. There must be
	// NumberDigits bytes at these places. Zero means that it is not written.
	NumberAt, CopyNumberAt int
	// Force says that the message must not be refused. See [Hub.Publish].
	Force bool
	// Number is where Publish stores the message's number. It may be nil.
	Number *uint64
}

// An Echo says what the sender of a message receives of it.
type Echo uint8

const (
	EchoSame Echo = iota // the same frame as everyone
	EchoCopy             // a copy of its own
	EchoNone             // nothing
)

// The call tree of Publish. Appending to a log and counting are all it does:
// the members get the frame in the turns of their shards (see [Shard.Turn]).
//
//	Publish                  tries again with chunks allocated without a lock
//	└─ tryPublish            locks; wakes the shards that are due afterwards
//	   ├─ Member.publish     if a member sends it; its shard is locked
//	   │  ├─ takePrivate     memory for the member's own copy
//	   │  ├─ Hub.append      as below
//	   │  └─ starve          if refused: be woken when there is memory
//	   └─ Hub.append         the hub is locked
//	      ├─ audience        the topics that exist, each once
//	      ├─ makeRoomIn      a chunk with room in each log, or an error
//	      ├─ refuse          if ErrBusy: be woken when there is room
//	      ├─ write           copies the frame into the chunk
//	      │  └─ keep         if it is for the topic's history
//	      └─ announce        notes the shards that have something to read

// Publish appends a frame to the log of each topic that has members or a
// history. The message gets the next number, also if there is no such topic.
//
// It returns ErrBusy, ErrTooLarge, ErrGone or nil, and never waits. After
// ErrBusy the shard of p.From is woken when it is worth trying again.
//
// Once a member's last frame is queued (see [Member.Finish]), Publish returns
// ErrGone for it. So by the time a client receives its last frame, it has its
// copy of everything it published.
//
// With Force, Publish returns nil. From then only says which member gets the
// echo. If that member is gone, or its last frame is queued, there is no echo.
// Members fall behind if they have not read what the room is needed for, even
// if they keep up. The logs may take up to an eighth more than their limit, and
// a chunk for each topic. The echo takes memory in any case.
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

// errNoChunk means that a log needs a chunk, which must be allocated while no
// lock is held.
var errNoChunk = errors.New("hub: no chunk")

func (h *Hub) tryPublish(p *Publication, spare *spares) error {
	var buf [wakeable]*Shard
	if p.From != nil {
		s := p.From.shard
		s.mu.Lock()
		if p.From.stage == present {
			due, err := p.From.publish(p, spare, buf[:0])
			s.mu.Unlock()
			wake(due)
			return err
		}
		s.mu.Unlock()
		if !p.Force {
			return ErrGone
		}
	}
	h.mu.Lock()
	err := h.append(p, nil, spare)
	due := h.takeDue(buf[:0])
	h.mu.Unlock()
	wake(due)
	return err
}

// append appends p's frame to the logs of its topics, and counts the publish:
// h.number is then the number of the message. known may hold the topics in the
// order of p.Topics; a topic that is nil there, or beyond its end, is looked up
// by its name in p. append requires h.mu, and From's shard to be locked.
func (h *Hub) append(p *Publication, known []*topic, spare *spares) error {
	var buf [16]*topic
	audience := h.audience(buf[:0], p.Topics, known)
	if err := h.makeRoomIn(audience, len(p.Frame), p.Force, spare); err != nil {
		if err == ErrBusy {
			h.refuse(p.From)
		}
		return err
	}
	h.number++
	for _, t := range audience {
		h.write(t, p)
		h.announce(t)
	}
	if p.Number != nil {
		*p.Number = h.number
	}
	return nil
}

// write appends p's frame to t's log, with the number of the last publish. It
// requires room for it, and h.mu.
func (h *Hub) write(t *topic, p *Publication) {
	keep := p.Keep && t.history != nil
	if len(t.groups) == 0 && !keep {
		h.noteSpent(t)
		return
	}
	frame := t.log.append(seqOf(h.number), p.Frame)
	if p.NumberAt > 0 {
		putNumber(frame[p.NumberAt:], h.number)
	}
	if keep {
		h.keep(t, len(frame))
	}
}

// audience appends to dst each topic that exists, without duplicates. It
// requires h.mu.
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

// announce puts the topic's groups on their shards' lists of groups with news.
// It requires h.mu.
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

// refuse notes that from's shard must be woken when there may be room again. It
// requires h.mu.
func (h *Hub) refuse(from *Member) {
	if from != nil && !from.shard.refused {
		from.shard.refused = true
		h.refused = append(h.refused, from.shard)
	}
}

// starve notes that m was refused n bytes of private memory, so that m's shard
// is woken when such memory comes back. It appends to due the shards that the
// caller must wake.
func (h *Hub) starve(m *Member, n int, due []*Shard) []*Shard {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse(m)
	// starve sets starving, then checks for memory. giveBack gives memory, then
	// checks starving. So at least one of the two notices the other.
	h.starving.Store(true)
	if h.private.fits(n) {
		h.reconsider()
	}
	return h.takeDue(due)
}

// giveBack gives back n bytes of private memory and wakes the shards whose
// members were refused some. It requires the hub not to be locked.
func (h *Hub) giveBack(n int) {
	h.private.give(n)
	if h.starving.Load() && h.starving.CompareAndSwap(true, false) {
		h.mu.Lock()
		h.reconsider()
		h.unlock()
	}
}

// reconsider wakes everything that was refused, because there may be room now.
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
// publish that was refused with ErrBusy. Get the channel before trying to
// publish: otherwise room that appears in between is missed.
func (h *Hub) Retry() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.retry == nil {
		h.retry = make(chan struct{})
	}
	return h.retry
}

// call notes that s must be woken when the hub is unlocked. It requires h.mu.
func (h *Hub) call(s *Shard) {
	if !s.called {
		s.called = true
		h.due = append(h.due, s)
	}
}

// wakeable is how many shards can be woken without allocating.
const wakeable = 32

// takeDue appends to dst the shards that must be woken once h.mu is unlocked.
// It requires h.mu.
func (h *Hub) takeDue(dst []*Shard) []*Shard {
	for i, s := range h.due {
		s.called = false
		dst = append(dst, s)
		h.due[i] = nil
	}
	h.due = h.due[:0]
	return dst
}

// unlock unlocks the hub and wakes the shards that have something to do now.
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
