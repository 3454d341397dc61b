package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// nearby is the address of servers in memory: no proxy is asked for it.
const nearby = "ws://localhost"

// memory is a network in memory, which is also what its server listens on. In
// a bubble of testing/synctest no time is lost with it.
type memory struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    func()
}

func openMemory(t *testing.T) *memory {
	m := &memory{accepted: make(chan net.Conn), closed: make(chan struct{})}
	m.close = sync.OnceFunc(func() { close(m.closed) })
	t.Cleanup(m.close)
	return m
}

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case m.accepted <- far:
		return near, nil
	case <-m.closed:
		return nil, errors.New("nobody listens")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.accepted:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error { m.close(); return nil }

func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// serveInMemory returns what dials a server in memory.
func serveInMemory(t *testing.T, handler http.HandlerFunc) dialer {
	m := openMemory(t)
	var serving sync.WaitGroup
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Done()
		handler(w, r)
	})}
	serving.Go(func() { s.Serve(m) })
	t.Cleanup(func() { s.Close(); serving.Wait() })
	return m.dial
}

// talkInMemory returns what dials a server whose connections are handled by talk.
func talkInMemory(t *testing.T, talk func(*http.Request, *websocket.Conn)) dialer {
	return serveInMemory(t, func(w http.ResponseWriter, r *http.Request) { accept(w, r, talk) })
}

// answersOnce is like rawServer, and in memory.
func answersOnce(t *testing.T, answer, more string) (d dialer, heard <-chan string) {
	m := openMemory(t)
	return m.dial, answerRaw(m, answer, more)
}

// forget reads everything, and answers nothing.
func forget(r *http.Request, c *websocket.Conn) {
	for {
		if _, _, err := c.Read(r.Context()); err != nil {
			return
		}
	}
}
