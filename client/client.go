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

// Options configure a client. The zero value is ready to use.
type Options struct {
	// Topics are added to the address, each as ?topic=.
	Topics []string
	// User is added to the address as ?user=.
	User string
	// NoEcho adds ?echo=0: the client does not receive its own messages, so
	// none is confirmed.
	NoEcho bool
	// First are sent on each connection before anything else, for example to
	// subscribe. Their fates are not reported.
	First []string

	// Header is sent with every handshake.
	Header http.Header
	// Token, if not nil, is asked for a key or a token before each connection.
	// The client shows it in the header Authorization, and asks for another one
	// when the server says that it has expired.
	Token func(context.Context) (string, error)
	// Subprotocols are offered to the server, which may choose one.
	Subprotocols []string
	// TLS is for wss. Nil means to trust the authorities that the system
	// trusts.
	TLS *tls.Config
	// MaxMessage is the largest message to receive, in bytes. Zero means
	// 16 MiB. A negative value means 128 KiB.
	MaxMessage int

	// Live makes this a client of the app live. An address without a path gets
	// the path /live. Once, Confirm and First are for other apps.
	Live *Live

	// Once gives each text message an id, such as "_id":"k3x9q2ab-17". Messages
	// that were not confirmed are sent again, and received messages whose id
	// was delivered before are ignored.
	Once bool
	// Confirm says whether the client's own messages come back with "_me":true.
	Confirm Confirm
	// Queue is how many messages may wait for a connection. Zero means 1,000.
	// A negative value means none.
	Queue int

	// Retry is the longest wait before the first retry, which doubles with
	// each failure, and the longest wait of all. Zeros mean 500 ms and 30 s.
	// Negative values mean no wait.
	Retry [2]time.Duration
	// ComeBack decides whether to try again. It is called each time that a
	// connection has ended or could not be made. The error contains a
	// [ws.Close] or a *[Refused], or comes from the network. Nil means
	// [ComesBack]. With Token, it is not called for a token that has expired.
	ComeBack func(ended error) bool
	// Timeout is how long to wait for a reaction that the server owes, and for
	// a connection. Zero means 15 s. With a negative value no connection
	// succeeds.
	Timeout time.Duration
	// Heartbeat is the silence after which the server is pinged. Zero means
	// 30 s. A negative value means never.
	Heartbeat time.Duration

	// Message is called with each message received, State with each new state,
	// and Drop with each message of the client's own that is or may be lost
	// after Send accepted it. They are called one at a time, what follows waits
	// for them, and they must not call Close. Without Message,
	// [Client.Messages] yields the messages.
	Message func(*Client, Message)
	State   func(*Client, Status)
	Drop    func(*Client, Drop)

	dial dialer // instead of the network's, for tests
}

// Confirm says whether the server confirms messages by sending them back with
// "_me":true.
type Confirm int

const (
	ByAddress Confirm = iota // it does, unless the path ends in /bridge, /chat, /rooms or /directory, or the query says echo=0
	Always
	Never
)

// A State is what a client is doing.
type State int

const (
	Connecting State = iota // next: Open or Waiting
	Open
	Waiting // until the next try
	Closed  // for good
)

var stateNames = [...]string{"connecting", "open", "waiting", "closed"}

// String returns a state's name, such as "open".
func (s State) String() string { return stateNames[s] }

// A Status describes a client at one moment.
type Status struct {
	State State
	Ended error     // how the last connection ended, or why it could not be made; nil if there was none
	Retry time.Time // while Waiting: when it tries again
}

// A Message is a message that was received. The receiver may keep its data.
type Message struct {
	Data   []byte
	Binary bool
	Mine   bool // it is our own

	// Of text messages of live.
	Kind    Kind
	Topic   string
	From    string // the sender's connection id; empty if it is not told
	User    string // the sender's name; empty if it has none
	Key     Key    // of state; otherwise, zero
	Dropped bool   // of state: it was dropped
}

// A Fate is what happened to a message that was sent.
type Fate int

const (
	Confirmed Fate = iota // the server has published it: its own copy came back; or live has counted it as taken
	Sent                  // it was written to a connection; the app does not confirm it, or it is binary
	Unsure                // before its copy came back, the connection ended, skipped messages, or reported an error; it may have been published
	Dropped               // it was never written to a connection
	Rejected              // live has refused it, and nothing was published
)

var fateNames = [...]string{"confirmed", "sent", "unsure", "dropped", "rejected"}

// String returns a fate's name, such as "confirmed".
func (f Fate) String() string { return fateNames[f] }

// A Drop is a message of the client's own that is or may be lost.
type Drop struct {
	Data   []byte
	Binary bool
	Fate   Fate   // Unsure, Dropped or Rejected
	Why    string // "lost" with the connection, "skipped" by the server, "failed" on API Gateway, "closed" with the client, or the error that rejects it
}

const (
	inFlight  = 1024     // messages written to a connection that have not come back yet
	mostBytes = 16 << 20 // of all messages that are kept

	// How many messages are read before Messages yields them, and how many
	// bytes of them, without the last message.
	ahead      = 1000
	aheadBytes = 16 << 20
)

// A Client is a WebSocket that reconnects. Its methods may be called at any
// time and from several goroutines.
type Client struct {
	at       *url.URL
	o        Options
	confirms bool
	inbox    chan Message    // stays empty if o.Message is set
	leaving  context.Context // done: end as soon as nothing is on its way
	leave    context.CancelFunc
	over     chan struct{} // closed at the end

	unheard    atomic.Int64  // bytes in inbox
	room       chan struct{} // signals that unheard may have shrunk
	delivering atomic.Bool   // the receiver of messages holds the reader up
	wake       chan struct{} // signals that there is something to write
	emptied    chan struct{} // signals that the outbox is empty

	mu     sync.Mutex
	status Status
	renew  context.CancelFunc // ends the current try
	outbox
	session session // of live
	ids             // owned by run
}

// Connect makes a client, which connects in the background. When ctx is done,
// the client hangs up at once; [Client.Close] leaves in good order. An error is
// about the address or the options, never about the network.
func Connect(ctx context.Context, address string, o Options) (*Client, error) {
	at := new(url.URL)
	var err error
	if o.Live == nil || o.Live.Address == nil {
		if at, err = parseAddress(address); err != nil {
			return nil, err
		}
	}
	if name, ok := badHeader(o.Header); ok {
		return nil, fmt.Errorf("connect: the header %q has characters that HTTP does not allow", name)
	}
	if o.Live != nil && (o.Once || o.Confirm != ByAddress || len(o.First) > 0) {
		return nil, errors.New("connect: Live excludes Once, Confirm and First")
	}
	if o.Live == nil {
		o.addTo(at)
	} else if _, err := url.ParseQuery(at.RawQuery); err != nil {
		return nil, fmt.Errorf("connect to %q: the query cannot be read: %w", address, err)
	}
	o.Queue = cmp.Or(o.Queue, 1000)
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.Heartbeat = cmp.Or(o.Heartbeat, 30*time.Second)
	o.Retry[0], o.Retry[1] = cmp.Or(o.Retry[0], 500*time.Millisecond), cmp.Or(o.Retry[1], 30*time.Second)
	if o.ComeBack == nil {
		o.ComeBack = ComesBack
	}
	c := &Client{
		at: at, o: o, inbox: make(chan Message, ahead), over: make(chan struct{}), room: make(chan struct{}, 1), wake: make(chan struct{}, 1), emptied: make(chan struct{}, 1),
		outbox: outbox{capacity: max(0, o.Queue), once: o.Once, name: newName(), ledger: ledger{live: o.Live != nil, held: true}}, ids: newIDs(),
	}
	c.confirms = o.Confirm == Always || o.Confirm == ByAddress && at.Query().Get("echo") != "0" && !unmarked.MatchString(at.Path)
	if o.Once && !c.confirms {
		return nil, errors.New("connect: Once needs an app that marks what is one's own")
	}
	c.leaving, c.leave = context.WithCancel(ctx)
	go c.run(ctx)
	return c, nil
}

// addTo adds the options that are part of an address.
func (o *Options) addTo(at *url.URL) {
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
}

func parseAddress(address string) (*url.URL, error) {
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
	return at, nil
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

// unmarked matches the paths of apps that do not mark a client's own messages.
var unmarked = regexp.MustCompile(`/(bridge|chat|rooms|directory)/?$`)

// ComesBack reports whether connecting again may help after an end: whether the
// end was neither intended nor the client's own fault. It is the default of
// [Options].ComeBack.
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

// Messages yields the messages received. It ends when the client is closed,
// after the last message. If the caller is slow, a thousand messages or 16 MiB
// are buffered. Then the client stops reading, and the server closes the
// connection with 1013 or skips messages. If Messages is called several times,
// each message goes to one of the callers.
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

// Status returns the current status of the client.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Pending returns how many messages wait to be written or have not come back
// yet.
func (c *Client) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending()
}

// Reconnect ends the connection, or the wait for the next one, and connects
// again at once. A client of live continues its session. In other apps, messages
// on their way are treated as after a lost connection.
func (c *Client) Reconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renew != nil {
		c.renew()
	}
}

// Close ends the client for good, as soon as messages on their way have come
// back, or after Options.Timeout. When it returns, nothing of the client is
// left, except messages that Messages has not yielded yet. Messages that wait
// for a connection are dropped. Messages that arrive after the call may not be
// delivered.
func (c *Client) Close() {
	c.leave()
	<-c.over
}
