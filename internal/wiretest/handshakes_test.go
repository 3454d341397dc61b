package wiretest

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHandshakeStorm: while a thousand clients connect over wss at once, those who are there hear everything, and all get in.
func TestHandshakeStorm(t *testing.T) {
	t.Parallel()
	p := startTLS(t, "--log-level", "info")
	before := p.metrics(t)
	storming := make(chan struct{})
	go func() {
		defer close(storming)
		var coming sync.WaitGroup
		for range 1000 / slowdown {
			coming.Go(func() {
				nc, _, err := p.shake("/?topic=storm")
				if err != nil {
					t.Errorf("the handshake: %v", err)
					return
				}
				nc.Close()
			})
		}
		coming.Wait()
	}()
	p.attend(t, "/?topic="+unique("calm"), 20, time.Second)
	<-storming
	p.settles(t, before)
}

// TestSilentHandshakes: clients that begin a TLS handshake and do not go on keep nobody out.
func TestSilentHandshakes(t *testing.T) {
	t.Parallel()
	p := startTLS(t)
	hostport, _ := p.host()
	hello := clientHello(t)
	for i := range 50 {
		nc, err := net.DialTimeout("tcp", hostport, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.Write(hello[:max(1, i*len(hello)/49)]) // a part of it, or all
	}
	c := p.dial(t, "/")
	c.say("hello")
	c.hears("who comes after them", mine("hello"))
}

// clientHello returns the first thing that a client says.
func clientHello(t *testing.T) []byte {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake()
	hello := make([]byte, 16<<10)
	n, err := ours.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// TestLongHello: who sends an endless ClientHello is hung up on.
func TestLongHello(t *testing.T) {
	t.Parallel()
	p := startTLS(t)
	hostport, _ := p.host()
	nc, err := net.DialTimeout("tcp", hostport, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience / 2))
	// Records of a handshake message of 60,000 bytes.
	record := append([]byte{22, 3, 1, 0x20, 0, 1, 0, 0xea, 0x60}, make([]byte, 0x2000-4)...)
	for range 3 {
		nc.Write(record)
		copy(record[5:], make([]byte, 4))
	}
	if _, err := io.Copy(io.Discard, nc); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the server goes on: %v", err)
	}
}
