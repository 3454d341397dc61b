// Package autobahn plays the cases of the Autobahn test suite for WebSocket
// servers against crier, and judges what it does by the suite's own
// expectations: https://github.com/crossbario/autobahn-testsuite.
//
// The suite itself is a Python program of its own. This package has its
// published list of cases as data: what each case sends, how that is cut into
// pieces, what must come back, and how the connection must end. The tests of
// this package start crier serve twice, without TLS and with it, and hold
// docs/autobahn.md to what they see. They also take a server that runs already:
//
//	go test ./internal/autobahn -v
//	go test ./internal/autobahn -v -url ws://localhost:8080
//
// # Independence
//
// The client writes and reads frames with code of its own. Nothing here is
// built on crier's packages, so a mistake cannot be on both sides of the wire
// and cancel itself out. What the client reads it holds to RFC 6455 as well.
//
// # Echo
//
// The suite expects a server that echoes. crier's broadcast app does: the
// sender gets a copy of what it sends. A binary message comes back as it was. A
// text message comes back in an object with stamps, which [unstamp] takes apart
// with a JSON parser. Each case has a topic of its own, so cases may run side by
// side.
//
// # What it does not do
//
// It measures nothing: the cases of section 9 are judged, not timed.
package autobahn

import (
	"crypto/tls"
	"time"
)

// A Case is one of the suite's, or one of ours.
type Case struct {
	ID    string // such as 7.1.6
	Does  string // what the client does
	Steps []Step

	Want []Event   // what must come back
	Lax  [][]Event // what may come back instead; NON-STRICT
	// ServerCloses says that the client leaves it to the server to close the
	// connection. Otherwise the client closes it when everything that it wants
	// has come, if the steps have not closed it.
	ServerCloses bool
	Codes        []int // with which the server may close
	Clean        bool  // the server must send a close frame, not just hang up
	// Informational says that the RFC leaves the outcome open.
	Informational bool

	Octets bool          // every octet is sent by itself, those of TLS, too
	Offer  string        // the extensions that the client offers
	Stands int           // for how many of the suite's cases it stands; 0 is one of ours
	Limit  time.Duration // how long it may take to come back, if more than patience
}

// A Step is what a client sends after it has waited.
type Step struct {
	After  int           // how many events must have come
	Pause  time.Duration // how long nothing more must happen; its end is an event
	Frames []Frame
	Raw    []byte // sent after the frames, as it is
	// Chop is how many octets one write takes. 0 is all of them, and perFrame a
	// frame.
	Chop   int
	Closes bool // the frames close the connection
}

const perFrame = -1

// An Event is what a client sees before the end of its connection.
type Event struct {
	Kind    Kind
	Payload []byte
}

// A Kind is what an event is.
type Kind string

const (
	Text      Kind = "text"
	Binary    Kind = "binary"
	Ping      Kind = "ping"
	Pong      Kind = "pong"
	StillOpen Kind = "still open" // at the end of a pause
)

// kindOf is what a frame with an opcode, or a message that it begins, is seen as.
var kindOf = map[byte]Kind{opText: Text, opBinary: Binary, opPing: Ping, opPong: Pong}

// A Server is the one under test.
type Server struct {
	URL      string      // of the broadcast app: ws://… or wss://…
	TLS      *tls.Config // nil trusts what the system trusts
	Patience time.Duration
}

// patience is how long to wait for what must happen. It matters only when it
// does not happen.
const patience = 10 * time.Second

// Run plays a case and judges what the server does.
func Run(c Case, s Server) Verdict {
	seen, err := play(c, s)
	if err != nil {
		return Verdict{Rating: Failed, Why: err.Error()}
	}
	return c.judge(seen)
}
