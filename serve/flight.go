package serve

import (
	"bytes"
	"context"
	"errors"

	"crier/hub"
	"crier/transport"
)

// A flight is what a connection has in the shared log, and has not seen applied.
// A connection has one only while there is something. Guarded by connection.mu.
//
// What a client says takes effect in the order in which it was said: publications
// fly together, and what else follows them waits until they have landed.
type flight struct {
	sent, landed int
	answers      []answer
	blocked      bool   // a message waits for the landing of all
	asking       bool   // other servers are asked, or this one catches up with them
	list         []byte // of members, as they have answered
	caughtUp     bool   // this server has
	ending       error  // the connection closes with that cause when all have landed
}

// An answer is a frame that follows the publications up to one.
type answer struct {
	after int
	frame []byte
	pong  bool
}

// maxLater is how many answers may wait for what flies.
const maxLater = 1000

// A sent is what this server keeps of a publication until it is applied.
type sent struct {
	from *connection // nil if its sender is no connection
	echo hub.Echo
	copy []byte
	done chan<- error // gets how it ended; may be nil
}

// send publishes a message of the connection. It requires s.mu.
func (s *connection) send(p hub.Publication) error {
	if s.leaving {
		return nil // its client knows that nothing of it will be published
	}
	if p.Topics == nil {
		p.Topics = appendTopics(nil, s.mount.Name, s.conn.Member.Topics(nil))
	}
	if len(p.Topics) == 0 {
		return nil
	}
	own := &sent{from: s, echo: p.Echo, copy: bytes.Clone(p.Copy)}
	if err := s.mount.home.appendPublication(p, own, &s.conn.Member); err != nil {
		return err
	}
	s.flying().sent++
	return nil
}

func (s *connection) flying() *flight {
	if s.flight == nil {
		s.flight = new(flight)
	}
	return s.flight
}

// later sends an answer after what flies, and reports whether anything does. It
// requires s.mu.
func (s *connection) later(frame []byte, pong bool) bool {
	f := s.flight
	if f == nil || f.sent == f.landed {
		return false
	}
	f.answers = append(f.answers, answer{f.sent, frame, pong})
	return true
}

// pong answers a ping later, if that is necessary.
func (s *connection) pong(frame []byte) (later bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight != nil && len(s.flight.answers) < maxLater && s.later(frame, true)
}

// crowded reports whether the client has to wait before it gets more answers.
func (s *connection) crowded() bool { return len(s.flight.answers) >= maxLater }

// block makes the client's next message wait until nothing flies any more. It
// returns nil if nothing does. It requires s.mu.
func (s *connection) block() error {
	f := s.flight
	if f == nil || f.sent == f.landed && !f.asking {
		return nil
	}
	f.blocked = true
	s.mount.home.hub.Await(&s.conn.Member)
	return hub.ErrBusy
}

// catchUp returns hub.ErrBusy until this server has applied what the others had
// when the client asked to hear something else: as with one server, it hears what
// was published before, or not what was published before. It requires s.mu.
func (s *connection) catchUp() error {
	f := s.flying()
	if f.caughtUp {
		f.caughtUp = false
		s.settle()
		return nil
	}
	f.asking = true
	s.mount.home.asking.Go(func() {
		no := s.mount.home.upToDate(context.Background())
		s.mu.Lock()
		f.asking, f.caughtUp = false, true
		then := s.settle()
		s.mu.Unlock()
		if no != nil {
			s.conn.Close(errCutOff)
		}
		then()
	})
	return s.block()
}

// settle posts what had to wait, after a publication has landed, or the answer to
// a question has come. It requires s.mu, and returns what must be done without it.
func (s *connection) settle() (then func()) {
	f := s.flight
	for len(f.answers) > 0 && f.answers[0].after <= f.landed {
		if a := &f.answers[0]; a.pong {
			s.conn.Member.PostControl(a.frame)
		} else if errors.Is(s.conn.Member.Post(a.frame), hub.ErrFull) {
			s.conn.Close(transport.ErrFlooded)
		}
		f.answers = f.answers[1:]
	}
	if f.sent > f.landed || f.asking {
		return func() {}
	}
	blocked, ending := f.blocked, f.ending
	f.blocked = false
	if f.list == nil && !f.caughtUp {
		s.flight = nil
	}
	return func() {
		if ending != nil {
			s.conn.Close(ending)
		}
		if blocked {
			s.mount.home.hub.Resume()
		}
	}
}

// land notes that a publication has been applied, or never will be.
func (o *sent) land(err error) {
	if o.done != nil {
		o.done <- err
	}
	s := o.from
	if s == nil {
		return
	}
	s.mu.Lock()
	if err != nil && !s.leaving {
		// The client takes the next copy for that of the message that is lost.
		s.leaving, s.flight.ending = true, errCutOff
	}
	s.flight.landed++
	then := s.settle()
	s.mu.Unlock()
	then()
}

// endLater makes the connection close with a cause when all that flies has
// landed. It returns false if nothing flies. Nothing more is published from now on.
func (s *connection) endLater(cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	f := s.flight
	if f == nil || f.sent == f.landed {
		return false
	}
	if f.ending == nil {
		f.ending = cause
	}
	return true
}

// appendPublication appends a publication to the shared log. own is a *sent or
// nil, and m may be nil, as in append.
func (h *home) appendPublication(p hub.Publication, own any, m *hub.Member) error {
	rec := packers.Get().(*packer)
	defer rec.free()
	*rec = append((*rec)[:0], published)
	rec.topics(p.Topics)
	rec.bytes(p.Frame)
	return h.append(*rec, own, m)
}

// append appends a record to the shared log. It returns hub.ErrBusy if that is
// not possible now; if m is not nil, its shard is woken then when it is worth
// trying again.
func (h *home) append(record []byte, own any, m *hub.Member) error {
	if h.shared.Append(record, own) == nil {
		return nil
	}
	if m == nil {
		return hub.ErrBusy
	}
	retry := h.shared.Retry()
	if h.shared.Append(record, own) == nil {
		return nil
	}
	h.hub.Await(m)
	select {
	case h.shut <- retry:
	default: // somebody waits for the gate already, and wakes all
	}
	return hub.ErrBusy
}

// must appends a record as soon as there is room.
func (h *home) must(record []byte, own any) {
	try := func() error { return h.append(record, own, nil) }
	if errors.Is(try(), hub.ErrBusy) {
		h.connections.force()
		h.farewells.add(try)
	}
}

// reopen wakes those whom the gate of the shared log has refused, when it opens.
func (h *home) reopen(stop <-chan struct{}) {
	for {
		select {
		case retry := <-h.shut:
			select {
			case <-retry:
				h.hub.Resume()
			case <-stop:
				return
			}
		case <-stop:
			return
		}
	}
}
