package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Embedded says how NATS runs in this process.
type Embedded struct {
	Listen   string   // where the other servers reach this one, host:port; empty with a single server
	Peers    []string // all servers, with this one, host:port; empty: this server is alone
	Key      string   // that all servers have, and nobody else; empty: loopback only
	Dir      string   // for the log; empty: in memory
	Replicas int      // of the log; 0: as many as there are peers, at most 3
}

const (
	defaultReplicas = 3
	// maxPayload is what NATS carries in one message, at most. Larger ones
	// would delay the heartbeats of the cluster.
	maxPayload = 64 << 20
	minPayload = 1 << 20
	// The log is kept small by its checkpoints. These limits are for the case
	// that it is not: then it refuses to be written, and nothing is lost.
	maxMemory = 4 << 30
	maxFiles  = 256 << 30
	// startup and shutdown are how long NATS may take, without its peers.
	startup  = 30 * time.Second
	shutdown = 20 * time.Second
)

// openEmbedded returns a backend in a NATS that runs in this process. largest is
// the size of the largest message. If there are peers, it returns when a leader
// is there.
func openEmbedded(ctx context.Context, e Embedded, largest int, log *slog.Logger, cb callbacks) (backend, error) {
	if err := e.checkPeers(); err != nil {
		return nil, err
	}
	h, err := openHome(e.Dir)
	if err != nil {
		return nil, err
	}
	store := "cluster"
	if len(e.Peers) == 0 {
		store = "single"
	}
	return e.open(ctx, h, store, largest, log, cb)
}

// singleStore reports whether there is a log in dir that a server wrote when it
// was alone, and that was not retired. A cluster has a log of its own: NATS
// would remove that of a server that was alone.
func singleStore(dir string) bool {
	return dir != "" && exists(filepath.Join(dir, "single", "jetstream"))
}

// openSingle opens the log in dir that a server wrote when it was alone, so that
// it can be brought into a cluster. It must be closed before openEmbedded.
func openSingle(ctx context.Context, dir string, largest int, log *slog.Logger, cb callbacks) (backend, error) {
	return openEmbedded(ctx, Embedded{Dir: dir}, largest, log, cb)
}

// open starts NATS in a home, which is closed with it.
func (e Embedded) open(
	ctx context.Context, h *home, store string, largest int, log *slog.Logger, cb callbacks,
) (backend, error) {
	n, err := e.start(ctx, h, store, largest, log)
	if err != nil {
		h.close()
		return nil, err
	}
	conn, err := n.connect()
	if err != nil {
		n.stop()
		return nil, fmt.Errorf("connect to the NATS in this process: %w", err)
	}
	j := newJetStream(conn, log, cb, n.majority, n.stop)
	if err := j.open(ctx, e.shape(largest), func() string { return waiting(n.missing()) }); err != nil {
		j.Close()
		return nil, err
	}
	n.catchUp(ctx)
	return j, nil
}

// copyTime is how long a server that starts may need for its copy of the log.
const copyTime = 30 * time.Second

// catchUp waits until this server has its copy of the log, if it is one of those
// that keep it. Without that, a server that came back with nothing would be
// ready, and the next one might be stopped before there is a second copy.
func (n *natsd) catchUp(ctx context.Context) {
	if len(n.peers) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	for !n.current() {
		if !sleep(ctx, again) {
			n.log.Warn("This server's copy of the log is not complete yet")
			return
		}
	}
}

// current reports whether this server has what the others have.
func (n *natsd) current() bool {
	const account = server.DEFAULT_GLOBAL_ACCOUNT
	s := n.server
	return s.JetStreamIsCurrent() &&
		(!s.JetStreamIsStreamAssigned(account, streamName) || s.JetStreamIsStreamCurrent(account, streamName))
}

func (e Embedded) shape(largest int) shape {
	s := shape{storage: nats.MemoryStorage, replicas: e.Replicas, largest: largest}
	if e.Dir != "" {
		s.storage = nats.FileStorage
	}
	if s.replicas == 0 {
		s.replicas = max(1, min(len(e.Peers), defaultReplicas))
	}
	return s
}

// A natsd is NATS in this process.
type natsd struct {
	server *server.Server
	name   string
	peers  []string
	home   *home
	log    *slog.Logger
	user   string
	secret string
}

// start starts NATS. It returns when its ports are open.
func (e Embedded) start(ctx context.Context, h *home, store string, largest int, log *slog.Logger) (*natsd, error) {
	n := &natsd{name: "crier", peers: e.Peers, home: h, log: log, user: "crier", secret: rand.Text()}
	options := n.options(filepath.Join(h.dir, store), largest)
	if largest+headerRoom > maxPayload {
		return nil, fmt.Errorf("--max-message is too large for a log: a message can become six times as long there, "+
			"and %d bytes are more than the %d that it takes", largest, maxPayload-headerRoom)
	}
	options.SyncAlways = e.Dir != ""
	if len(e.Peers) > 0 {
		if err := e.join(ctx, options, log); err != nil {
			return nil, err
		}
		n.name = options.ServerName
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	logger := newNATSLogger(log)
	s.SetLoggerV2(logger, false, false, false)
	n.server = s
	s.Start()
	if err := up(s, logger); err != nil {
		n.shutdown()
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	return n, nil
}

// up waits until the ports of s are open, or s has said that they never will be:
// such as with a disk that is full.
func up(s *server.Server, logger *natsLogger) error {
	for end := time.Now().Add(startup); ; {
		ready := s.ReadyForConnections(again)
		if err := logger.broken(); err != nil {
			return err
		}
		if ready {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("it was not ready within %v", startup)
		}
	}
}

// options returns how a server that is alone runs: without a port.
func (n *natsd) options(dir string, largest int) *server.Options {
	return &server.Options{
		ServerName:             n.name,
		DontListen:             true,
		Username:               n.user,
		Password:               n.secret,
		NoSigs:                 true,
		MaxPayload:             int32(max(largest+headerRoom, minPayload)),
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxMemory:     maxMemory,
		JetStreamMaxStore:      maxFiles,
		DisableJetStreamBanner: true,
	}
}

// join changes options to those of one server among several. It needs a port
// for clients although crier itself is connected without one, because NATS
// begins to listen to others only after it has one.
func (e Embedded) join(ctx context.Context, o *server.Options, log *slog.Logger) (err error) {
	if o.ServerName, err = e.serverName(ctx); err != nil {
		return err
	}
	if own := e.selves(ctx); len(own) > 1 {
		log.Warn("Several of --cluster-peers are this server: name each server once", "these", strings.Join(own, ", "))
	}
	if err := checkFree(ctx, e.Listen); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(e.Listen)
	o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
	o.Cluster = server.ClusterOpts{
		Name:         "crier",
		Host:         host,
		NoAdvertise:  true,
		PingInterval: pingEvery,
		MaxPingsOut:  pingsLost,
	}
	if o.Cluster.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	if e.Key != "" {
		if o.Cluster.TLSConfig, err = keyTLS(e.Key); err != nil {
			return err
		}
		o.Cluster.TLSTimeout = patience.Seconds()
	}
	// This server is among them: NATS counts the routes to learn how many
	// servers have to be there when they meet for the first time.
	for _, peer := range e.Peers {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: peer})
	}
	return nil
}

func (n *natsd) connect() (*nats.Conn, error) {
	return nats.Connect("", append(connection(),
		nats.InProcessServer(n.server),
		nats.UserInfo(n.user, n.secret),
		nats.Timeout(startup),
	)...)
}

// majority reports whether a majority of the servers is in reach. A server that
// is stopped is in reach until it has left some pings without an answer.
func (n *natsd) majority() bool {
	return len(n.peers) == 0 || n.server.NumRemotes()+1 > len(n.peers)/2
}

// missing returns the peers that are not in reach.
func (n *natsd) missing() []string {
	routes, err := n.server.Routez(nil)
	if err != nil {
		return nil
	}
	there := []string{n.name}
	for _, r := range routes.Routes {
		if !slices.Contains(there, r.RemoteName) {
			there = append(there, r.RemoteName)
		}
	}
	if len(there) >= len(n.peers) {
		return nil // some have other names than their addresses
	}
	return slices.DeleteFunc(slices.Clone(n.peers), func(p string) bool { return slices.Contains(there, p) })
}

// stop ends NATS, and leaves its home.
func (n *natsd) stop() {
	n.shutdown()
	n.home.close()
}

// shutdown ends NATS. If NATS does not end, it is left alone: the process is
// about to end.
func (n *natsd) shutdown() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}()
	select {
	case <-ended:
	case <-time.After(shutdown):
		n.log.Error(fmt.Sprintf("NATS has not ended within %v", shutdown))
	}
}
