package app

import (
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
)

// home carries effects out in the simplest way there is.
type home struct {
	app     App
	conns   map[string]*Conn
	order   []string
	now     int64
	frames  map[string][]string // what each connection received
	effects []Effect
}

func newHome(a App) *home {
	return &home{app: a, conns: map[string]*Conn{}, frames: map[string][]string{}, now: 1000}
}

func (h *home) connect(id, query string, header http.Header) (refusal string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	identity, wrong := IdentifierOf(h.app).Identify(values, header)
	if wrong != "" {
		return wrong
	}
	c := &Conn{ID: id, Identity: identity}
	h.effects = h.app.Handle(h.effects[:0], Event{Kind: Connect, Conn: c, Now: h.now, Query: values})
	for _, e := range h.effects {
		if e.Do == Reject {
			return string(e.Data)
		}
	}
	h.conns[id] = c
	h.order = append(h.order, id)
	h.apply(c)
	return ""
}

func (h *home) message(id, text string, binary bool) {
	c := h.conns[id]
	h.effects = h.app.Handle(h.effects[:0], Event{Kind: Message, Conn: c, Now: h.now, Data: []byte(text), Binary: binary})
	h.apply(c)
}

func (h *home) disconnect(id string) {
	h.effects = h.app.Handle(h.effects[:0], Event{Kind: Disconnect, Conn: h.conns[id], Now: h.now})
	delete(h.conns, id)
}

func (h *home) members(topics []string) (ids []string) {
	for _, id := range h.order {
		if c := h.conns[id]; c != nil {
			for _, t := range topics {
				if has(c.Topics, t) {
					ids = append(ids, id)
					break
				}
			}
		}
	}
	return ids
}

func (h *home) apply(c *Conn) {
	for _, e := range h.effects {
		switch e.Do {
		case Publish:
			topics := e.Topics
			if topics == nil {
				topics = c.Topics
			}
			for _, id := range h.members(topics) {
				switch {
				case id != c.ID || e.Echo == EchoSame:
					h.receive(id, e.Data, e.Binary)
				case e.Echo == EchoCopy:
					h.receive(id, e.Copy, e.Binary)
				}
			}
		case Subscribe:
			c.Topics = append(c.Topics, e.Topic)
		case Unsubscribe:
			for i, t := range c.Topics {
				if t == e.Topic {
					c.Topics = append(c.Topics[:i], c.Topics[i+1:]...)
					break
				}
			}
		case Post:
			h.receive(c.ID, e.Data, false)
		case PostMembers:
			h.receive(c.ID, AppendMembers(nil, h.members([]string{e.Topic}), false), false)
		case Reject:
			h.receive(c.ID, AppendErrorFrame(nil, string(e.Data), c.ID, "request"), false)
		}
	}
}

func (h *home) receive(id string, data []byte, binary bool) {
	text := string(data)
	if binary {
		text = fmt.Sprintf("binary %x", data)
	}
	h.frames[id] = append(h.frames[id], text)
}

// take returns what has been received since, a line each, by connection.
func (h *home) take() string {
	var lines []string
	for id, frames := range h.frames {
		for _, f := range frames {
			lines = append(lines, id+" <- "+f)
		}
	}
	sort.SliceStable(lines, func(i, k int) bool {
		a, _, _ := strings.Cut(lines[i], " ")
		b, _, _ := strings.Cut(lines[k], " ")
		return a < b
	})
	clear(h.frames)
	return strings.Join(lines, "\n")
}
