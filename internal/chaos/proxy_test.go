//go:build linux

package chaos

import (
	"context"
	"net"
	"sync"
	"testing"
)

// The servers listen on one loopback address, and the proxies on another, from
// which they also dial. NATS tells servers of each other: the address that it saw
// a server come from, with the port that the server listens on. Nobody listens
// there, so no route goes around the proxies.
const (
	serverHost = "127.0.0.1"
	proxyHost  = "127.0.0.2"
)

// A mode is what a proxy does with bytes.
type mode int

const (
	open   mode = iota // it passes them on
	frozen             // it keeps them until it is open again
	closed             // it closes connections, and refuses new ones
)

func (m mode) String() string { return [...]string{"open", "frozen", "closed"}[m] }

// A proxy leads to one address, as long as its mode lets it.
type proxy struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup

	mu      sync.Mutex
	mode    mode
	changed chan struct{} // closed when mode changes
	conns   map[net.Conn]bool
	ended   bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", proxyHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, changed: make(chan struct{}), conns: make(map[net.Conn]bool)}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		p.set(closed)
		l.Close()
		p.running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	close(p.changed)
	p.changed = make(chan struct{})
	if m == closed {
		for c := range p.conns {
			c.Close()
		}
	}
}

// await waits while the proxy is frozen. It returns false if it is closed.
func (p *proxy) await() bool {
	for {
		p.mu.Lock()
		m, changed := p.mode, p.changed
		p.mu.Unlock()
		if m != frozen {
			return m == open
		}
		<-changed
	}
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(c) })
	}
}

// keep remembers a connection, or closes it if the proxy is closed.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == closed || p.ended {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

func (p *proxy) pass(in net.Conn) {
	if !p.keep(in) {
		return
	}
	defer p.drop(in)
	if !p.await() {
		return
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(proxyHost)}}
	out, err := dialer.DialContext(context.Background(), "tcp", p.to)
	if err != nil || !p.keep(out) {
		return
	}
	defer p.drop(out)
	var copying sync.WaitGroup
	copying.Go(func() { p.copy(out, in) })
	copying.Go(func() { p.copy(in, out) })
	copying.Wait()
}

// copy passes bytes on until one side ends.
func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	var buffer [32 << 10]byte
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			if !p.await() {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
