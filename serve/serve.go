// Package serve makes one server of the hub, the apps, the gateway and the transport.
//
//	s, err := serve.Open(serve.Defaults())
//	if err != nil { … }
//	fmt.Println(s.URL())   // ws://localhost:8080
//	err = s.Run(ctx)       // until ctx is done and every client has been told
//
// # The life of one message
//
// The transport decodes it and hands it to its player, which asks the app what should happen and carries the effects
// out: a publish goes through home.publish into the hub's logs, and the hub wakes the members that read them. What comes
// by HTTP goes the same way, and what apps say when somebody has left.
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
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"crier/api"
	"crier/transport"
	"crier/trust"
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

	apps []mount // for tests; nil: the built-in ones
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

// maxMaxMessage bounds what one connection can make the server remember.
const maxMaxMessage = 16 << 20

// maxPosts is how many bytes posted to one connection wait for it, if the largest message is not larger.
const maxPosts = 256 << 10

// A Server serves the built-in apps, an API of the user's own, or both.
type Server struct {
	config    Config // set once
	listeners []net.Listener
	http      *http.Server
	home      *home
}

// Open starts a server. It accepts connections at once, and answers them when
// Run is called. Run or Close must follow.
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
	h, err := newHome(config)
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return nil, err
	}
	for i, l := range listeners {
		listeners[i] = h.door(l)
	}
	return &Server{config: config, listeners: listeners, http: h.newHTTP(), home: h}, nil
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
	serving.Go(func() { s.home.tidy(tidying) })
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

func (s *Server) drain() {
	h := s.home
	h.draining.Store(true)
	s.config.Log.Info("going away", "connections", h.transport.Stats().Conns, "drain", s.config.Drain)
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Drain+2*transport.CloseTimeout)
	defer cancel()
	h.transport.Shutdown(ctx, s.config.Drain)
	h.farewells.end()
	// The door stays open meanwhile: handlers that are told of the end post to others, and ask for connections.
	if h.calls != nil {
		h.calls.end()
	}
	h.lobby.Clear()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
	}
}
