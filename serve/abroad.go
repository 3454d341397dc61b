package serve

import (
	"bytes"
	"context"
	"errors"
	"time"

	"crier/app"
	"crier/door"
	"crier/hub"
)

// With several servers, what guests do goes through the shared log, and happens
// where it is applied: on all servers, in the same order. See replica.

// An abroad is what a guest has in the log. Guarded by session.mu.
type abroad struct {
	epoch   uint32 // of its records
	moving  bool   // it is joining or leaving a topic
	blocked bool   // its next message waits for that
	leaving bool   // it has said that it leaves
}

// An arrival is what this server keeps of an arrived record.
type arrival struct {
	guest   *guest
	address *app.Address
	done    chan<- outcome
}

// An outcome is how an arrival ended.
type outcome uint8

const (
	failed outcome = iota // it is not in the log, and never will be
	over                  // the session cannot be resumed any more
	inside
)

// An utterance is what this server keeps of an ordered record of a guest.
type utterance struct {
	guest *guest
	order *app.Order
}

// A departure is what this server keeps of a departed record of a client that
// waits for its close frame.
type departure struct {
	guest *guest
	cause error
}

// An errand is what this server keeps of a record for a request that waits.
type errand struct {
	order *app.Order // of an ordered record
	done  chan<- result
}

// A result is how an errand ended.
type result struct {
	said   said
	offset string
	count  int
	err    error
}

// resumed returns the session that somebody with that token resumes; nil if
// there is none. busy is true if that cannot be known now.
func (h *home) resumed(token string) (s *session, busy bool) {
	if token == "" {
		return nil, false
	}
	s = h.sessions.find(token)
	if s == nil && h.shared != nil { // it may have begun elsewhere, just now
		if h.upToDate(context.Background()) != nil {
			return nil, true
		}
		s = h.sessions.find(token)
	}
	return s, false
}

// arriveAll is arrive with several servers.
func (g *guest) arriveAll(a *app.Address) (no *door.Refusal, isOver bool) {
	s := g.session
	h := s.home
	s.mu.Lock()
	no = h.placesIn(a.Entries, s)
	s.mu.Unlock()
	if no != nil {
		return no, false
	}
	if g.open(a) != nil {
		return &door.ShuttingDown, false
	}
	g.abroad = new(abroad)
	rec := packer{arrived}
	rec.flag(g.endpoint.resumed)
	rec.text(s.id)
	rec.text(s.token)
	rec.text(s.user)
	rec.flag(s.seen)
	rec.entries(a.Entries)
	rec.text(a.Since)
	done := make(chan outcome, 1)
	how := failed
	if h.append(rec, &arrival{g, a, done}, nil) == nil {
		how = <-done // it comes, or is lost, in any case
	}
	if how != inside {
		h.transport.Forget(&g.connection.conn)
		return &door.Busy, how == over
	}
	h.config.Log.Debug("connected", "connection", s.id, "app", liveName, "resumed", g.endpoint.resumed)
	return nil, false
}

// submit appends a message of the client to the log.
func (g *guest) submit(data []byte, binary bool) error {
	s := g.session
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.at != &g.endpoint || g.abroad.leaving: // the session goes on without this connection
		return nil
	case g.abroad.moving: // which topics it is in is not known yet
		g.abroad.blocked = true
		s.home.hub.Await(&g.connection.conn.Member)
		return hub.ErrBusy
	}
	own := utterance{g, new(app.Order)}
	from := app.Conn{ID: s.id, Identity: app.Identity{User: s.user}, Topics: s.topics(nil)}
	app.Live{}.Message(own.order, app.Event{
		Kind: app.Message, Conn: &from, Now: time.Now().UnixMilli(), Data: bytes.Clone(data), Binary: binary,
	})
	g.restrict(own.order)
	rec := packers.Get().(*packer)
	defer rec.free()
	*rec = append((*rec)[:0], ordered)
	rec.text(s.id)
	rec.number(uint64(g.abroad.epoch))
	rec.order(own.order)
	if err := s.home.append(*rec, &own, &g.connection.conn.Member); err != nil {
		return err
	}
	g.abroad.moving = own.order.Do == app.Enter || own.order.Do == app.Exit
	s.home.metrics.messages.Add(1)
	g.connection.spend(1, len(data))
	return nil
}

// depart is Leaving with several servers. Before its client gets the close frame,
// it gets what follows from all that it has said, and a session that does not
// linger ends.
func (g *guest) depart(cause error) (waits bool) {
	s := g.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at != &g.endpoint || g.abroad.leaving {
		return g.abroad.leaving
	}
	g.abroad.leaving = true
	s.home.must(g.departure(whyLost(cause)), &departure{g, cause})
	return true
}

// gone is Closed with several servers. It requires s.mu.
func (g *guest) gone(cause error) {
	s := g.session
	s.detach()
	if g.abroad.leaving {
		return // the log has it
	}
	why, lingers := whyLost(cause)
	s.home.must(g.departure(why, lingers && (g.served || g.endpoint.resumed)), nil)
}

// departure returns the record of the end of the guest's connection.
func (g *guest) departure(why string, lingers bool) []byte {
	rec := packer{departed}
	rec.text(g.session.id)
	rec.number(uint64(g.abroad.epoch))
	rec.text(why)
	rec.flag(lingers)
	return rec
}

// runErrand appends the record of an errand, and waits until it is applied.
func (h *home) runErrand(ctx context.Context, record []byte, o *app.Order) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	done := make(chan result, 1)
	own := &errand{o, done}
	if err := h.patiently(ctx, func() error { return h.append(record, own, nil) }); err != nil {
		return result{}, err
	}
	select {
	case r := <-done:
		return r, r.err
	case <-ctx.Done():
		return result{}, errUnknown
	}
}

// errUnknown means that something may happen, but did not in time.
var errUnknown = errors.New("serve: the servers do not agree at present")
