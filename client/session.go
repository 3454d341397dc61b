package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"crier/ws"
)

// A session is what a client of live has at its server, over connections. It is
// guarded by Client.mu.
type session struct {
	id, user string
	resume   string  // the token with which the next connection continues it
	rooms    []*room // the topics of the address, then those joined besides

	// strayed says that we gave up a connection before its greeting. It may
	// still arrive, and take the session over from a later one.
	strayed bool
}

// A room is a topic that the client is in.
type room struct {
	name   string
	offset string // of the last frame received: what follows is not known yet
	head   string // the offset in the last greeting
	here   []Member
	state  map[Key]Message

	replaying bool // between a greeting and its _ready
	// stray says that the greeting that answers our _join was lost. We ask for
	// it again, and ignore the topic until it comes.
	stray bool
	// hidden says that frames are not delivered, because the room is stray, or
	// because a replay repeats what was received.
	hidden bool
	// left says that the address does not name the topic, because we may have
	// left it.
	left bool
}

func newRoom(name string) *room { return &room{name: name, state: make(map[Key]Message)} }

// room returns a topic that the client is in, or nil.
func (s *session) room(name string) *room {
	for _, r := range s.rooms {
		if r.name == name {
			return r
		}
	}
	return nil
}

// liveAddress returns the address of a connection that continues the session.
func (c *Client) liveAddress(ctx context.Context) (string, error) {
	at := *c.at
	if c.o.Live.Address != nil {
		address, err := c.o.Live.Address(ctx)
		if err != nil {
			return "", err
		}
		other, err := parseAddress(address)
		if err != nil {
			return "", err
		}
		at = *other
	}
	c.o.addTo(&at)
	query, err := url.ParseQuery(at.RawQuery)
	if err != nil {
		return "", fmt.Errorf("the address has a query that cannot be read: %w", err)
	}
	if at.Path == "" || at.Path == "/" {
		at.Path = "/live"
	}
	if c.o.Live.Last != 0 {
		query.Set("last", strconv.Itoa(c.o.Live.Last))
	}
	if c.o.Live.Presence != "" {
		query.Set("presence", c.o.Live.Presence)
	}
	c.continues(query)
	at.RawQuery = query.Encode()
	return at.String(), nil
}

// continues adds to a query what continues the session. There is one offset for
// each topic, because a connection may end in the middle of a replay: then that
// topic has not got as far as the others.
func (c *Client) continues(query url.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.session
	c.silent = query.Get("echo") == "0"
	if s.id == "" || len(s.rooms) == 0 {
		s.rooms = nil
		for _, name := range query["topic"] {
			if name != "" && s.room(name) == nil {
				s.rooms = append(s.rooms, newRoom(name))
			}
		}
	}
	if query.Del("topic"); s.id != "" {
		query.Set("resume", s.resume)
		query.Del("since")
	}
	leaving, all := c.leaves(), true
	for _, r := range s.rooms {
		r.left = slices.Contains(leaving, r.name)
		all = all && r.left
	}
	for _, r := range s.rooms {
		r.left = r.left && !all // the address must have a topic
		if r.left {
			continue
		}
		query.Add("topic", r.name)
		if s.id != "" {
			query.Add("since", r.offset)
		}
	}
}

// receive takes in what a server of live has sent, and returns it if it must
// be delivered.
func (c *Client) receive(data []byte) (m Message, deliver bool) {
	f := readFrame(data)
	var drops []Drop
	c.mu.Lock()
	opens := f.Kind == Hello && c.held
	if f.Kind == Hello {
		drops = c.greet(&f)
	} else {
		drops = c.answered(&f)
	}
	deliver = c.apply(&f)
	empty := c.empty()
	c.mu.Unlock()
	if opens {
		c.become(Status{State: Open, Ended: c.Status().Ended})
	}
	if empty {
		c.signal(c.emptied)
	}
	c.signal(c.wake) // there may be room for more
	c.tell(drops)
	return f.Message, deliver && !bytes.HasPrefix(data, []byte(beat))
}

// greet takes in what a greeting says about the session and its topic.
func (c *Client) greet(f *frame) (drops []Drop) {
	s, h := &c.session, f.hello
	same := h.ID == s.id
	asked, checked := false, false // the greeting answers a message; a check
	if c.held {
		s.rooms = slices.DeleteFunc(s.rooms, func(r *room) bool { return r.left })
		for _, r := range s.rooms {
			r.stray = r.stray && same
		}
		drops = c.greeted(h.Said, same)
	} else {
		asked, checked = c.taken(h.Said)
	}
	r := s.room(f.Topic)
	if r == nil {
		r = newRoom(f.Topic)
		r.stray = same
		s.rooms = append(s.rooms, r)
	}
	r.stray = r.stray && !asked
	r.hidden = r.stray || checked
	s.id, s.user, s.resume = h.ID, h.User, h.Resume
	r.replaying, r.here, r.head = true, h.Here, h.Offset
	if h.Missed && !checked {
		clear(r.state)
	}
	return drops
}

// answered notes which message of our own a frame answers, if it answers one.
// What is replayed answers nothing.
func (c *Client) answered(f *frame) []Drop {
	r := c.session.room(f.Topic)
	switch {
	case f.Kind == Failed:
		return c.answer(Rejected, f.why)
	case r == nil || r.replaying:
	case f.Kind == Left && f.From == c.session.id, f.Kind == Said && f.Mine:
		return c.answer(Confirmed, "")
	}
	return nil
}

// apply brings the topic of a frame up to date, and reports whether the frame
// must be delivered.
func (c *Client) apply(f *frame) (deliver bool) {
	s := &c.session
	r := s.room(f.Topic)
	if r == nil || f.Kind == Failed {
		return true
	}
	deliver = !r.hidden
	switch {
	case f.Kind == Hello:
	case f.Kind == Ready:
		r.replaying, r.hidden = false, r.stray
		if !r.stray {
			r.offset = cmp.Or(f.offset, r.offset)
		}
	case r.replaying && r.hidden:
	case f.Kind == Left && !r.replaying && f.From == s.id:
		s.rooms = slices.DeleteFunc(s.rooms, func(other *room) bool { return other == r })
		return true
	default:
		if !r.stray {
			r.offset = cmp.Or(f.offset, r.offset)
		}
		r.apply(f)
	}
	return deliver
}

// apply notes who has come or gone, and what the state is.
func (r *room) apply(f *frame) {
	is := func(m Member) bool { return m.ID == f.From }
	switch {
	case f.Kind == Joined || f.Kind == Left:
		if r.replaying {
			break // the greeting has counted it
		}
		if f.Kind == Left {
			r.here = slices.DeleteFunc(r.here, is)
		} else if !slices.ContainsFunc(r.here, is) {
			r.here = append(r.here, Member{f.From, f.User})
		}
	case f.Dropped:
		delete(r.state, f.Key)
	case f.Key != Key{}:
		kept := f.Message
		kept.Data = slices.Clone(kept.Data) // the receiver may change its own
		r.state[f.Key] = kept
	}
}

// resumes reports whether to come back to a server of live after an end that
// others do not come back from.
func (c *Client) resumes(ended error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	how, _ := errors.AsType[ws.Close](ended)
	name, _, _ := strings.Cut(how.Reason, ": ")
	if how.Code != ws.PolicyViolation || name != "taken-over" || !c.session.strayed {
		return false
	}
	c.session.strayed = false // we have done it ourselves
	return true
}
