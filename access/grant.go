package access

import (
	"errors"
	"net/url"
	"strings"
	"time"
)

// A Grant is what a client may do, and for how long.
type Grant struct {
	// User is who the client is. It can take no other name. Empty means that
	// nobody has said so.
	User string
	// Topics are patterns of the topics that the grant is about: see [Match].
	// Nil means all topics.
	Topics []string
	// Hear and Say are what the client may do in them.
	Hear, Say bool
	// Expires is when the grant ends. The zero time means never.
	Expires time.Time
	// Guest is for a client that has shown neither a key nor a token. It has no
	// name, so that it cannot take that of somebody who has.
	Guest bool
}

// guest is the grant of all guests.
var guest = &Grant{Hear: true, Guest: true}

// SaysAnything reports whether a client may say something somewhere.
func (g *Grant) SaysAnything() bool { return g == nil || g.Say }

// Name returns who the client is, or nothing.
func (g *Grant) Name() string {
	if g == nil {
		return ""
	}
	return g.User
}

// Why a client may not have the name that it asks for.
var (
	ErrOtherUser = errors.New("the token is of another user than ?user=")
	ErrGuestName = errors.New("only clients with a key or a token have a name (?user=)")
)

// Claim gives the query of a handshake the client's name, if the grant has one. The
// error is ErrOtherUser if the query has another, and ErrGuestName if a guest wants
// one.
func (g *Grant) Claim(query url.Values) error {
	if g != nil && g.Guest && query.Has("user") {
		return ErrGuestName
	}
	name := g.Name()
	if name == "" {
		return nil
	}
	if query.Has("user") && query.Get("user") != name {
		return ErrOtherUser
	}
	query.Set("user", name)
	return nil
}

// MayHear reports whether a client may hear a topic. The empty name is everyone.
func (g *Grant) MayHear(topic string) bool { return g == nil || g.Hear && g.about(topic) }

// MaySay reports whether a client may say something in a topic. The empty name
// is everyone.
func (g *Grant) MaySay(topic string) bool { return g == nil || g.Say && g.about(topic) }

func (g *Grant) about(topic string) bool {
	if g.Topics == nil {
		return true
	}
	for _, pattern := range g.Topics {
		if Match(pattern, topic) {
			return true
		}
	}
	return false
}

// Match reports whether a name fits a pattern. A * in a pattern stands for any
// text, also for none; everything else stands for itself. The time it takes is at
// most proportional to the product of both lengths.
func Match(pattern, name string) bool {
	before, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, before)
	if !ok {
		return false
	}
	for {
		part, more, wild := strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part) // the first place leaves most for what follows
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], more
	}
}
