package door

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// maxHello is how many bytes a client may send in a TLS handshake. Browsers send
// 2 KB. crypto/tls would take messages of 64 KiB, and keep the memory for as long
// as the connection lives.
const maxHello = 16 << 10

// errHello means that a client has sent more than that.
var errHello = errors.New("the TLS handshake is too long")

// A beneath is what lies under the TLS of a connection: the connection as it was
// accepted, after its first byte. When the handshake is done, an event loop puts
// something else in its place.
//
// A TLS handshake takes as much processor time as hundreds of deliveries. So only
// a few compute at once: they take turns. A handshake that waits for its client
// leaves its turn to others.
type beneath struct {
	net.Conn
	first []byte // the first byte, until it is read
	door  *doorConn
	sent  int // bytes of the client's handshake; negative when that is done
}

// NetConn returns the underlying connection.
func (c *beneath) NetConn() net.Conn { return c.Conn }

// Replace replaces the underlying connection. Nobody may be using it.
func (c *beneath) Replace(nc net.Conn) { c.Conn, c.first, c.door = nc, nil, nil }

// Read implements net.Conn.
func (c *beneath) Read(p []byte) (n int, err error) {
	switch {
	case len(p) > 0 && len(c.first) > 0:
		n = copy(p, c.first)
		c.first = c.first[n:]
	case c.sent < 0:
		return c.Conn.Read(p)
	default:
		c.door.yieldTurn()
		n, err = c.Conn.Read(p)
		c.door.takeTurn()
	}
	if c.sent += n; c.sent > maxHello {
		return 0, errHello
	}
	return n, err
}

// Write implements net.Conn.
func (c *beneath) Write(p []byte) (int, error) {
	if c.sent < 0 {
		return c.Conn.Write(p)
	}
	c.door.yieldTurn()
	defer c.door.takeTurn()
	return c.Conn.Write(p)
}

// shake begins TLS on a connection whose first byte has been read.
func (c *doorConn) shake(first []byte) error {
	under := &beneath{Conn: c.Conn, first: first, door: c}
	secret := tls.Server(under, c.config)
	c.inner, c.secure = secret, true
	c.takeTurn()
	err := secret.Handshake()
	c.yieldTurn()
	under.sent, under.door = -1, nil
	return err
}

// takeTurn waits until few enough handshakes compute. The client is not to
// blame for that time.
func (c *doorConn) takeTurn() {
	select {
	case c.turns <- struct{}{}:
		return
	default:
	}
	start := time.Now()
	c.queues.Store(true)
	c.turns <- struct{}{}
	c.queues.Store(false)
	if !c.readUntil.IsZero() {
		c.SetReadDeadline(c.readUntil.Add(time.Since(start)))
	}
}

func (c *doorConn) yieldTurn() { <-c.turns }

// SetReadDeadline implements net.Conn.
func (c *doorConn) SetReadDeadline(t time.Time) error {
	c.readUntil = t
	return c.Conn.SetReadDeadline(t)
}
