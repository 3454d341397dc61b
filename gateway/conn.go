package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// A Listener accepts connections that speak HTTP, or HTTP in TLS: the first byte tells.
type Listener struct {
	net.Listener
	TLS  *tls.Config // nil: there is no TLS
	Only bool        // who does not speak TLS is told to
}

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &doorConn{Conn: nc, config: l.TLS, only: l.Only, recording: true}, nil
}

// A doorConn is a connection from a Listener, until its handshake is done.
type doorConn struct {
	net.Conn // as it was accepted
	config   *tls.Config
	only     bool // TLS

	// Owned by who reads, and settled before anybody writes.
	inner     net.Conn // what the HTTP is in; nil before the first byte
	first     *firstByte
	recording bool
	head      []byte // of the first request, while recording and afterwards
}

// maxHead is how much of a request is remembered: as much as net/http takes.
const maxHead = 32 << 10

// Read implements net.Conn.
func (c *doorConn) Read(p []byte) (int, error) {
	if c.inner == nil {
		if err := c.settle(); err != nil {
			return 0, err
		}
	}
	n, err := c.inner.Read(p)
	if c.recording {
		c.record(p[:n])
	}
	return n, err
}

// settle looks at the first byte: "22" begins a TLS record that carries a handshake. RFC 8446, section 5.1
func (c *doorConn) settle() error {
	var b [1]byte
	if _, err := c.Conn.Read(b[:]); err != nil {
		return err
	}
	c.first = &firstByte{Conn: c.Conn, byte: b[:]}
	c.inner = c.first
	switch {
	case b[0] == 22 && c.config != nil:
		c.inner = tls.Server(c.first, c.config)
	case c.only:
		c.Conn.SetWriteDeadline(time.Now().Add(handshakeTimeout))
		io.WriteString(c.Conn, plainRefusal)
		return errPlain
	}
	return nil
}

// plainRefusal answers who speaks plain HTTP where there is TLS only.
const plainRefusal = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: 39\r\n\r\n" +
	"this is https and wss, not http and ws\n"

var errPlain = errors.New("gateway: not TLS")

// record remembers the head of the first request.
func (c *doorConn) record(p []byte) {
	p = p[:min(len(p), maxHead-len(c.head))]
	c.head = append(c.head, p...)
	ended := bytes.Contains(c.head, []byte("\n\r\n")) || bytes.Contains(c.head, []byte("\n\n"))
	c.recording = !ended && len(c.head) < maxHead
}

// Write implements net.Conn.
func (c *doorConn) Write(p []byte) (int, error) {
	if c.inner == nil {
		return c.Conn.Write(p)
	}
	return c.inner.Write(p)
}

// unwrapped returns the connection itself, when HTTP is done with it.
func (c *doorConn) unwrapped() net.Conn {
	if c.inner == net.Conn(c.first) && len(c.first.byte) == 0 {
		return c.Conn
	}
	return c.inner
}

// A firstByte is a connection whose first byte has been read already.
type firstByte struct {
	net.Conn
	byte []byte // one or none
}

func (c *firstByte) Read(p []byte) (int, error) {
	if len(c.byte) > 0 && len(p) > 0 {
		n := copy(p, c.byte)
		c.byte = c.byte[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

type doorKey struct{}

// ConnContext is for http.Server: it has requests know their connection, for Secure and Spell.
func ConnContext(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, doorKey{}, nc)
}

// Secure reports whether a request came by TLS.
func Secure(r *http.Request) bool {
	c, ok := r.Context().Value(doorKey{}).(*doorConn)
	return ok && c.inner != net.Conn(c.first)
}

// Spell returns a function that tells how a client wrote the names of its headers, which API Gateway keeps and
// net/http does not. It knows that of a connection's first request; of others it tells how names are usually written.
func Spell(r *http.Request) func(name string) string {
	spelt := make(map[string]string)
	if c, ok := r.Context().Value(doorKey{}).(*doorConn); ok {
		for line := range bytes.Lines(c.head) {
			name, _, ok := strings.Cut(string(line), ":")
			if ok {
				spelt[textproto.CanonicalMIMEHeaderKey(name)] = name
			}
			if len(line) <= 2 {
				break
			}
		}
	}
	return func(name string) string {
		if as, ok := spelt[name]; ok {
			return as
		}
		return strings.Replace(name, "Sec-Websocket", "Sec-WebSocket", 1)
	}
}
