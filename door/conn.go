package door

import (
	"bufio"
	"bytes"
	"container/list"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// A Listener accepts connections that speak HTTP, or HTTP in TLS. The first
// byte shows which.
type Listener struct {
	net.Listener
	TLS   *tls.Config // nil: there is no TLS
	Only  bool        // with TLS: plain HTTP is answered with a hint to use TLS
	Lobby *Lobby      // bounds the connections
}

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		l.Lobby.fail(err)
		return nil, err
	}
	c := &doorConn{Conn: nc, config: l.TLS, only: l.Only, turns: l.Lobby.turns, from: source(nc)}
	l.Lobby.admit(c)
	return c, nil
}

// A doorConn is a connection from a Listener, until its handshake is done.
//
// It gives net/http the head of one request at a time, or a part of it. So it
// knows the head of the request that a handler is working on: how its headers
// were spelled, and which ones net/http has dropped.
type doorConn struct {
	net.Conn // as it was accepted
	config   *tls.Config
	only     bool          // TLS
	turns    chan struct{} // holds something for each handshake that computes

	// Owned by the reading goroutine, and settled before anything is written.
	inner     net.Conn // carries the HTTP; nil before the first byte
	secure    bool     // inner is TLS
	plain     *firstByte
	ahead     []byte    // was read, but not given to net/http yet
	readUntil time.Time // the deadline

	// Owned by the reading goroutine. While a handler runs, net/http reads the
	// request's body and at most one byte more. So judged does not change until
	// the next request.
	framing framing

	begun  atomic.Bool  // a part of a request has arrived
	queues atomic.Bool  // it waits for its turn with a handshake
	from   netip.Prefix // set once

	// Guarded by Lobby.mu.
	place *list.Element // in Lobby.waiting; nil if it does not wait
	since time.Time     // when it began to wait
	out   bool          // it has left the lobby
}

// Read implements net.Conn.
func (c *doorConn) Read(p []byte) (int, error) {
	if c.inner == nil {
		if err := c.settle(); err != nil {
			return 0, err
		}
	}
	defer c.begun.Store(true)
	if len(c.ahead) > 0 {
		n := c.framing.take(c.ahead[:min(len(p), len(c.ahead))])
		copy(p, c.ahead[:n])
		c.ahead = c.ahead[n:]
		return n, nil
	}
	got, err := c.inner.Read(p)
	n := c.framing.take(p[:got])
	if n < got {
		c.ahead, err = bytes.Clone(p[n:got]), nil // the error will come again
	}
	return n, err
}

// settle looks at the first byte. "22" begins a TLS record that carries a
// handshake. RFC 8446, section 5.1
func (c *doorConn) settle() error {
	if c.config == nil {
		c.inner = c.Conn
		return nil
	}
	var b [1]byte
	if _, err := c.Conn.Read(b[:]); err != nil {
		return err
	}
	switch {
	case b[0] == 22:
		return c.shake(b[:])
	case c.only:
		c.inner = c.Conn
		c.refusePlain(b[:])
		return io.EOF // net/http does not answer that
	}
	c.plain = &firstByte{Conn: c.Conn, byte: b[:]}
	c.inner = c.plain
	return nil
}

// plainRefusal answers a client that speaks plain HTTP where there is only TLS.
const plainRefusal = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: 39\r\n\r\n" +
	"this is https and wss, not http and ws\n"

// refusePlain answers, and keeps reading for a moment: closing a connection
// with unread bytes would discard the answer. A browser, whose user has typed the
// address without https, is led on.
func (c *doorConn) refusePlain(begin []byte) {
	c.Conn.SetReadDeadline(time.Now().Add(plainTimeout))
	in := io.LimitReader(io.MultiReader(bytes.NewReader(begin), c.Conn), maxHead)
	answer := plainRefusal
	if r, err := http.ReadRequest(bufio.NewReader(in)); err == nil && asksForPage(r) {
		there := url.URL{Scheme: "https", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: " + there.String() + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	}
	c.Conn.SetDeadline(time.Now().Add(plainTimeout))
	io.WriteString(c.Conn, answer)
	closeWrite(c.Conn)
	io.Copy(io.Discard, in)
}

// asksForPage reports whether a browser that shows pages has sent a request.
func asksForPage(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Host != "" && r.Header.Get("Upgrade") == "" && strings.Contains(r.Header.Get("Accept"), "text/html")
}

const plainTimeout = 500 * time.Millisecond

// Write implements net.Conn.
func (c *doorConn) Write(p []byte) (int, error) {
	if c.inner == nil {
		return c.Conn.Write(p)
	}
	return c.inner.Write(p)
}

// CloseWrite is for net/http. It calls CloseWrite before it closes a connection
// that it has not read to its end.
func (c *doorConn) CloseWrite() error {
	if c.secure {
		return closeWrite(c.inner)
	}
	return closeWrite(c.Conn)
}

func closeWrite(nc net.Conn) error {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unwrapped returns the underlying connection, when HTTP is done with it.
func (c *doorConn) unwrapped() net.Conn {
	if c.plain != nil && len(c.plain.byte) == 0 {
		return c.Conn
	}
	return c.inner
}

// A firstByte is a connection whose first byte has been read already.
type firstByte struct {
	net.Conn
	byte []byte // one or none
}

// NetConn returns the underlying connection.
func (c *firstByte) NetConn() net.Conn { return c.Conn }

func (c *firstByte) Read(p []byte) (int, error) {
	if len(c.byte) > 0 && len(p) > 0 {
		n := copy(p, c.byte)
		c.byte = c.byte[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

type doorKey struct{}

// ConnContext is for [http.Server]. It attaches the connection to its requests,
// for secure and [Spell].
func ConnContext(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, doorKey{}, nc)
}

// doorOf returns the connection of a request, or nil if it did not come through
// a Listener.
func doorOf(r *http.Request) *doorConn {
	c, _ := r.Context().Value(doorKey{}).(*doorConn)
	return c
}

// secure reports whether a request came over TLS.
func secure(r *http.Request) bool {
	c := doorOf(r)
	return c != nil && c.secure
}

// Spell returns a function that returns how a client spelled the name of a
// header. API Gateway keeps the spelling, but net/http does not. If the
// spelling is not known, the function returns the usual one.
func Spell(r *http.Request) func(name string) string {
	spelt := make(map[string]string)
	if c := doorOf(r); c != nil {
		for name := range c.framing.judged.lines() {
			spelt[textproto.CanonicalMIMEHeaderKey(name)] = name
		}
	}
	return func(name string) string {
		if as, ok := spelt[name]; ok {
			return as
		}
		return strings.Replace(name, "Sec-Websocket", "Sec-WebSocket", 1)
	}
}
