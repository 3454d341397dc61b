package serve

import (
	"crypto/tls"
	"hash/maphash"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"crier/access"
	"crier/app"
	"crier/door"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// A home is what the apps of this server share: the connections, and the ways
// to reach them.
type home struct {
	// Set once.
	config      Config
	spare       int // files for connections that speak HTTP
	lobby       *door.Lobby
	tls, ownTLS *tls.Config // of config, and of config.Own
	tickets     *tickets    // of both; tidy's
	hub         *hub.Hub
	carrier     carrier
	link        *link     // to other servers; nil with one
	shared      sharedLog // which is link; nil with one
	clock       clock     // of shared
	terms       atomic.Pointer[terms]
	lastTopics  []hub.Topic            // of the last publication applied; the replica's
	shut        chan (<-chan struct{}) // somebody waits for the gate of shared
	asking      sync.WaitGroup         // goroutines that ask other servers
	cuts        atomic.Uint64          // how often this server was cut off from them
	transport   *transport.Transport
	connections *registry
	addresses   *access.Addresses
	expiries    *expiries
	absentees   absentees
	places      sync.Mutex // see lockPlaces
	sessions    *sessions  // of live
	rooms       *rooms     // of live
	mounts      []mount
	own         mount  // of calls
	calls       *calls // of the user's own API; nil: there is none
	listeners   *listeners
	farewells   *farewells
	metrics     *metrics
	seed        maphash.Seed // for where connections are placed

	draining   atomic.Bool
	handshakes atomic.Uint64 // that succeeded
}

func newHome(config Config) (*home, error) {
	spare := config.fit(files())
	h := &home{
		config:      config,
		spare:       spare,
		connections: newRegistry(config.MaxConnections),
		addresses:   access.NewAddresses(config.Limits.PerAddress, config.Limits.ConnectRate),
		expiries:    newExpiries(),
		mounts:      slices.Clone(config.mounts()),
		own:         mount{Mount: door.Mount{Name: ownMount}},
		seed:        maphash.MakeSeed(),
	}
	h.own.home = h
	h.terms.Store(config.terms())
	h.shut = make(chan (<-chan struct{}), 1)
	for i := range h.mounts {
		m := &h.mounts[i]
		m.home = h
		if m.identifier == nil {
			m.identifier = app.IdentifierOf(m.app)
		}
	}
	if config.Cluster != nil {
		h.link = newLink()
		h.shared = h.link
	}
	if config.share != nil {
		h.shared = config.share(h)
	}
	keep := hub.Config{
		Backlog:     config.Backlog,
		Memory:      config.Memory,
		Posts:       max(maxPosts, 2*config.MaxMessage),
		KeepHistory: h.shared != nil, // rooms bound it: see rooms.fit
	}
	if config.Skip {
		keep.Skipped = skipped
	}
	h.hub = hub.New(keep)
	h.carrier = h.hub
	h.sessions, h.rooms, h.listeners = newSessions(h), newRooms(h), newListeners(h)
	h.farewells = newFarewells(h)
	if config.Own != nil {
		h.calls = newCalls(h, config.Own)
	}
	h.lobby = door.NewLobby(h.lobbyRoom, config.Log)
	h.prepareTLS()
	if err := h.openTransport(); err != nil {
		return nil, err
	}
	h.metrics = newMetrics(h)
	return h, nil
}

// openTransport starts the transport.
func (h *home) openTransport() error {
	config := &h.config
	sockets := transport.Config{
		Hub:        h.hub,
		MaxMessage: config.MaxMessage,
		Ping:       config.Ping,
		Idle:       config.Idle,
		Message:    config.MessageTimeout,
	}
	if config.Own != nil && config.Own.Limits {
		sockets.MaxMessage, sockets.MaxFrame = awsMaxMessage, awsMaxFrame
		sockets.Ping, sockets.Idle = 0, awsIdle
	}
	if h.shared != nil {
		sockets.Pong = func(c *transport.Conn, frame []byte) (later bool) {
			return c.Receiver().(interface{ facts() *connection }).facts().pong(frame)
		}
	}
	var err error
	h.transport, err = transport.New(sockets)
	return err
}

// skipped returns the frame that tells a client how many messages it missed.
func skipped(messages int) []byte {
	return ws.AppendFrame(nil, ws.Text, app.AppendSkipped(nil, messages, time.Now().UnixMilli()))
}

// serve gives a connection its socket. Its client has the 101.
func (h *home) serve(s *connection, nc net.Conn, early []byte) {
	h.handshakes.Add(1)
	h.transport.Serve(&s.conn, nc, early)
}

// statsHere returns what /stats reports of this server.
func (h *home) statsHere() door.Stats {
	hub, transport := h.hub.Stats(), h.transport.Stats()
	stats := door.Stats{
		Now:         time.Now().UnixMilli(),
		Connections: h.connections.count(),
		Topics:      hub.Topics,
		Messages:    h.metrics.messages.Load(),
		Deliveries:  hub.Delivered,
		BytesIn:     transport.BytesIn,
		BytesOut:    transport.BytesOut,
		Backlog:     hub.LogBytes,
	}
	if h.link != nil {
		stats.Each = []door.ServerStats{stats.Own(h.config.Cluster.Name)}
	}
	return stats
}
