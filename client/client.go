package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crier/ws"
)

// Options say how to connect. The zero value will do.
type Options struct {
	Topics []string // ?topic=, once for each
	User   string   // ?user=
	NoEcho bool     // ?echo=0: one does not hear oneself, and nothing is confirmed
	First  []string // said on each connection before anything else, such as subscriptions; what becomes of it is not told

	Header       http.Header // sent with every handshake
	Subprotocols []string    // one of which is wanted
	TLS          *tls.Config // for wss; nil: trust whom the system trusts
	MaxMessage   int         // the largest message to be heard, in bytes; 0: 16 MiB

	// Once gives each text message an id, "_id":"k3x9q2ab-17", sends again whatever was not confirmed, and passes over what was
	// heard before.
	Once bool
	// Confirm says whether one's own messages come back with "_me":true.
	Confirm Confirm
	// Queue is how many messages wait for a connection. 0: 1,000; less: none.
	Queue int

	// Retry is the longest wait before the second try, and the longest before any. 0: 500 ms and 30 s.
	Retry [2]time.Duration
	// ComeBack decides after each end of a connection, and each that could not be made, whether to try again. An error has a
	// [ws.Close] or a *[Refused] in it, or is the network's. nil: [ComesBack].
	ComeBack func(ended error) bool
	// Timeout is how long to wait for a sign of life that is due, and for a connection. 0: 15 s.
	Timeout time.Duration
	// Heartbeat is after how much silence to ask for a sign of life. 0: 30 s; less: never.
	Heartbeat time.Duration

	// Message, State and Drop are told what is heard, each new state, and each message that was taken and is lost, or may be. They
	// are called one at a time, hold up what follows, and must not call Close. Without Message, Messages yields what is heard.
	Message func(*Client, Message)
	State   func(*Client, Status)
	Drop    func(*Client, Drop)

	dial dialer // instead of the network's, for tests
}

// Confirm says whether the server confirms messages by sending them back with "_me":true.
type Confirm int

const (
	ByAddress Confirm = iota // yes, unless the path ends in /bridge, /chat, /rooms or /directory, or the query says echo=0
	Always
	Never
)

// A State is one of four.
type State int

const (
	Connecting State = iota // to Open, or to Waiting
	Open
	Waiting // for the next try
	Closed  // for good
)

var stateNames = [...]string{"connecting", "open", "waiting", "closed"}

// String returns a state's name, such as "open".
func (s State) String() string { return stateNames[s] }

// Status is how a client is.
type Status struct {
	State State
	Ended error     // how the last connection ended, or why it could not be made; nil if there was none
	Retry time.Time // when it tries again, while it is waiting
}

// A Message is what was heard. Its data is the receiver's to keep.
type Message struct {
	Data   []byte
	Binary bool
	Mine   bool // we said it
}

// A Fate is what became of a message that was sent.
type Fate int

const (
	Confirmed Fate = iota // the server has published it: its own copy came back
	Sent                  // it was handed to a connection, in an app that tells no more, or it is binary
	Unsure                // its connection ended, or skipped, or told of an error, before its copy came back; it may have been published
	Dropped               // it was never handed to a connection
)

var fateNames = [...]string{"confirmed", "sent", "unsure", "dropped"}

// String returns a fate's name, such as "confirmed".
func (f Fate) String() string { return fateNames[f] }

// A Drop is a message of one's own that is lost, or may be.
type Drop struct {
	Data   []byte
	Binary bool
	Fate   Fate   // Unsure or Dropped
	Why    string // "lost" with the connection, "skipped" by the server, "failed" on API Gateway, or "closed": the client is
}

const (
	inFlight  = 1024     // messages handed to a connection that have yet to come back
	mostBytes = 16 << 20 // of all messages that are kept

	// Messages that are read before Messages yields them, and bytes of those, the last message not counted.
	ahead      = 1000
	aheadBytes = 16 << 20
)

// A Client is a WebSocket that comes back. Its methods may be called at any time, from several goroutines.
type Client struct {
	url      string
	o        Options
	confirms bool
	inbox    chan Message    // stays empty if there is o.Message
	leaving  context.Context // done: go, when nothing is on its way
	leave    context.CancelFunc
	over     chan struct{} // closed at the end

	unheard    atomic.Int64  // bytes in inbox
	room       chan struct{} // there may be less
	delivering atomic.Bool   // held up by who hears
	wake       chan struct{} // there is something to hand over
	emptied    chan struct{} // the outbox is empty

	mu     sync.Mutex
	status Status
	outbox
	ids // only run's
}

// Connect makes a client, which connects by itself. When ctx is done it hangs up; Close leaves in good order. An error is about
// the address or the options, never about the network.
func Connect(ctx context.Context, address string, o Options) (*Client, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	switch at.Scheme {
	case "ws", "wss", "http", "https":
	default:
		return nil, fmt.Errorf("connect to %q: the address should begin with ws://, wss://, http:// or https://", address)
	}
	if _, err := strconv.ParseUint(cmp.Or(at.Port(), "0"), 10, 16); err != nil || at.Hostname() == "" {
		return nil, fmt.Errorf("connect to %q: the address should have a host, and a port below 65536 if it has one", address)
	}
	if name, ok := badHeader(o.Header); ok {
		return nil, fmt.Errorf("connect: the header %q has characters that HTTP does not allow", name)
	}
	add := func(name, value string) {
		at.RawQuery = strings.TrimPrefix(at.RawQuery+"&"+name+"="+url.QueryEscape(value), "&")
	}
	for _, topic := range o.Topics {
		add("topic", topic)
	}
	if o.User != "" {
		add("user", o.User)
	}
	if o.NoEcho {
		add("echo", "0")
	}
	o.Queue = cmp.Or(o.Queue, 1000)
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.Heartbeat = cmp.Or(o.Heartbeat, 30*time.Second)
	o.Retry[0], o.Retry[1] = cmp.Or(o.Retry[0], 500*time.Millisecond), cmp.Or(o.Retry[1], 30*time.Second)
	if o.ComeBack == nil {
		o.ComeBack = ComesBack
	}
	c := &Client{
		url: at.String(), o: o, inbox: make(chan Message, ahead), over: make(chan struct{}), room: make(chan struct{}, 1), wake: make(chan struct{}, 1), emptied: make(chan struct{}, 1),
		outbox: outbox{capacity: max(0, o.Queue), once: o.Once, name: newName()}, ids: newIDs(),
	}
	c.confirms = o.Confirm == Always || o.Confirm == ByAddress && at.Query().Get("echo") != "0" && !unmarked.MatchString(at.Path)
	if o.Once && !c.confirms {
		return nil, errors.New("connect: Once needs an app that marks what is one's own")
	}
	c.leaving, c.leave = context.WithCancel(ctx)
	go c.run(ctx)
	return c, nil
}

// badHeader returns the name of a header that cannot be sent.
// https://www.rfc-editor.org/rfc/rfc9110#section-5.5
func badHeader(h http.Header) (name string, ok bool) {
	for name, values := range h {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }) {
			return name, true
		}
		for _, value := range values {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return name, true
			}
		}
	}
	return "", false
}

// Apps in which one's own messages do not come back marked.
var unmarked = regexp.MustCompile(`/(bridge|chat|rooms|directory)/?$`)

// ComesBack reports whether it may help to connect again after an end: whether it was neither meant nor our fault.
func ComesBack(ended error) bool {
	if how, ok := errors.AsType[ws.Close](ended); ok {
		switch {
		case how.Code == ws.NormalClosure, how.Code == ws.ProtocolError, how.Code == ws.UnsupportedData,
			how.Code > ws.Abnormal && how.Code < ws.InternalError:
			return false
		}
		return how.Code < 3000
	}
	if refused, ok := errors.AsType[*Refused](ended); ok {
		return refused.Status >= 500 || refused.Status == http.StatusTooManyRequests || refused.Status == http.StatusRequestTimeout
	}
	return true
}

// Messages yields what is heard. It ends when the client is closed, after the last message. A slow caller holds up the client,
// and after a thousand messages or 16 MiB the server, which then closes the connection with 1013 or skips messages. If
// it is called several times, each message goes to one of the callers.
func (c *Client) Messages() iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for m := range c.inbox {
			c.unheard.Add(int64(-len(m.Data)))
			c.signal(c.room)
			if !yield(m) {
				return
			}
		}
	}
}

// Status returns how the client is.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Pending returns how many messages wait, or have yet to come back.
func (c *Client) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.kept) + len(c.batch)
}

// Close leaves for good, as soon as what is on its way has come back, or after Options.Timeout. It returns when nothing of the
// client is left but what Messages has yet to yield. What waits for a connection is dropped, and what is heard after the call
// need not be told.
func (c *Client) Close() {
	c.leave()
	<-c.over
}
