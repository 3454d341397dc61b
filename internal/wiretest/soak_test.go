package wiretest

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var soakTime = flag.Duration("soak", 2*time.Second, "for how long clients come and go over wss; make soak takes ten minutes")

// TestSoak: over wss, clients come and go in every way there is. Those who stay hear everything once and in order, and when all
// have gone, nothing is left of them.
func TestSoak(t *testing.T) {
	t.Parallel()
	p := startTLS(t, "--log-level", "info")
	before := p.metrics(t)
	room := "/?topic=" + unique("soak")
	done := make(chan struct{})
	var visits atomic.Int64
	var visiting sync.WaitGroup
	for range 8 {
		visiting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := p.visit(room, rand.IntN(len(visitors))); err != nil {
					t.Errorf("a visit: %v", err)
					return
				}
				visits.Add(1)
			}
		})
	}
	watched := p.watchMemory(*soakTime)
	p.attend(t, room, 20, *soakTime)
	close(done)
	visiting.Wait()
	if err := flat(watched()); err != nil && *soakTime > time.Minute { // it takes a while to be warm
		t.Error(err)
	}
	t.Logf("%d visits in %v", visits.Load(), *soakTime)
	p.settles(t, before)
	p.stop()
	p.exits()
}

// attend lets some clients listen for a time, while one of them speaks. Each must hear all of it, in order.
func (s server) attend(t *testing.T, room string, listeners int, d time.Duration) {
	t.Helper()
	var list []*client
	for range listeners {
		c := s.dial(t, room)
		c.tag = "count "
		list = append(list, c)
	}
	var listening sync.WaitGroup
	total := int(d / (20 * time.Millisecond))
	for i, c := range list {
		listening.Go(func() {
			for n := range total {
				message, err := c.read()
				if want := fmt.Sprintf(`{"data":"count %d",`, n); err != nil || !strings.HasPrefix(message, want) {
					t.Errorf("listener %d hears %.100q, %v; want %s…", i, message, err, want)
					return
				}
			}
		})
	}
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for n := range total {
		<-pace.C
		list[0].say(fmt.Sprintf("count %d", n))
	}
	listening.Wait()
	for _, c := range list {
		c.bye()
	}
}

// visitors are the ways to come and go.
var visitors = []func(nc *tls.Conn, in *bufio.Reader) error{
	// In good order.
	func(nc *tls.Conn, in *bufio.Reader) error {
		if _, err := nc.Write(frames("text:hello close:" + closing(1000, ""))); err != nil {
			return err
		}
		told, err := ending(in)
		if err == nil && told.code() != 1000 {
			err = fmt.Errorf("told %v", told)
		}
		return err
	},
	// With nothing but TLS's goodbye.
	func(nc *tls.Conn, in *bufio.Reader) error {
		nc.Write(frames("text:hello"))
		nc.CloseWrite()
		_, err := ending(in)
		return err
	},
	// Against the protocol.
	func(nc *tls.Conn, in *bufio.Reader) error {
		nc.Write(unhex("ff 80"))
		told, err := ending(in)
		if err == nil && told.code() != 1002 {
			err = fmt.Errorf("told %v", told)
		}
		return err
	},
	// Abruptly, in the middle of something: a large message, a frame, a record.
	func(nc *tls.Conn, _ *bufio.Reader) error {
		nc.Write(appendFrame(nil, true, opText, []byte(strings.Repeat("x", rand.IntN(maxMessage)))))
		reset(nc)
		return nil
	},
	func(nc *tls.Conn, _ *bufio.Reader) error {
		nc.Write(frames("text:hello")[:4])
		reset(nc)
		return nil
	},
	func(nc *tls.Conn, _ *bufio.Reader) error {
		nc.NetConn().Write([]byte{23, 3, 3, 1, 0, 'x'})
		reset(nc)
		return nil
	},
	// With something that is no record.
	func(nc *tls.Conn, in *bufio.Reader) error {
		nc.NetConn().Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		if _, err := ending(in); err == nil {
			return fmt.Errorf("the server does not mind")
		}
		return nil
	},
	// Without reading for a while what it asks for.
	func(nc *tls.Conn, _ *bufio.Reader) error {
		nc.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
		nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		for range 100 {
			if _, err := nc.Write(appendFrame(nil, true, opPing, make([]byte, 125))); err != nil {
				break
			}
		}
		reset(nc)
		return nil
	},
}

// visit comes and goes in one of these ways.
func (s server) visit(path string, way int) error {
	nc, in, err := s.shake(path)
	if err != nil {
		return err
	}
	defer reset(nc)
	if err := visitors[way](nc.(*tls.Conn), in); err != nil {
		return fmt.Errorf("way %d: %w", way, err)
	}
	return nil
}
