package serve

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"crier/app"
	"crier/console"
	"crier/door"
)

// A mount is an app and where it is served.
type mount struct {
	door.Mount
	app        app.App        // nil for live, which has rooms instead of effects
	identifier app.Identifier // finds out who a client is; nil in builtins if that is the app's own
	fixed      bool           // a client's topics are set by its address
	home       *home          // that serves it; nil in builtins
}

// builtins are the apps that a server serves, in the order in which they are
// listed.
var builtins = []mount{
	{
		Mount: door.Mount{Path: "/", Name: "broadcast", Help: "what one says, everyone hears, stamped"},
		app:   app.Broadcast{}, fixed: true,
	},
	{
		Mount:      door.Mount{Path: "/live", Name: liveName, Help: "broadcast that remembers, and knows who is there", Try: "?topic=a&user=ada", Explains: true},
		identifier: app.Live{},
	},
	{
		Mount: door.Mount{Path: "/bridge", Name: "bridge", Help: "messages go to a topic byte for byte", Try: "?topicName=Something"},
		app:   app.Bridge{}, fixed: true,
	},
	{
		Mount: door.Mount{Path: "/chat", Name: "chat", Help: `{"action":"sendMessage","data":"x"} to everyone`},
		app:   app.Chat{}, fixed: true,
	},
	{
		Mount: door.Mount{Path: "/rooms", Name: "rooms", Help: "subscribe to topics and broadcast to them", Try: "?user=alice"},
		app:   app.Rooms{},
	},
	{
		Mount: door.Mount{Path: "/directory", Name: "directory", Help: "say anything and hear who is connected"},
		app:   app.Directory{}, fixed: true,
	},
}

// Apps returns the mounts of the built-in apps, in the order in which they are
// listed.
func Apps() []door.Mount {
	return Config{}.Mounts()
}

// ownMount is the name of the mount of the user's own API.
const ownMount = "gateway"

// Mounts returns what a server with that configuration serves, in the order in
// which it is listed.
func (c Config) Mounts() (list []door.Mount) {
	if c.Own == nil || !c.Own.Alone {
		for _, m := range c.mounts() {
			list = append(list, m.Mount)
		}
	}
	if c.Own != nil {
		list = append(list, door.Mount{Path: "/" + c.Own.API.Stage(), Name: ownMount, Help: "your own handlers"})
	}
	return list
}

// Paths returns where a server with that configuration answers GET itself, so that
// there can be no Files.
func (c Config) Paths() (paths []string) {
	paths = append(door.Paths(), ownPaths...)
	paths = append(paths, "/crier.d.ts")
	if c.Console {
		paths = append(paths, "/console")
	}
	return paths
}

// ownPaths are paths that are not the door's, as it lists them.
var ownPaths = []string{"/healthz", "/readyz", "/metrics", "/crier.js"}

func (c Config) mounts() []mount {
	if c.apps != nil {
		return c.apps
	}
	return builtins
}

// queryOf returns the query of a request. It refuses one that it cannot read:
// ignoring the faulty part could lead to another topic.
func queryOf(r *http.Request) (url.Values, *door.Refusal) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, rejected("the query is not understood: " + err.Error())
	}
	return query, nil
}

// rejected refuses a client with a sentence of the app.
func rejected(sentence string) *door.Refusal {
	no := door.Rejected.Saying(sentence)
	return &no
}

// forbidden refuses a client that has no right to what it wants.
func forbidden(sentence string) *door.Refusal {
	no := door.Forbidden.Saying(sentence)
	return &no
}

// mountsNamed returns the mount of that name; all of them if the name is empty.
func (h *home) mountsNamed(name string) (list []*mount) {
	for i := range h.mounts {
		if m := &h.mounts[i]; name == "" || m.Name == name {
			list = append(list, m)
		}
	}
	return list
}

// mountNamed returns the mount of that name, which must exist.
func (h *home) mountNamed(name string) *mount { return h.mountsNamed(name)[0] }

// newHTTP returns the server for everything that begins as HTTP.
func (h *home) newHTTP() *http.Server {
	doors := door.New(h.doors())
	server := &http.Server{
		Handler:           h.handler(doors),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnContext:       door.ConnContext,
		ConnState:         h.lobby.ConnState,
		ErrorLog:          slog.NewLogLogger(h.config.Log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(doors.Shutdown)
	if own := h.config.Files; own != nil {
		server.RegisterOnShutdown(own.Dismiss)
	}
	return server
}

// doors returns the door's configuration.
func (h *home) doors() door.Config {
	config := door.Config{
		Mounts:       h.config.Mounts(),
		Sockets:      sockets{h},
		Connections:  connections{h},
		Topics:       topics{h},
		Memory:       memory{h},
		Users:        users{h},
		Stats:        h.stats,
		MaxMessage:   h.config.MaxMessage,
		Guard:        h.config.Guard,
		AllowOrigins: h.config.AllowOrigins,
		Domains:      h.config.Domains,
		Proxies:      h.config.Proxies,
		Addresses:    h.addresses,
		Also:         ownPaths,
		Log:          h.config.Log,
		Refused:      h.metrics.refused,
	}
	if h.calls != nil {
		own := h.calls.own
		config.Credentials = door.Credentials{AccessKey: own.AccessKey, SecretKey: own.SecretKey}
		config.Signed = own.Signed
		config.Aliases = own.Aliases
		if own.Alone {
			config.Stage = h.calls.api.Stage()
		}
	}
	return config
}

func (h *home) handler(doors *door.Door) http.Handler {
	metrics := h.metrics.handler()
	page, own := console.New(h.pageAt()), h.config.Files
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.lobby.Enter(r)
		if doors.Unclear(w, r) {
			return
		}
		switch r.URL.Path {
		case "/healthz":
			health(w, "")
		case "/readyz":
			health(w, h.unready())
		case "/metrics":
			metrics.ServeHTTP(w, r)
		default:
			if found := page.Find(r); found != nil {
				found.ServeHTTP(w, r)
				return
			}
			if own != nil && !doors.Serves(r) {
				if found := own.Find(r); found != nil {
					found.ServeHTTP(w, r)
					return
				}
			}
			doors.ServeHTTP(w, r)
		}
	})
}

// pageAt returns where crier's own page is; empty if there is none.
func (h *home) pageAt() string {
	switch {
	case !h.config.Console:
		return ""
	case h.config.Files != nil:
		return "/console"
	}
	return "/"
}

// unready returns why the server wants no new connections; empty if it does.
func (h *home) unready() (why string) {
	switch {
	case h.draining.Load():
		return "draining"
	case h.link == nil:
		return ""
	}
	if ok, why := h.link.status(); !ok {
		return why
	}
	return ""
}

// health answers a load balancer. unwell says why the server wants no new
// connections; it is empty if it does.
func health(w http.ResponseWriter, unwell string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if unwell != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		w.Write([]byte(unwell + "\n"))
		return
	}
	w.Write([]byte("ok\n"))
}
