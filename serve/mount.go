package serve

import (
	"log/slog"
	"net/http"
	"time"

	"crier/app"
	"crier/console"
	"crier/gateway"
)

// A builtin is an app and where it is served.
type builtin struct {
	gateway.Mount
	app   app.App
	fixed bool // a connection's topics are those of its address
}

// builtins are the apps that a server serves, in the order in which people are told.
var builtins = []builtin{
	{gateway.Mount{Path: "/", Name: "broadcast", Help: "what one says, everyone hears, stamped"}, app.Broadcast{}, true},
	{gateway.Mount{Path: "/bridge", Name: "bridge", Help: "messages go to a topic byte for byte", Try: "?topicName=Something"}, app.Bridge{}, true},
	{gateway.Mount{Path: "/chat", Name: "chat", Help: `{"action":"sendMessage","data":"hello"} goes to everyone`}, app.Chat{}, true},
	{gateway.Mount{Path: "/rooms", Name: "rooms", Help: "subscribe to topics and broadcast to them", Try: "?user=alice"}, app.Rooms{}, false},
	{gateway.Mount{Path: "/directory", Name: "directory", Help: "say anything and hear who is connected"}, app.Directory{}, true},
}

// Apps returns the mounts of the built-in apps, in the order in which people are told.
func Apps() []gateway.Mount {
	list := make([]gateway.Mount, len(builtins))
	for i, b := range builtins {
		list[i] = b.Mount
	}
	return list
}

// ownMount is the name of the mount of the user's own API.
const ownMount = "gateway"

// Mounts returns what the server serves, in the order in which people are told.
func (s *Server) Mounts() (list []gateway.Mount) {
	if s.calls == nil || !s.calls.gateway.Alone {
		list = Apps()
	}
	if s.calls != nil {
		list = append(list, gateway.Mount{Path: "/" + s.calls.api.Stage(), Name: ownMount, Help: "your own handlers"})
	}
	return list
}

// A mount is an app as one server serves it.
type mount struct {
	builtin
	server *Server
}

func newMounts(s *Server) (mounts []*mount) {
	for _, b := range builtins {
		mounts = append(mounts, &mount{b, s})
	}
	return mounts
}

// mountsNamed returns the mount of that name; all of them if the name is empty.
func (s *Server) mountsNamed(name string) (list []*mount) {
	for _, m := range s.mounts {
		if name == "" || m.Name == name {
			list = append(list, m)
		}
	}
	return list
}

// serveHTTP prepares the server of all that begins as HTTP.
func (s *Server) serveHTTP() {
	doors := gateway.New(s.doors())
	s.http = &http.Server{
		Handler:           s.handler(doors),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnContext:       gateway.ConnContext,
		ConnState:         s.lobby.ConnState,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	s.http.RegisterOnShutdown(doors.Shutdown)
}

// doors says whom the gateway lets in, and where to.
func (s *Server) doors() gateway.Config {
	config := gateway.Config{
		Mounts:       s.Mounts(),
		Sockets:      s,
		Connections:  s,
		Topics:       s,
		Stats:        s.stats,
		MaxMessage:   s.config.MaxMessage,
		AdminKey:     s.config.AdminKey,
		AllowOrigins: s.config.AllowOrigins,
		Domains:      s.config.Domains,
		Also:         []string{"/healthz", "/readyz", "/metrics", "/crier.js"},
		Log:          s.config.Log,
		Refused:      s.metrics.refused,
	}
	if s.calls != nil {
		own := s.calls.gateway
		config.Credentials = gateway.Credentials{AccessKey: own.AccessKey, SecretKey: own.SecretKey}
		config.Signed = own.Signed
		config.Aliases = own.Aliases
		if own.Alone {
			config.Stage = s.calls.api.Stage()
		}
	}
	return config
}

func (s *Server) handler(doors *gateway.Gateway) http.Handler {
	metrics := s.metrics.handler()
	page := console.New(s.config.Console)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.lobby.Enter(r)
		if doors.Unclear(w, r) {
			return
		}
		switch r.URL.Path {
		case "/healthz":
			health(w, true)
		case "/readyz":
			health(w, !s.draining.Load())
		case "/metrics":
			metrics.ServeHTTP(w, r)
		default:
			if found := page.Find(r); found != nil {
				found.ServeHTTP(w, r)
				return
			}
			doors.ServeHTTP(w, r)
		}
	})
}

// health answers a load balancer: the server is well, or wants no newcomers.
func health(w http.ResponseWriter, well bool) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
		w.Write([]byte("draining\n"))
		return
	}
	w.Write([]byte("ok\n"))
}
