package serve

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"crier/app"
	"crier/hub"
)

// A record is what has happened, for the servers that share a log. Its first
// byte says what it is.
const (
	published byte = iota + 1 // a message of an app that has no rooms
	agreed                    // terms
	arrived                   // a session began, or was resumed
	ordered                   // a message of live
	departed                  // a session's connection has ended
	kicked                    // a session was ended by a request
	evicted                   // everybody was taken out of a topic
	forgotten                 // what a topic knew was forgotten
	tidied                    // there were too many topics: idle ones were forgotten
	signedOut                 // a user was signed out, and may be kept out for a while
)

// A packer appends values.
type packer []byte

var packers = sync.Pool{New: func() any { return new(packer) }}

func (p *packer) free() {
	if cap(*p) <= maxScratch {
		packers.Put(p)
	}
}

func (p *packer) number(n uint64) { *p = binary.AppendUvarint(*p, n) }

func (p *packer) text(s string) {
	p.number(uint64(len(s)))
	*p = append(*p, s...)
}

func (p *packer) bytes(b []byte) {
	p.number(uint64(len(b)))
	*p = append(*p, b...)
}

func (p *packer) flag(b bool) {
	if b {
		*p = append(*p, 1)
		return
	}
	*p = append(*p, 0)
}

func (p *packer) list(l []string) {
	p.number(uint64(len(l)))
	for _, s := range l {
		p.text(s)
	}
}

// An unpacker reads them in the same order. After the first that is not there
// it is bad, and returns zeros.
type unpacker struct {
	rest []byte
	bad  bool
}

func (u *unpacker) number() uint64 {
	n, size := binary.Uvarint(u.rest)
	if size <= 0 {
		u.rest, u.bad = nil, true
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

// bytes returns a part of the memory that is unpacked.
func (u *unpacker) bytes() []byte {
	n := u.number()
	if n > uint64(len(u.rest)) {
		u.rest, u.bad = nil, true
		return nil
	}
	b := u.rest[:n:n]
	u.rest = u.rest[n:]
	return b
}

func (u *unpacker) text() string { return string(u.bytes()) }

func (u *unpacker) flag() bool {
	if len(u.rest) == 0 {
		u.bad = true
		return false
	}
	b := u.rest[0]
	u.rest = u.rest[1:]
	return b != 0
}

// count returns the length of a list whose items have at least one byte each.
func (u *unpacker) count() int {
	n := u.number()
	if n > uint64(len(u.rest)) {
		u.rest, u.bad = nil, true
		return 0
	}
	return int(n)
}

func (u *unpacker) list() []string {
	l := make([]string, u.count())
	for i := range l {
		l[i] = u.text()
	}
	return l
}

func (p *packer) topics(l []hub.Topic) {
	p.number(uint64(len(l)))
	for _, t := range l {
		p.text(t.App)
		p.text(t.Name)
	}
}

// topics reads a list of topics into l, which has those of an earlier record: most
// records are about the same topics as the one before.
func (u *unpacker) topics(l []hub.Topic) []hub.Topic {
	n := u.count()
	l = slices.Grow(l, max(n-len(l), 0))
	for i := len(l); i < n; i++ {
		l = append(l, hub.Topic{})
	}
	l = l[:n]
	for i := range l {
		u.again(&l[i].App)
		u.again(&l[i].Name)
	}
	return l
}

// again reads a text into s, unless it is that already.
func (u *unpacker) again(s *string) {
	if b := u.bytes(); *s != string(b) {
		*s = string(b)
	}
}

func (p *packer) terms(t *terms) {
	for _, n := range [...]int{
		int(t.Linger), t.History, t.HistoryBytes, int(t.HistoryAge), t.Keys, t.StateBytes, int(t.IdleTopics), t.Histories, t.States,
	} {
		p.number(uint64(n))
	}
}

func (u *unpacker) terms() *terms {
	n := func() int {
		n := int(u.number())
		u.bad = u.bad || n < 0
		return n
	}
	return &terms{
		time.Duration(n()), n(), n(), time.Duration(n()), n(), n(), time.Duration(n()), n(), n(),
	}
}

func (p *packer) entries(l []app.Entry) {
	p.number(uint64(len(l)))
	for _, e := range l {
		p.entry(e)
	}
}

func (p *packer) entry(e app.Entry) {
	p.text(e.Topic)
	p.text(e.Since)
	p.number(uint64(e.Last))
}

func (u *unpacker) entry() app.Entry {
	return app.Entry{Topic: u.text(), Since: u.text(), Last: int(u.number())}
}

func (u *unpacker) entries() []app.Entry {
	l := make([]app.Entry, u.count())
	for i := range l {
		l[i] = u.entry()
	}
	return l
}

func (p *packer) key(k app.Key) {
	p.text(k.Name)
	p.number(uint64(k.Of))
	p.text(k.By)
}

func (u *unpacker) key() app.Key {
	return app.Key{Name: u.text(), Of: app.Tie(u.number()), By: u.text()}
}

// order appends what other servers need of an order.
func (p *packer) order(o *app.Order) {
	p.number(uint64(o.Do))
	switch o.Do {
	case app.Refuse:
	case app.Enter:
		p.entry(o.Entry)
	case app.Exit:
		p.text(o.Topic)
	default:
		p.text(o.Topic)
		p.list(o.To)
		p.flag(o.Binary)
		p.flag(o.Keep)
		p.flag(o.Drop)
		p.key(o.Key)
		p.number(uint64(o.OffsetAt))
		p.bytes(o.Frame)
	}
}

// order reads an order into o, which shares its memory.
func (u *unpacker) order(o *app.Order) {
	*o = app.Order{Do: app.Doing(u.number())}
	switch o.Do {
	case app.Refuse:
	case app.Enter:
		o.Entry = u.entry()
	case app.Exit:
		o.Topic = u.text()
	default:
		o.Topic, o.To = u.text(), u.list()
		o.Binary, o.Keep, o.Drop = u.flag(), u.flag(), u.flag()
		o.Key = u.key()
		o.OffsetAt = int(u.number())
		o.Frame = u.bytes()
		u.bad = u.bad || !carriedOut(o)
	}
}

// carriedOut reports whether a room can carry out an order to say something. Those
// that app writes are so.
func carriedOut(o *app.Order) bool {
	room := len(o.Frame) - app.OffsetSize
	return (o.OffsetAt == 0 || 0 < o.OffsetAt && o.OffsetAt <= room) &&
		(o.OffsetAt > 0 || o.Key == app.Key{}) &&
		(o.Do != app.Tell || len(o.To) > 0)
}
