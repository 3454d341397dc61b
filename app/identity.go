package app

import (
	"net/http"
	"net/url"
	"unicode/utf8"
)

// An Identity is who a connection is. It is found out once, at the handshake,
// and stays with the connection.
type Identity struct {
	User string // a name; nothing if it has none
}

// An Identifier finds out who a connection is. Its home asks it at the
// handshake, before the app.
type Identifier interface {
	// Identify returns who sends a handshake with that query and header; or,
	// if that cannot be, a sentence that says why.
	Identify(query url.Values, header http.Header) (id Identity, wrong string)
}

// IdentifierOf returns how the users of an app are known today: those of Rooms
// by what they say, those of others not at all.
func IdentifierOf(a App) Identifier {
	if _, ok := a.(Rooms); ok {
		return Claimed{}
	}
	return Nameless{}
}

// Nameless is the Identifier for which everybody is nobody in particular.
type Nameless struct{}

// Identify implements Identifier.
func (Nameless) Identify(url.Values, http.Header) (Identity, string) { return Identity{}, "" }

// Claimed is the Identifier that believes what clients say of themselves: ?user=
// or the header X-WhoAmI.
type Claimed struct{}

// Identify implements Identifier.
func (Claimed) Identify(query url.Values, header http.Header) (id Identity, wrong string) {
	user := query.Get("user")
	if user == "" {
		user = header.Get("X-WhoAmI")
	}
	switch {
	case len(user) > MaxName:
		return Identity{}, "a user's name has at most 256 bytes"
	case !utf8.ValidString(user):
		return Identity{}, "a user's name is UTF-8"
	}
	return Identity{User: user}, ""
}
