// Package serve makes one server of the hub, the apps, the gateway and the transport.
//
//	s, err := serve.Open(serve.Defaults())
//	if err != nil { … }
//	fmt.Println(s.URL())   // ws://localhost:8080
//	err = s.Run(ctx)       // until ctx is done and every client has been told
//
// # The life of one message
//
// The transport decodes it and hands it to its connection, which asks the app what should happen and carries the
// effects out: a publish is framed and appended to the hub's logs, and the hub wakes the connections that read them.
//
// # What it does not do
//
// It decides nothing that an app, the gateway or the hub can decide.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"crier/api"
	"crier/app"
	"crier/gateway"
	"crier/hub"
	"crier/transport"
	"crier/trust"
	"crier/ws"
)

// Config says how to serve. Start from Defaults.
type Config struct {
	Listen         string        // host:port; localhost is both of its addresses, no host every interface
	AdminKey       string        // bearer token for the management API; none: for programs of this machine only
	AllowOrigins   []string      // of pages that may connect, beside those at home: see trust.Pages; "*" is all
	Domains        []string      // names of this server, whose pages may connect
	MaxMessage     int           // bytes of one message
	MaxConnections int           // open at once
	Backlog        int           // bytes of messages kept for the slowest reader of a topic
	Memory         int           // bytes of everything that is kept for somebody
	Skip           bool          // a reader that falls behind goes on with the newest message, instead of being closed
	Ping           time.Duration // silence after which a client is pinged; 0 never
	Idle           time.Duration // time without a message after which a client is closed; 0 never
	MessageTimeout time.Duration // time that a message may take to arrive; 0 as long as it likes
	Drain          time.Duration // over which clients are sent away at the end
	Console        bool          // show browsers the page
	TLS            *tls.Config   // for wss and https only; nil: ws and http only
	Gateway        *Gateway      // an API of the user's own; nil: none
	Log            *slog.Logger
}

// A Gateway says how to serve an API of the user's own.
type Gateway struct {
	API       *api.Live
	Alone     bool        // without the built-in apps
	Limits    bool        // API Gateway's
	TLS       *tls.Config // on the same port as what is not TLS; nil: none
	AccessKey string      // handlers' requests to the management API may be signed with
	SecretKey string      // this pair
	Signed    bool        // and must be

	// Door is a listener for handlers only, with TLS and plain HTTP whatever the others have. nil: there is none.
	Door net.Listener
	// Aliases are the names that lead there, in handlers only.
	Aliases []string
}

// Defaults returns the documented defaults.
func Defaults() Config {
	return Config{
		Listen:         "localhost:8080",
		MaxMessage:     128 << 10,
		MaxConnections: 100_000,
		Backlog:        4 << 20,
		Memory:         defaultMemory(),
		Ping:           30 * time.Second,
		MessageTimeout: 30 * time.Second,
		Drain:          5 * time.Second,
		Console:        true,
		Log:            slog.New(slog.DiscardHandler),
	}
}

func (c Config) check() error {
	switch {
	case c.MaxMessage < 1:
		return errors.New("the largest message must have at least one byte")
	case c.MaxMessage > maxMaxMessage:
		return fmt.Errorf("a message has at most %d bytes", maxMaxMessage)
	case c.MaxConnections < 1:
		return errors.New("at least one connection must be allowed")
	case c.Backlog < 8*c.MaxMessage:
		return fmt.Errorf("--backlog: %d bytes are too few for messages of %d bytes (--max-message): it must be at least eight times as large", c.Backlog, c.MaxMessage)
	case c.Backlog > c.Memory/2:
		return fmt.Errorf("--memory: %d bytes are too few for a backlog of %d bytes (--backlog): it must be at least twice as large", c.Memory, c.Backlog)
	case c.Ping < 0 || c.Idle < 0 || c.Drain < 0 || c.MessageTimeout < 0:
		return errors.New("a time must not be negative")
	case c.Log == nil:
		return errors.New("a log is needed")
	}
	for _, origin := range c.AllowOrigins {
		if err := trust.CheckOrigin(origin); err != nil {
			return fmt.Errorf("allow origins: %w", err)
		}
	}
	return nil
}

// lobbyRoom is how many connections may speak HTTP at present: those that the
// process's files leave beside WebSockets and its own.
func (s *Server) lobbyRoom() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	free := s.config.MaxConnections - s.admitted
	return min(free+s.spare, mostWaiting)
}

const (
	// mostWaiting is how many connections may speak HTTP in any case: as many
	// as may come at once after a restart, and wait for their handshakes.
	mostWaiting = 10_000
	// ownFiles is how many files are for the process itself: listeners,
	// pollers, pipes of functions, what /metrics reads.
	ownFiles = 64
)

// fit lowers the number of connections to what the process may open, and leaves some files for everything else: who is refused is
// told so, and who cannot even be accepted is not.
//
// It returns how many files are left for connections that speak HTTP.
func (c *Config) fit(files int) (spare int) {
	rest := min(files/2, 256)
	if most := files - rest; most < c.MaxConnections {
		c.Log.Info("the process may not open more files (ulimit -n): it takes fewer connections", "connections", most, "files", files)
		c.MaxConnections = most
	}
	return max(rest-ownFiles, rest/2)
}

// maxMaxMessage bounds what one connection can make the server remember.
const maxMaxMessage = 16 << 20

// maxPosts is how many bytes posted to one connection wait for it, if the largest message is not larger.
const maxPosts = 256 << 10

// A Server serves the built-in apps, an API of the user's own, or both.
type Server struct {
	config    Config // set once
	spare     int    // files for connections that speak HTTP; set once
	listeners []net.Listener
	lobby     *gateway.Lobby
	http      *http.Server
	hub       *hub.Hub
	transport *transport.Transport
	mounts    []*mount
	calls     *calls // of the user's own API; nil: there is none
	metrics   *metrics
	draining  atomic.Bool

	seed       maphash.Seed  // for where connections are placed
	handshakes atomic.Uint64 // that succeeded

	mu          sync.RWMutex
	connections map[string]peer // by id
	admitted    int             // connections, also those on their way in, and ends to be announced
}

// Open starts a server. It accepts connections at once and answers them when Run is called, which must follow.
func Open(config Config) (*Server, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	listeners, err := listen(config.Listen)
	if err != nil {
		return nil, err
	}
	if config.Gateway != nil && config.Gateway.Door != nil {
		listeners = append(listeners, config.Gateway.Door)
	}
	spare := config.fit(files())
	s := &Server{
		config:      config,
		spare:       spare,
		seed:        maphash.MakeSeed(),
		listeners:   listeners,
		connections: make(map[string]peer),
	}
	keep := hub.Config{
		Backlog: config.Backlog,
		Memory:  config.Memory,
		Posts:   max(maxPosts, 2*config.MaxMessage),
	}
	if config.Skip {
		keep.Skipped = skipped
	}
	s.hub = hub.New(keep)
	if config.Gateway != nil {
		s.calls = newCalls(s, config.Gateway)
	}
	s.lobby = gateway.NewLobby(s.lobbyRoom, config.Log)
	for i, l := range listeners {
		listeners[i] = s.door(l)
	}
	sockets := transport.Config{
		Hub:        s.hub,
		MaxMessage: config.MaxMessage,
		Ping:       config.Ping,
		Idle:       config.Idle,
		Message:    config.MessageTimeout,
	}
	if config.Gateway != nil && config.Gateway.Limits {
		sockets.MaxMessage, sockets.MaxFrame = awsMaxMessage, awsMaxFrame
		sockets.Ping, sockets.Idle = 0, awsIdle
	}
	s.transport, err = transport.New(sockets)
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return nil, err
	}
	s.mounts = newMounts(s)
	s.metrics = newMetrics(s)
	s.serveHTTP()
	return s, nil
}

// door has a listener speak TLS, if it is to.
func (s *Server) door(l net.Listener) net.Listener {
	c := &s.config
	door := gateway.Listener{Listener: l, TLS: c.TLS, Only: c.TLS != nil, Lobby: s.lobby}
	if g := c.Gateway; g != nil && (c.TLS == nil || l == g.Door) {
		door.TLS, door.Only = g.TLS, false
	}
	return door
}

// skipped returns the frame that tells a client how many messages it has missed.
func skipped(messages int) []byte {
	return ws.AppendFrame(nil, ws.Text, app.AppendSkipped(nil, messages, time.Now().UnixMilli()))
}

// URL returns the address of the broadcast app, such as ws://localhost:8080; wss://… if there is TLS.
func (s *Server) URL() string {
	asked, _, _ := net.SplitHostPort(s.config.Listen)
	host, port, _ := net.SplitHostPort(s.listeners[0].Addr().String())
	if ip := net.ParseIP(host); asked == "localhost" || ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "ws"
	if s.config.TLS != nil {
		scheme = "wss"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Run serves until ctx is done. Then it refuses newcomers, tells every client that it goes, spread over the
// drain time, and returns when all have left or were given the time to: nil, unless serving failed.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, len(s.listeners))
	var serving sync.WaitGroup
	for _, l := range s.listeners {
		serving.Go(func() {
			if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("accept connections at %s: %w", l.Addr(), err)
			}
		})
	}
	tidying, calmed := context.WithCancel(ctx)
	serving.Go(func() { s.tidy(tidying) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	calmed()
	s.drain()
	serving.Wait()
	return err
}

func (s *Server) drain() {
	s.draining.Store(true)
	s.config.Log.Info("going away", "connections", s.transport.Stats().Conns, "drain", s.config.Drain)
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Drain+2*transport.CloseTimeout)
	defer cancel()
	s.transport.Shutdown(ctx, s.config.Drain)
	// The door stays open meanwhile: handlers that are told of the end post to others, and ask for connections.
	if s.calls != nil {
		s.calls.end()
	}
	s.lobby.Clear()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
	}
}
