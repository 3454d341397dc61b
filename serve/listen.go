package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"

	"crier/door"
)

// listen opens the listeners of an address. localhost has an IPv4 and an IPv6
// address, and clients may try either first.
func listen(address string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: want host:port, such as localhost:8080 or :8080", address)
	}
	if host != "localhost" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		return []net.Listener{brief(l)}, nil
	}
	for tries := 0; ; tries++ {
		v4, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return nil, err
		}
		_, chosen, _ := net.SplitHostPort(v4.Addr().String())
		v6, err := net.Listen("tcp6", net.JoinHostPort("::1", chosen))
		switch {
		case err == nil:
			return []net.Listener{brief(v4), brief(v6)}, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return []net.Listener{brief(v4)}, nil // no IPv6 here
		}
		v4.Close()
		if port != "0" || tries == 10 {
			return nil, err
		}
	}
}

// door makes a listener lead into the lobby, and speak TLS if it should.
func (h *home) door(l net.Listener) net.Listener {
	c := &h.config
	listener := door.Listener{Listener: l, TLS: h.tls, Only: c.TLS != nil, Lobby: h.lobby}
	if g := c.Own; g != nil && (c.TLS == nil || l == g.Door) {
		listener.TLS, listener.Only = h.ownTLS, false
	}
	return listener
}

// prepareTLS says how the listeners use TLS.
func (h *home) prepareTLS() {
	h.tls = inFull(h.config.TLS)
	if own := h.config.Own; own != nil {
		h.ownTLS = inFull(own.TLS)
	}
	h.tickets = newTickets(h.tls, h.ownTLS)
}

// inFull returns how to use TLS so that a message of some kilobytes is one record.
// crypto/tls would begin with smaller ones, which helps pages to appear sooner,
// and costs each message more.
func inFull(config *tls.Config) *tls.Config {
	if config == nil {
		return nil
	}
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true
	return config
}

// lobbyRoom is how many connections may speak HTTP at present: as many as the
// process's files allow, apart from WebSockets and its own files.
func (h *home) lobbyRoom() int { return min(h.connections.free()+h.spare, mostWaiting) }

const (
	// mostWaiting is how many connections may speak HTTP at most: as many
	// as may come at once after a restart and wait for their handshakes.
	mostWaiting = 10_000
	// ownFiles is how many files are reserved for the process itself:
	// listeners, pollers, pipes of functions, what /metrics reads.
	ownFiles = 64
)

// fit lowers the number of connections to what the process may open, and keeps
// some files free, because a client over the limit can be answered with 503
// only if its socket can be accepted.
//
// It returns how many files are left for connections that speak HTTP.
func (c *Config) fit(files int) (spare int) {
	rest := min(files/2, 256)
	if most := files - rest; most < c.MaxConnections {
		c.Log.Info("takes as many connections as ulimit -n allows", "connections", most)
		c.MaxConnections = most
	}
	return max(rest-ownFiles, rest/2)
}
