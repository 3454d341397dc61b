package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crier/ws"
)

// A subscriber is one connection: it checks all that it hears.
type subscriber struct {
	run  *run
	id   int // its publisher's number, if it is one
	conn net.Conn
	rest []byte // came with the handshake

	writing sync.Mutex
	leaving atomic.Bool // we hang up ourselves

	// Owned by listen, until it returns.
	next       []uint64 // number of the next message, by publisher
	gaps       uint64   // messages that never came, though later ones did
	disordered uint64
	wrongMe    uint64
	latency    histogram
	closed     error // why the server ended the connection
}

func newSubscriber(r *run, id int, conn net.Conn, rest []byte) *subscriber {
	return &subscriber{run: r, id: id, conn: conn, rest: rest, next: make([]uint64, r.config.Publishers)}
}

// dialTimeout is how long one connection may take to be opened.
const dialTimeout = 30 * time.Second

// dial opens a WebSocket. rest is what the server has sent behind its answer.
func dial(ctx context.Context, address *url.URL) (conn net.Conn, rest []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port := address.Hostname(), address.Port()
	switch {
	case address.Scheme == "wss":
		if port == "" {
			port = "443"
		}
		conn, err = new(tls.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	default:
		if port == "" {
			port = "80"
		}
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	}
	if err != nil {
		return nil, nil, err
	}
	if rest, err = handshake(ctx, conn, address); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, rest, nil
}

func handshake(ctx context.Context, conn net.Conn, address *url.URL) (rest []byte, err error) {
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	defer conn.SetDeadline(time.Time{})
	var random [16]byte
	rand.Read(random[:])
	key := base64.StdEncoding.EncodeToString(random[:])
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", address.RequestURI(), address.Host, key)
	if err != nil {
		return nil, fmt.Errorf("write the handshake: %w", err)
	}
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, fmt.Errorf("read the handshake's answer: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		first, _, _ := strings.Cut(string(why), "\n")
		return nil, fmt.Errorf("refused: %s: %s", resp.Status, first)
	}
	if resp.Header.Get("Sec-WebSocket-Accept") != ws.AcceptKey(key) {
		return nil, errors.New("the server's Sec-WebSocket-Accept is wrong")
	}
	rest = make([]byte, reader.Buffered())
	_, err = io.ReadFull(reader, rest)
	return rest, err
}

// maxHeard bounds a message.
const maxHeard = 64 << 20

// listen reads until the connection ends.
func (s *subscriber) listen() {
	decoder := ws.Decoder{Client: true, MaxMessage: maxHeard}
	buf := make([]byte, 16<<10)
	n := copy(buf, s.rest)
	for {
		if err := s.hear(&decoder, buf[:n]); err != nil {
			s.end(err)
			return
		}
		var err error
		if n, err = s.conn.Read(buf); err != nil {
			s.end(err)
			return
		}
	}
}

func (s *subscriber) end(err error) {
	if !s.leaving.Load() {
		s.closed = err
	}
	s.conn.Close()
}

// hear handles what one read has got.
func (s *subscriber) hear(decoder *ws.Decoder, b []byte) error {
	now := time.Since(s.run.start)
	deliveries := uint64(0)
	defer func() { s.run.heard(deliveries) }()
	for len(b) > 0 {
		m, n, ok, err := decoder.Next(b)
		if err != nil {
			return fmt.Errorf("the server broke the protocol: %w", err)
		}
		b = b[n:]
		switch {
		case !ok:
		case m.Op == ws.Text:
			if s.check(m.Data, now) {
				deliveries++
			}
		case m.Op == ws.Ping:
			s.write(ws.AppendMaskedFrame(nil, ws.Pong, [4]byte{}, m.Data))
		case m.Op == ws.CloseFrame:
			how, _ := ws.ParseClose(m.Data)
			return how
		}
	}
	return nil
}

// check looks at one message and reports whether it is one of ours that was still missing.
func (s *subscriber) check(heard []byte, now time.Duration) bool {
	publisher, number, at, ok := parseMessage(heard)
	if !ok || publisher >= len(s.next) {
		return false // somebody else's
	}
	if mine, stamped := me(heard); stamped {
		if !s.run.stamped.Load() {
			s.run.stamped.Store(true)
		}
		if mine != (publisher == s.id) {
			s.wrongMe++
		}
	}
	if number < s.next[publisher] {
		s.disordered++
		return false
	}
	s.gaps += number - s.next[publisher]
	s.next[publisher] = number + 1
	if s.run.measuring.Load() {
		s.latency.record(now - at)
	}
	return true
}

// write sends one frame.
func (s *subscriber) write(frame []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.conn.Write(frame)
	return err
}

func (s *subscriber) hangUp() {
	if !s.leaving.Swap(true) {
		s.conn.SetWriteDeadline(time.Now().Add(time.Second))
		s.write(ws.AppendMaskedClose(nil, [4]byte{}, ws.Close{Code: ws.NormalClosure}))
		s.conn.Close()
	}
}

// heard counts deliveries and lets the window go on.
func (r *run) heard(deliveries uint64) {
	if deliveries == 0 {
		return
	}
	r.received.Add(deliveries)
	if r.config.Window > 0 {
		select {
		case r.room <- struct{}{}:
		default:
		}
	}
}
