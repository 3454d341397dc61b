package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"crier/hub"
	"crier/ws"
)

// patience is how long a test waits for what must happen; it matters only when it does not.
const patience = 10 * time.Second

var everyone = []hub.Topic{{App: "test", Name: "everyone"}}

// A world is a transport on real sockets.
type world struct {
	*testing.T
	hub       *hub.Hub
	transport *Transport
	listener  net.Listener
	wrap      func(net.Conn) net.Conn
	tls       uint16 // its version; 0: none
	mu        sync.Mutex
	clients   []*client
	stopped   bool
}

// ways are how a connection can be served: the suite runs with each.
var ways = map[string]struct {
	pumps bool
	wrap  func(net.Conn) net.Conn
	tls   uint16
}{
	// On Linux a loop has it.
	"socket": {false, unchanged, 0},
	// As where there are no loops: it is written to without waiting.
	"stream": {true, unchanged, 0},
	// As under TLS where there are no loops: nothing is known but the interface.
	"opaque": {false, func(nc net.Conn) net.Conn { return opaque{nc} }, 0},
	// A loop drives the TLS.
	"tls":    {false, unchanged, tls.VersionTLS13},
	"tls1.2": {false, unchanged, tls.VersionTLS12},
	// As where there are no loops.
	"tls stream": {true, unchanged, tls.VersionTLS13},
}

func unchanged(nc net.Conn) net.Conn { return nc }

type opaque struct{ net.Conn }

func (o opaque) NetConn() net.Conn { return o.Conn }

func (o opaque) CloseWrite() error { return o.Conn.(*net.TCPConn).CloseWrite() }

// eachWay runs a test with every way to serve a connection, and checks that nothing is left of it.
func eachWay(t *testing.T, config Config, limits hub.Config, test func(*world)) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			config.pumps = way.pumps
			w := newWorld(t, config, limits)
			w.wrap, w.tls = way.wrap, way.tls
			test(w)
			for _, c := range w.clients {
				c.Close()
			}
			w.shutdown(0)
			if err := w.hub.Check(); err != nil {
				t.Error(err)
			}
			if n := w.hub.Stats().Memory; n != 0 {
				t.Errorf("%d bytes are in use when all have left", n)
			}
			for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
				if time.Now().After(deadline) {
					stacks := make([]byte, 1<<20)
					t.Fatalf("%d goroutines are left, %d were there before\n%s",
						runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
				}
			}
		})
	}
}

func newWorld(t *testing.T, config Config, limits hub.Config) *world {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, hub: hub.New(limits), listener: l}
	t.Cleanup(func() { l.Close() })
	config.Hub = w.hub
	if config.MaxMessage == 0 {
		config.MaxMessage = 128 << 10
	}
	if w.transport, err = New(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.shutdown(0) })
	return w
}

func (w *world) shutdown(spread time.Duration) {
	if w.stopped {
		return
	}
	w.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.transport.Shutdown(ctx, spread)
}

// eventually waits until something is true that nobody announces.
func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			w.Fatalf("never: %s", what)
		}
	}
}

// An ear is the receiver of a connection under test.
type ear struct {
	Conn
	world   *world
	message func(data []byte, binary bool) error // nil: publish to everyone
	leaving func(cause error) bool               // nil: no last words
	heard   chan string
	closed  chan error
}

func (e *ear) Message(data []byte, binary bool) error {
	if e.message != nil {
		return e.message(data, binary)
	}
	op := ws.Text
	if binary {
		op = ws.Binary
	}
	return e.world.hub.Publish(hub.Publication{From: &e.Member, Topics: everyone, Frame: ws.AppendFrame(nil, op, data)})
}

func (e *ear) Explain(cause error) ws.Close {
	var fault ws.Close
	switch {
	case errors.As(cause, &fault):
		return fault
	case errors.Is(cause, hub.ErrBehind):
		return ws.Close{Code: ws.TryAgainLater, Reason: "behind"}
	}
	return ws.Close{Code: ws.GoingAway, Reason: cause.Error()}
}

func (e *ear) Leaving(cause error) bool { return e.leaving != nil && e.leaving(cause) }
func (e *ear) Closed(cause error)       { e.closed <- cause }

// ended waits for the connection's end and returns the cause.
func (e *ear) ended() error {
	e.world.Helper()
	select {
	case cause := <-e.closed:
		return cause
	case <-time.After(patience):
		e.world.Fatal("the connection does not end")
		return nil
	}
}

// newEar returns a connection that hears everyone and has no socket yet.
func (w *world) newEar() *ear {
	e := &ear{world: w, heard: make(chan string, 16), closed: make(chan error, 2)}
	if err := w.transport.Open(&e.Conn, e, rand.Uint64()); err != nil {
		w.Fatal(err)
	}
	e.Member.Subscribe(everyone[0])
	return e
}

// A client is the other end of a connection, written by hand.
type client struct {
	world *world
	net.Conn
	tcp     *net.TCPConn // below
	ear     *ear
	decoder ws.Decoder
	rest    []byte
}

// Close ends the connection without TLS's own goodbye.
func (c *client) Close() error { return c.tcp.Close() }

func (c *client) SetLinger(seconds int) { c.tcp.SetLinger(seconds) }

func (c *client) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// dial makes a connection and returns its client.
func (w *world) dial(options ...func(*ear)) *client {
	w.Helper()
	c, served := w.pair()
	c.ear = w.newEar()
	for _, option := range options {
		option(c.ear)
	}
	w.transport.Serve(&c.ear.Conn, w.wrap(served), nil)
	return c
}

func (w *world) pair() (*client, net.Conn) {
	w.Helper()
	nc, err := net.Dial("tcp", w.listener.Addr().String())
	if err != nil {
		w.Fatal(err)
	}
	served, err := w.listener.Accept()
	if err != nil {
		w.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(2 * patience))
	c := &client{world: w, Conn: nc, tcp: nc.(*net.TCPConn), decoder: ws.Decoder{Client: true, MaxMessage: 16 << 20}}
	if w.tls != 0 {
		c.Conn, served = handshake(w.T, nc, served, w.tls)
	}
	w.mu.Lock()
	w.clients = append(w.clients, c)
	w.mu.Unlock()
	return c, served
}

func masked(op ws.Opcode, text string) []byte {
	return ws.AppendMaskedFrame(nil, op, [4]byte{1, 2, 3, 4}, []byte(text))
}

func (c *client) send(frame []byte) {
	c.world.Helper()
	if _, err := c.Write(frame); err != nil {
		c.world.Fatal(err)
	}
}

func (c *client) say(text string) { c.world.Helper(); c.send(masked(ws.Text, text)) }

// next returns the next message or control frame, or io.EOF.
func (c *client) next() (ws.Message, error) {
	for {
		for len(c.rest) > 0 {
			m, n, ok, err := c.decoder.Next(c.rest)
			if err != nil {
				return m, err
			}
			c.rest = c.rest[n:]
			if ok {
				m.Data = bytes.Clone(m.Data)
				return m, nil
			}
		}
		buf := make([]byte, 64<<10)
		n, err := c.Read(buf)
		if n == 0 && err != nil {
			return ws.Message{}, err
		}
		c.rest = buf[:n]
	}
}

// hears fails the test unless these are the next text messages.
func (c *client) hears(texts ...string) {
	c.world.Helper()
	for _, want := range texts {
		m, err := c.next()
		if err != nil || m.Op != ws.Text || string(m.Data) != want {
			c.world.Fatalf("heard %v %.100q, %v; want the text %.100q", m.Op, m.Data, err, want)
		}
	}
}

// told fails the test unless the next frame closes with this code, and nothing follows.
func (c *client) told(code uint16) {
	c.world.Helper()
	m, err := c.next()
	if err != nil || m.Op != ws.CloseFrame {
		c.world.Fatalf("got %v %.100q, %v; want a close frame", m.Op, m.Data, err)
	}
	if how, _ := ws.ParseClose(m.Data); how.Code != code {
		c.world.Fatalf("closed with %v; want %d", how, code)
	}
	if m, err := c.next(); err != io.EOF {
		c.world.Fatalf("behind the close frame: %v %.100q, %v", m.Op, m.Data, err)
	}
}

func (c *client) bye() {
	c.send(ws.AppendMaskedClose(nil, [4]byte{}, ws.Close{Code: ws.NormalClosure}))
}
