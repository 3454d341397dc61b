// Package serve combines the hub, the apps, the door and the transport into
// one server.
//
//	s, err := serve.Open(serve.Defaults())
//	if err != nil { … }
//	fmt.Println(s.URL())   // ws://localhost:8080
//	err = s.Run(ctx)       // until ctx is done and every client has been told
//
// # The life of one message
//
// The transport decodes a message and hands it to its player. The player asks
// the app what should happen and carries the effects out: a publish goes
// through home.publish into the hub's logs, and the hub wakes the members that
// read them. Messages that come by HTTP go the same way, and so does what apps
// publish when a client has left.
//
// # What it does not do
//
// It decides nothing that an app, the door or the hub can decide.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"crier/access"
	"crier/api"
	"crier/cluster"
	"crier/transport"
	"crier/trust"
)

// Config says how to serve. Start from [Defaults]: the zero Config is refused.
// [Open] returns an error for the values that a field does not allow.
type Config struct {
	// Listen is a host:port. The host localhost means both of its addresses,
	// IPv4 and IPv6; no host means every interface. Port 0 means a free port.
	// An empty Listen is refused.
	Listen string
	// Guard knows keys and tokens. Nil, or without keys, it lets everybody
	// connect, and only programs of this machine manage.
	Guard *access.Guard
	// AllowOrigins are the origins of pages that may connect, in addition to
	// pages at home (see [trust.Pages]). "*" allows all pages.
	AllowOrigins []string
	// Limits are for clients that one does not know.
	Limits Limits
	// Proxies say where the requests come from that they forward.
	Proxies trust.Proxies
	// Domains are names of this server. Their pages may connect.
	Domains []string
	// MaxMessage is the largest message in bytes, at most 16 MiB. Zero and
	// negative values are refused.
	MaxMessage int
	// MaxConnections is how many connections may be open at once. Open lowers
	// it if the process may not open that many files. Zero and negative values
	// are refused.
	MaxConnections int
	// Backlog is how many bytes of messages are kept for the slowest reader of
	// a topic. Less than eight times MaxMessage is refused, and so are zero and
	// negative values.
	Backlog int
	// Memory is how many bytes are kept for all clients together. Less than
	// twice Backlog is refused, and so are zero and negative values.
	Memory int
	// Skip decides about readers that fall behind. If it is true, they continue
	// with the newest message and are told how many they missed. If it is
	// false, they are disconnected.
	Skip bool
	// Ping is the silence after which a client is pinged. A client that is
	// silent for twice as long is disconnected. Zero means never; negative
	// values are refused.
	Ping time.Duration
	// Idle is the time without a message in either direction after which a
	// client is disconnected. Zero means never; negative values are refused.
	Idle time.Duration
	// MessageTimeout is the time that a message may take from its first byte
	// to its last. Zero means no limit; negative values are refused.
	MessageTimeout time.Duration
	// Drain is the time over which the clients are disconnected at the end, if
	// they are many: it is 20 ms for each of a few.
	// Zero means all at once; negative values are refused.
	Drain time.Duration
	// Linger is how long a session of live outlives its connection. Zero means
	// that it does not; negative values are refused.
	Linger time.Duration
	// History is how many messages a topic of live keeps, at most HistoryBytes
	// bytes of them, and none for longer than HistoryAge. Negative values are
	// refused, and so is a HistoryAge of zero.
	History      int
	HistoryBytes int
	HistoryAge   time.Duration
	// Keys is how many keys a topic of live may have, and StateBytes how many
	// bytes of state. Negative values are refused.
	Keys       int
	StateBytes int
	// IdleTopics is how long the state of a topic of live is kept when nobody
	// is in it. Zero and negative values are refused.
	IdleTopics time.Duration
	// Console shows browsers a page at /; if there are Files, at /console.
	Console bool
	// Files are pages of the user's own, from / on. Nil means that there are none.
	Files Files
	// TLS makes the server speak wss and https only. Nil means ws and http.
	TLS *tls.Config
	// Own is an API of the user's own. Nil means none.
	Own *OwnAPI
	// Cluster says which log this server shares with others. Machine, Answer,
	// MaxRecord and Log are set by Open. Nil means that it shares none.
	Cluster *cluster.Config
	// Log receives the log. Nil is refused.
	Log *slog.Logger

	apps  []mount               // for tests; nil: the built-in ones
	share func(*home) sharedLog // for tests, instead of Cluster
}

// Files finds pages of the user's own. Dismiss ends requests that last.
type Files interface {
	Find(r *http.Request) http.Handler
	Dismiss()
}

// An OwnAPI says how to serve an API of the user's own.
type OwnAPI struct {
	API *api.Live
	// Alone leaves the built-in apps out.
	Alone bool
	// Limits applies API Gateway's limits. They take the place of MaxMessage,
	// Ping and Idle of Config.
	Limits bool
	// TLS is for connections that begin with TLS; others on the same port are
	// served without it. Nil means that there is no TLS.
	TLS *tls.Config
	// AccessKey and SecretKey are a pair that requests of handlers to the
	// management API may be signed with. If both are empty, there is none.
	AccessKey string
	SecretKey string
	// Signed says whether these requests must be signed.
	Signed bool
	// Door is a listener for handlers only. It takes TLS and plain HTTP,
	// whatever the other listeners take. Nil means that there is none.
	Door net.Listener
	// Aliases are names that lead to Door, in handlers only.
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
		Limits:         Limits{PerAddress: 1000, ConnectRate: 100, Topics: 100_000},
		Linger:         10 * time.Second,
		History:        100,
		HistoryBytes:   256 << 10,
		HistoryAge:     time.Hour,
		Keys:           1000,
		StateBytes:     1 << 20,
		IdleTopics:     24 * time.Hour,
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
	case c.Ping < 0 || c.Idle < 0 || c.Drain < 0 || c.MessageTimeout < 0 || c.Linger < 0:
		return errors.New("a time must not be negative")
	case c.History < 0 || c.HistoryBytes < 0 || c.Keys < 0 || c.StateBytes < 0:
		return errors.New("what a topic keeps must not be negative")
	case c.HistoryAge <= 0 || c.IdleTopics <= 0:
		return errors.New("what a topic keeps must be kept for some time")
	case c.Log == nil:
		return errors.New("a log is needed")
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	if c.Cluster != nil {
		if err := c.Cluster.Check(); err != nil {
			return err
		}
	}
	for _, origin := range c.AllowOrigins {
		if err := trust.CheckOrigin(origin); err != nil {
			return fmt.Errorf("allow origins: %w", err)
		}
	}
	return nil
}

// maxMaxMessage is the largest MaxMessage. It bounds how much memory one
// connection can take.
const maxMaxMessage = 16 << 20

// maxPosts is how many bytes posted to one connection may wait for it. If two
// of the largest messages are more, it is that much instead.
const maxPosts = 256 << 10

// A Server serves the built-in apps, an API of the user's own, or both.
type Server struct {
	config    Config // set once
	listeners []net.Listener
	http      *http.Server
	home      *home
}

// Open starts a server. Connections are accepted from now on, and answered once
// [Server.Run] is called. Run or [Server.Close] must follow.
func Open(config Config) (*Server, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	listeners, err := listen(config.Listen)
	if err != nil {
		return nil, err
	}
	if config.Own != nil && config.Own.Door != nil {
		listeners = append(listeners, config.Own.Door)
	}
	h, err := newHome(config)
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return nil, err
	}
	if c := h.config.Cluster; c != nil && c.Name == "" {
		named := *c
		named.Name = nameOf(listeners[0])
		h.config.Cluster = &named
	}
	for i, l := range listeners {
		listeners[i] = h.door(l)
	}
	return &Server{config: config, listeners: listeners, http: h.newHTTP(), home: h}, nil
}

// nameOf returns what people call a server among several: where it listens.
func nameOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// URL returns the address of the broadcast app, such as ws://localhost:8080.
// With TLS it begins with wss.
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

// Run serves until ctx is done. Then it refuses new connections and closes the
// open ones, spread over the drain time, with a close frame that says that the
// server is going away. It returns when all clients have left, or when their
// time is over. The error is nil unless serving failed.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, len(s.listeners)+1)
	var serving sync.WaitGroup
	for _, l := range s.listeners {
		serving.Go(func() {
			if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("accept connections at %s: %w", l.Addr(), err)
			}
		})
	}
	tidying, calmed := context.WithCancel(ctx)
	serving.Go(func() { s.home.tidy(tidying) })
	if s.home.shared == nil { // otherwise the log is the clock
		serving.Go(func() { s.home.sessions.run(tidying) })
		serving.Go(func() { s.home.rooms.run(tidying) })
	}
	serving.Go(s.home.listeners.run)
	serving.Go(func() { s.home.expiries.run(tidying) })
	if s.home.link != nil {
		serving.Go(func() { s.home.reopen(tidying.Done()) })
		s.home.link.opening.Add(1)
		serving.Go(func() {
			if err := s.home.meet(tidying); err != nil && tidying.Err() == nil {
				failed <- err
			}
		})
	}
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

// Close ends a server on which Run was not called.
func (s *Server) Close() {
	for _, l := range s.listeners {
		l.Close()
	}
	s.drain()
}

// clientDrain is the most of the drain that one client takes. A few clients that
// come back at once are no storm, and those that are still there meanwhile would
// talk without the others.
const clientDrain = 20 * time.Millisecond

func (s *Server) drain() {
	h := s.home
	h.draining.Store(true)
	conns := h.transport.Stats().Conns
	spread := min(s.config.Drain, time.Duration(conns)*clientDrain)
	s.config.Log.Info("going away", "connections", conns, "drain", spread)
	ctx, cancel := context.WithTimeout(context.Background(), spread+2*transport.CloseTimeout)
	defer cancel()
	h.listeners.end()
	h.transport.Shutdown(ctx, spread)
	h.farewells.end()
	if h.link != nil {
		h.part(ctx)
		h.asking.Wait()
	}
	h.rooms.close()
	// The door stays open meanwhile, because handlers that learn of the end may
	// post to other connections and ask about them.
	if h.calls != nil {
		h.calls.end()
	}
	h.lobby.Clear()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
	}
}
