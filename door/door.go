// Package door is the HTTP side of the server: it turns handshakes into
// connections and answers the management API.
//
// It decides who may connect (path, handshake, origin, key) and says why not.
// It gives connections their ids, in API Gateway's form. It speaks API
// Gateway's management API, so an unmodified AWS SDK client can post to
// connections:
//
//	POST   /@connections/{id}   sends the body to that connection (also under /{stage})
//	GET    /@connections/{id}   reports when it connected and was last active
//	DELETE /@connections/{id}   closes it
//	GET    /@connections        lists connections; ?topic= those of a topic, ?user= of a user, ?limit= so many
//	POST   /publish             publishes the body to everyone; ?topic= to a topic
//	GET    /topics              lists topics; /topics/{topic} the members of one
//	DELETE /topics/{topic}      ends all subscriptions to it
//	DELETE /users/{user}        ends all connections of a user; ?for=10m keeps it out for so long
//	GET    /stats               reports counts and totals of the whole server
//
// # What it does not do
//
// It owns no connection once the handshake is done, knows no topic and carries
// out nothing itself. It leaves that to the implementations of its interfaces
// [Sockets], [Connections] and [Topics].
package door

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"crier/access"
	"crier/trust"
)

// A Mount is an app at its path.
type Mount struct {
	Path string // such as /chat
	Name string // such as chat
	Help string // one line for people
	Try  string // a query with which a first connection works; may be empty

	// Explains says that a page whose handshake is refused is told why, by a
	// close frame: browsers show pages neither the status nor the sentence. A
	// client that offers the subprotocol crier is told in any case.
	Explains bool
}

// Sockets accepts connections.
type Sockets interface {
	// Connect decides whether a handshake succeeds. When it returns, the
	// connection is registered: what is published from now on reaches it. may
	// says what the client may do; nil: everything. When a connection that it
	// has accepted ends, it leaves Config.Addresses.
	Connect(r *http.Request, m Mount, id string, may *access.Grant) (Socket, *Refusal)
}

// A Socket is a connection whose client is about to get the 101.
type Socket interface {
	// Protocol returns the subprotocol for the 101, or "".
	Protocol() string
	// Serve takes over the socket after the 101. early is what the client
	// has sent already.
	Serve(nc net.Conn, early []byte)
	// Abandon is called instead of Serve if the client was gone before the
	// 101.
	Abandon()
}

// Connections finds connections by their ids.
type Connections interface {
	Post(id string, data []byte) *Refusal
	Info(id string) (Info, *Refusal)
	Close(id string) *Refusal
}

// Info is what the management API reports about a connection.
type Info struct {
	ID         string
	App        string
	User       string
	Topics     []string
	Connected  time.Time
	LastActive time.Time
	SourceIP   string
	UserAgent  string
	Unread     int    // messages that wait for it
	Throttled  bool   // it sends faster than it may
	Server     string // that has it; empty if there is one server
}

// An Asked says how many servers there are, and how many of them have answered.
// Both are zero if there is one server.
type Asked struct {
	Servers  int `json:"servers,omitempty"`
	Answered int `json:"answered,omitempty"`
}

// Topics knows the topics. An empty app means all apps.
type Topics interface {
	// Connections lists connections: those of a topic, or all if topic is nil.
	Connections(app string, topic *string) ([]Info, Asked)
	// Topics lists the topics that have members.
	Topics(app string) ([]Topic, Asked)
	// Remove ends all subscriptions to a topic. It returns how many topics
	// of that name there were.
	Remove(app, topic string) int
	// Publish stamps a message and sends it to the topics of the request's
	// query, or to everyone if the query names none. It returns how many
	// connections get it. may says what the sender may do.
	Publish(r *http.Request, data []byte, may *access.Grant) (heard int, no *Refusal)
}

// Users knows who was signed out.
type Users interface {
	// SignOut ends all connections and sessions of a user, and keeps the user out
	// for that long; zero or less: not at all, also if it was kept out before.
	SignOut(ctx context.Context, user string, keep time.Duration) *Refusal
	// KeptOut reports whether a user has to stay out.
	KeptOut(user string) bool
}

// A Topic is a topic in a list.
type Topic struct {
	App     string `json:"app"`
	Topic   string `json:"topic"`
	Members int    `json:"members"`
}

// Memory is what topics of live know.
type Memory interface {
	// Say publishes a message to a topic, as one of that user, if it is not
	// empty. If state is not nil, the message sets or drops a key.
	Say(ctx context.Context, topic, user string, data []byte, state *State) (Said, *Refusal)
	// Read returns the last messages of a topic; if last is negative, its
	// state. They are JSON texts without line breaks.
	Read(topic string, last int) (texts [][]byte)
	// Forget forgets the messages and the state of a topic. It reports
	// whether there was such a topic.
	Forget(topic string) bool
	// Listen answers a request with what happens in its topics, as
	// server-sent events, until its client has gone. may says what the client
	// may do.
	Listen(w http.ResponseWriter, r *http.Request, may *access.Grant) *Refusal
}

// A State is a key that a message sets, or drops.
type State struct {
	Key  string
	Drop bool
}

// A Said is what became of a message.
type Said struct {
	Offset string // empty if it is not kept
	Heard  int    // connections that get it
}

// Stats is a snapshot of the whole server. The counters start with the server.
// With several servers, it is the sum of those that answer.
type Stats struct {
	Asked
	Now         int64          `json:"now"`            // milliseconds since 1970
	Connections map[string]int `json:"connections"`    // open, by app
	Topics      int            `json:"topics"`         // that have members; with several servers, each counts its own
	Messages    uint64         `json:"messages"`       // that clients sent, or that were published over HTTP
	Deliveries  uint64         `json:"deliveries"`     // messages handed to connections
	BytesIn     uint64         `json:"bytesIn"`        // read from connections
	BytesOut    uint64         `json:"bytesOut"`       // written to connections
	Backlog     int            `json:"backlog"`        // bytes of messages that some readers may not have read yet
	Each        []ServerStats  `json:"each,omitempty"` // with several servers: those that answer
}

// ServerStats says what one of several servers does.
type ServerStats struct {
	Server      string `json:"server"`
	Connections int    `json:"connections"`
	Messages    uint64 `json:"messages"`
	Deliveries  uint64 `json:"deliveries"`
}

// Own returns what one server does.
func (s *Stats) Own(server string) ServerStats {
	own := ServerStats{Server: server, Messages: s.Messages, Deliveries: s.Deliveries}
	for _, n := range s.Connections {
		own.Connections += n
	}
	return own
}

// Add adds the numbers of another server.
func (s *Stats) Add(other *Stats) {
	for app, n := range other.Connections {
		s.Connections[app] += n
	}
	s.Topics += other.Topics
	s.Messages += other.Messages
	s.Deliveries += other.Deliveries
	s.BytesIn += other.BytesIn
	s.BytesOut += other.BytesOut
	s.Backlog += other.Backlog
	s.Each = append(s.Each, other.Each...)
}

// Config configures a [Door].
type Config struct {
	Mounts      []Mount
	Sockets     Sockets
	Connections Connections
	Topics      Topics
	Users       Users
	Memory      Memory // nil: no mount is Live
	Stats       func() Stats

	MaxMessage   int               // bytes of a posted or published message
	Guard        *access.Guard     // keys and tokens; nil: everybody may connect. Without admin keys, only programs of this machine may manage
	Credentials  Credentials       // for signed requests to the management API; if empty, signatures are ignored
	Signed       bool              // programs of this machine must sign requests, or send the admin key
	Stage        string            // if not empty, the server has only this mount, also at the root, and the management of its connections
	AllowOrigins []string          // of pages that may connect, in addition to pages at home: see trust.Pages
	Domains      []string          // names of this server, in addition to the machine's
	Proxies      trust.Proxies     // that say where requests come from
	Addresses    *access.Addresses // what one address may have; nil: everything
	Aliases      []string          // names of this server that only handlers of this machine know, and only over TLS
	Also         []string          // further paths, listed beside the mounts in 404 answers
	Log          *slog.Logger
	Refused      func(Refusal) // called for each refusal, to count it; may be nil
}

// A Door is an [http.Handler].
type Door struct {
	config Config
	mounts map[string]Mount
	pages  trust.Pages
	told   atomic.Int64 // when a refused page was last logged, in nanoseconds since 1970

	guesses chan struct{} // a semaphore with room for maxGuesses
	leaving chan struct{} // closed by leave
	leave   sync.Once
}

// New returns a door.
func New(config Config) *Door {
	if config.Guard == nil {
		config.Guard = new(access.Guard)
	}
	if config.Addresses == nil {
		config.Addresses = access.NewAddresses(0, 0)
	}
	d := &Door{
		config:  config,
		mounts:  make(map[string]Mount),
		pages:   trust.NewPages(slices.Concat(trust.Names(), config.Domains), config.AllowOrigins),
		guesses: make(chan struct{}, maxGuesses),
		leaving: make(chan struct{}),
	}
	for _, m := range config.Mounts {
		d.mounts[m.Path] = m
	}
	return d
}

// Serves reports whether the door has something for a GET other than a list of
// what there is: files may be where an app takes only WebSockets.
func (d *Door) Serves(r *http.Request) bool {
	if m, ok := d.mount(r.URL.Path); ok {
		return hasToken(r.Header, "Upgrade", "websocket") || m.Name == Live && takesEvents(r)
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return slices.Contains(managed, first) || strings.Contains(r.URL.Path, "/@connections")
}

// managed are the first parts of the paths of the management API.
var managed = []string{"@connections", "publish", "topics", "users", "stats"}

// Paths returns what the paths of the management API begin with.
func Paths() (paths []string) {
	for _, first := range managed {
		paths = append(paths, "/"+first)
	}
	return paths
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = d.config.Proxies.Unwrap(r)
	if m, ok := d.mount(r.URL.Path); ok {
		if m.Name == Live && d.withoutSocket(w, r, m) {
			return
		}
		d.accept(w, r, m)
		return
	}
	path := segments(r)
	if no := d.otherStage(r, path); no != nil {
		d.refuse(w, r, *no)
		return
	}
	if len(path) > 1 && path[1] == "@connections" {
		path = path[1:] // if we have no stage, any name is accepted
	}
	switch {
	case len(path) == 1 && path[0] == "@connections":
		d.manage(w, r, methods{"GET": managing(d.listConnections)}, query{names: []string{"topic", "app", "user", "limit"}})
	case len(path) == 2 && path[0] == "@connections":
		id := path[1]
		d.manage(w, r, d.connection(id), ofConnection(r))
	case len(path) == 2 && path[0] == "users":
		d.manage(w, r, d.user(path[1]), query{names: []string{"for"}})
	case len(path) == 1 && path[0] == "publish" && r.URL.Query().Get("app") == Live:
		d.manage(w, r, methods{"POST": saying(r.URL.Query().Get("topic"), d.say)}, query{names: []string{"app", "topic"}})
	case len(path) == 1 && path[0] == "publish":
		d.manage(w, r, methods{"POST": publishing(d.publish)}, query{names: []string{"topic", "topicName", "echo"}}) // the parameters of the broadcast app
	case len(path) >= 3 && path[0] == "topics" && d.config.Memory != nil && d.remembered(w, r, path[1], path[2:]):
	case len(path) == 1 && path[0] == "topics", len(path) == 2 && path[0] == "topics" && path[1] == "":
		d.manage(w, r, methods{"GET": managing(d.listTopics)}, query{names: []string{"app", "limit"}})
	case len(path) == 2 && path[0] == "topics" && !utf8.ValidString(path[1]):
		d.refuse(w, r, BadQuery.Saying("a topic's name is UTF-8"))
	case len(path) == 2 && path[0] == "topics":
		d.manage(w, r, d.topic(path[1]), query{names: []string{"app"}})
	case len(path) == 1 && path[0] == "stats":
		d.manage(w, r, methods{"GET": managing(func(w http.ResponseWriter, _ *http.Request) { answer(w, d.config.Stats()) })}, query{})
	default:
		d.refuse(w, r, NotFound.Saying(d.lost(r)))
	}
}

// otherStage refuses a request that is not for the stage, if there is a stage.
// Paths of the stage begin with its name, or, as at a custom domain, without
// it.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-mappings.html
func (d *Door) otherStage(r *http.Request, path []string) *Refusal {
	switch stage := d.config.Stage; {
	case stage == "", path[0] == "@connections":
		return nil
	case path[0] != stage || len(path) < 2:
	case path[1] == "@connections":
		return nil
	case r.Method == http.MethodGet && r.Header.Get("Upgrade") == "":
		return &UpgradeRequired // as API Gateway does
	}
	d.config.Log.Info("nothing is served there", "path", r.URL.Path, "stage", d.config.Stage)
	return &WrongStage
}

// mount finds the app of a path. A slash at the end makes no difference. With a
// stage there is only one app, which has the root, too.
func (d *Door) mount(path string) (Mount, bool) {
	if path == "/" && d.config.Stage != "" {
		path += d.config.Stage
	}
	m, ok := d.mounts[path]
	if !ok && len(path) > 1 {
		m, ok = d.mounts[strings.TrimSuffix(path, "/")]
	}
	return m, ok
}

// webSocketURL returns the URL of m, with the scheme and the host that r was
// sent to.
func webSocketURL(r *http.Request, m Mount) string {
	scheme := "ws"
	if secure(r) || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "wss"
	}
	return scheme + "://" + r.Host + m.Path + m.Try
}

// lost returns the answer to a request for an unknown path: a list of the known
// ones.
func (d *Door) lost(r *http.Request) string {
	var paths []string
	for _, m := range d.config.Mounts {
		paths = append(paths, m.Path)
	}
	var b strings.Builder
	b.WriteString("nothing is served at " + r.URL.Path + meant(r.URL.Path, paths) + "\n\nWebSockets:\n")
	for _, m := range d.config.Mounts {
		b.WriteString("  " + webSocketURL(r, m) + "\n")
	}
	b.WriteString("\nHTTP:\n  /publish  /topics  /@connections  /users  /stats")
	for _, path := range d.config.Also {
		b.WriteString("  " + path)
	}
	return b.String()
}
