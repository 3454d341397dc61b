package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// NATS says where the NATS is that the servers share. The account that they use
// in it is the boundary of trust: whoever may publish there can write anything
// into the log.
type NATS struct {
	URL           string // nats://a:4222,nats://b:4222 or tls://a:4222; user:password@ or token@ may be in it
	Credentials   string // a .creds file
	CA, Cert, Key string // files
	Replicas      int    // 0: 1 if the NATS is a single server, otherwise 3 where possible
}

// A server is out of reach when so many pings had no answer.
const (
	pingEvery = time.Second
	pingsLost = 4
)

// openNATS returns a backend in a NATS of the user's own. largest is the size
// of the largest message.
func openNATS(ctx context.Context, n NATS, largest int, log *slog.Logger, cb callbacks) (backend, error) {
	if n.Replicas < 0 || n.Replicas > maxReplicas {
		return nil, fmt.Errorf("%d replicas are asked for; NATS has between 1 and %d", n.Replicas, maxReplicas)
	}
	conn, err := n.connect(ctx, log)
	if err != nil {
		return nil, err
	}
	always := func() bool { return true }
	j := newJetStream(conn, log, cb, always, func() {})
	if err := n.suits(conn, largest); err != nil {
		j.Close()
		return nil, err
	}
	s := shape{storage: nats.FileStorage, replicas: n.Replicas, largest: largest}
	if n.Replicas == 0 {
		s.keep, s.fewer, s.replicas = true, true, 1
		if conn.ConnectedClusterName() != "" {
			s.replicas = 3
		}
	}
	wait := func() string { return "Waiting for the JetStream of " + n.name() }
	if err := j.open(ctx, s, wait); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// suits checks what a NATS is able to do before anything is asked of it.
func (n NATS) suits(conn *nats.Conn, largest int) error {
	if need := int64(largest + headerRoom); conn.MaxPayload() < need {
		return fmt.Errorf("%s takes messages of %d bytes, crier needs %d: set max_payload",
			n.name(), conn.MaxPayload(), need)
	}
	if !conn.HeadersSupported() {
		return fmt.Errorf("%s takes no headers; crier needs NATS 2.11 or later", n.name())
	}
	// Every server of a NATS with JetStream knows somebody who answers this,
	// even without a leader.
	_, err := conn.Request("$JS.API.INFO", nil, patience)
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%s has no JetStream: start it with -js", n.name())
	}
	return nil // what else there is, open says
}

// connect connects for the first time. NATS may be started after crier, but
// what it refuses once it will refuse again.
func (n NATS) connect(ctx context.Context, log *slog.Logger) (*nats.Conn, error) {
	options, err := n.options(log)
	if err != nil {
		return nil, err
	}
	tell := time.Now()
	for {
		conn, err := nats.Connect(n.URL, options...)
		if err == nil {
			return conn, nil
		}
		if !passes(err) {
			return nil, fmt.Errorf("connect to %s: %w", n.name(), err)
		}
		if time.Now().After(tell) {
			tell = time.Now().Add(5 * time.Second)
			log.Info("Waiting for "+n.name(), "error", err)
		}
		if !sleep(ctx, time.Second) {
			return nil, fmt.Errorf("connect to %s: %w", n.name(), err)
		}
	}
}

// passes reports whether a connection may succeed later that now had this error.
// One of a file looks like one of the network, since both are of the system.
func passes(err error) bool {
	if _, file := errors.AsType[*fs.PathError](err); file {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF)
}

// options returns how to connect. A connection that is lost is connected again
// as often as it takes, and subscribes again. What is published meanwhile fails:
// the log itself knows what to send again.
func (n NATS) options(log *slog.Logger) ([]nats.Option, error) {
	if n.URL == "" {
		return nil, errors.New("the address of NATS is empty")
	}
	options := append(connection(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("The connection to "+n.name()+" is lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("Connected to " + n.name() + " again") }),
	)
	if n.Credentials != "" {
		options = append(options, nats.UserCredentials(n.Credentials))
	}
	if n.CA != "" {
		options = append(options, nats.RootCAs(n.CA))
	}
	if (n.Cert == "") != (n.Key == "") {
		return nil, errors.New("a certificate for NATS needs its key, and a key its certificate")
	}
	if n.Cert != "" {
		options = append(options, nats.ClientCert(n.Cert, n.Key))
	}
	return options, nil
}

// connection returns what connections to any NATS have in common.
func connection() []nats.Option {
	return []nats.Option{
		nats.Name("crier"),
		nats.NoEcho(), // a server does not ask itself
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(), // secrets change
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(pingsLost),
		nats.Timeout(patience),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // until there is a better one
	}
}

// name returns the address without secrets.
func (n NATS) name() string {
	var names []string
	for _, address := range strings.Split(n.URL, ",") {
		address = strings.TrimSpace(address)
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			u.User = nil
			address = u.String()
		} else if _, host, ok := strings.Cut(address, "@"); ok {
			address = host
		}
		names = append(names, address)
	}
	return "the NATS at " + strings.Join(names, ",")
}
