package app

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Identity says which user a connection belongs to. It is determined once,
// at the handshake, and does not change.
type Identity struct {
	User string // a name; empty if there is none
}

// An Identifier determines the identity of a connection. The home asks it at
// the handshake, before the app.
type Identifier interface {
	// Identify returns the identity of the sender of a handshake with that
	// query and header. If that is not possible, wrong is a sentence that
	// says why. The identity must not share memory with the query, because
	// it lives as long as the connection.
	Identify(query url.Values, header http.Header) (id Identity, wrong string)
}

// IdentifierOf returns the identifier that an app uses today: for Rooms the
// names that clients claim, for other apps none.
func IdentifierOf(a App) Identifier {
	if _, ok := a.(Rooms); ok {
		return claimed{}
	}
	return nameless{}
}

// Identify implements Identifier: it believes the names that clients claim, if
// they look like names.
func (Live) Identify(query url.Values, _ http.Header) (id Identity, wrong string) {
	user := query.Get("user")
	switch {
	case len(user) > MaxUser:
		return Identity{}, "a user's name has at most 64 bytes"
	case !utf8.ValidString(user):
		return Identity{}, "a user's name is UTF-8"
	case strings.ContainsFunc(user, unicode.IsControl):
		return Identity{}, "a user's name has no control characters"
	case likeID(user):
		return Identity{}, "a user's name cannot look like a connection id"
	}
	return Identity{User: strings.Clone(user)}, ""
}

// likeID reports whether a name has the form of a connection id.
func likeID(name string) bool {
	raw, err := base64.URLEncoding.DecodeString(name)
	return err == nil && len(name) == 16 && len(raw) == 11
}

// nameless is the Identifier that gives no connection a name.
type nameless struct{}

// Identify implements Identifier.
func (nameless) Identify(url.Values, http.Header) (Identity, string) { return Identity{}, "" }

// claimed is the Identifier that believes the names that clients claim: ?user=
// or the header X-WhoAmI.
type claimed struct{}

// Identify implements Identifier.
func (claimed) Identify(query url.Values, header http.Header) (id Identity, wrong string) {
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
	return Identity{User: strings.Clone(user)}, ""
}
