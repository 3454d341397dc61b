// Package app holds the rules of crier's built-in apps, one file each.
//
// An app gets an event (a client connected, sent a message, left) and answers
// with effects: publish this, subscribe to that, post a reply. It does nothing
// itself: it knows no socket, no server, no clock and no AWS. Its caller,
// called its home, carries the effects out, in order; see packages serve and
// cloud.
//
//	effects = app.Broadcast{}.Handle(effects[:0], app.Event{
//		Kind: app.Message, Conn: conn, Now: 1561016329388, Data: []byte("hi there"),
//	})
//	// effects[0] publishes {"data":"hi there","_now":1561016329388,"_me":false}
//
// What an app must remember about a connection is in its [Conn], a small value
// that the home keeps and passes along with each event.
package app

import (
	"maps"
	"net/url"
	"slices"
	"unicode/utf8"

	"crier/spelling"
)

// An App holds the rules of one protocol.
type App interface {
	// Handle appends to dst what should happen because of ev. It keeps no
	// reference to ev or dst. The effects share memory with ev.Data and
	// dst: they are valid until either is used again.
	Handle(dst []Effect, ev Event) []Effect
}

// A Kind says what an event is about.
type Kind uint8

// The kinds of events, in the order in which a connection meets them.
const (
	Connect Kind = iota
	Message
	Disconnect
)

// An Event is something that happened to a connection.
type Event struct {
	Kind Kind
	Conn *Conn
	Now  int64 // milliseconds since 1970

	// Of a Connect event.
	Query url.Values

	// Of a Message event: one complete message. A text message is valid UTF-8.
	Data   []byte
	Binary bool
}

// A Conn is what is remembered about a connection between its events.
type Conn struct {
	ID       string
	Identity Identity // set by the home before Connect
	Topics   []string // its subscriptions; the home keeps this up to date
	Mute     []string // topics that it says something to and does not hear; the home keeps this, too
	Silent   bool     // set by the app at Connect: the client does not want its own messages
}

// Everyone is the topic of a connection that names no topic.
const Everyone = ""

// Limits on the memory and the work that a connection can cause in its home.
const (
	MaxTopics = 1024 // subscriptions of one connection
	MaxName   = 256  // bytes of a topic's or user's name
	MaxReach  = 64   // topics of one message
)

// An Action says what an effect asks for.
type Action uint8

const (
	// Publish sends Data to all of Topics, to each connection once. If
	// Topics is nil, it goes to the topics that the sender is in. Echo says
	// what the sender gets if it is in one of them.
	//
	// A home that has no room for a message may have to try again, and then
	// asks the app anew. So Publish comes before any other effect of a
	// message, and there is at most one.
	Publish Action = iota
	// Subscribe and Unsubscribe change whether the connection is in Topic.
	Subscribe
	Unsubscribe
	// Post sends Data to the connection alone.
	Post
	// PostMembers sends the connection alone the list of Topic's members,
	// in the form of [AppendMembers].
	PostMembers
	// Reject tells the connection why its message was refused. Data is a
	// sentence; the home writes it with [AppendErrorFrame]. At Connect,
	// Reject refuses the handshake with status 400, and all other effects
	// are ignored.
	Reject
	// Forbid is like Reject, for what the client has no right to: at Connect,
	// the status is 403.
	Forbid
	// Mute is for a client that may not hear Topic. What it publishes to the
	// topics that it is in goes there, too.
	Mute
)

// An Echo says what the sender of a message receives of it.
type Echo uint8

const (
	EchoSame Echo = iota // the same frame as everyone
	EchoCopy             // the effect's Copy
	EchoNone             // nothing
)

// An Effect is one thing that should happen.
type Effect struct {
	Do     Action
	Topics []string
	Topic  string
	Data   []byte
	Binary bool // send as a binary message
	Echo   Echo
	Copy   []byte // what the sender gets, with EchoCopy

	// Memory that is used again with the effect's place in dst.
	buf   []byte
	names []string
}

// add appends an effect to dst, and uses the memory that is there.
func add(dst []Effect, do Action) ([]Effect, *Effect) {
	n := len(dst)
	if n == cap(dst) {
		dst = append(dst, Effect{})
	}
	dst = dst[:n+1]
	e := &dst[n]
	*e = Effect{Do: do, buf: e.buf[:0], names: e.names[:0]}
	return dst, e
}

// to sets the topics of a publish to one.
func (e *Effect) to(topic string) {
	e.names = append(e.names, topic)
	e.Topics = e.names
}

func subscribe(dst []Effect, topic string) []Effect {
	dst, e := add(dst, Subscribe)
	e.Topic = topic
	return dst
}

func post(dst []Effect, data string) []Effect {
	dst, e := add(dst, Post)
	e.buf = append(e.buf, data...)
	e.Data = e.buf
	return dst
}

func reject(dst []Effect, sentence string) []Effect {
	dst, e := add(dst, Reject)
	e.buf = append(e.buf, sentence...)
	e.Data = e.buf
	return dst
}

// misspelt returns a sentence if a parameter of a connection's query is
// probably a misspelling of one that the app reads. Otherwise the client would
// be in another topic than it thinks. Parameters that resemble none of them are
// the client's own.
func misspelt(query url.Values, known ...string) (wrong string) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if meant := spelling.Nearest(name, known); meant != "" && meant != name {
			return "there is no parameter " + name + "; did you mean " + meant + "?"
		}
	}
	return ""
}

// queryTopics returns the topics that a connection's query asks for, without
// duplicates. If something is wrong with them, it returns a sentence.
func queryTopics(query url.Values) (topics []string, wrong string) {
	seen := make(map[string]bool)
	for _, key := range [...]string{"topic", "topicName"} {
		for _, name := range query[key] {
			switch {
			case name == "" || seen[name]:
			case wrongTopic(name) != "":
				return nil, wrongTopic(name)
			case len(topics) == MaxTopics:
				return nil, "a connection is in at most 1024 topics"
			default:
				seen[name] = true
				topics = append(topics, name)
			}
		}
	}
	return topics, ""
}

// longTopic is the reason for refusing the name of a topic that is too long.
const longTopic = "a topic's name has at most 256 bytes"

// wrongTopic returns a sentence if a topic cannot have that name.
func wrongTopic(name string) string {
	switch {
	case len(name) > MaxName:
		return longTopic
	case !utf8.ValidString(name):
		return "a topic's name is UTF-8"
	}
	return ""
}

func has(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
