package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
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
	mu        sync.Mutex
	clients   []*client
	stopped   bool
}

// ways are how a connection can be served: the suite runs with each.
var ways = map[string]struct {
	pumps bool
	wrap  func(net.Conn) net.Conn
}{
	// On Linux a loop has it.
	"socket": {false, func(nc net.Conn) net.Conn { return nc }},
	// As where there are no loops: it is written to without waiting.
	"stream": {true, func(nc net.Conn) net.Conn { return nc }},
	// As under TLS: nothing is known but the interface.
	"opaque": {false, func(nc net.Conn) net.Conn { return opaque{nc} }},
}

type opaque struct{ net.Conn }

func (o opaque) CloseWrite() error { return o.Conn.(*net.TCPConn).CloseWrite() }

// eachWay runs a test with every way to serve a connection, and checks that nothing is left of it.
func eachWay(t *testing.T, config Config, limits hub.Limits, test func(*world)) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			config.pumps = way.pumps
			w := newWorld(t, config, limits)
			w.wrap = way.wrap
			test(w)
			for _, c := range w.clients {
				c.Close()
			}
			w.shutdown(0)
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

func newWorld(t *testing.T, config Config, limits hub.Limits) *world {
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
	return e.world.hub.Publish(&e.Member, everyone, ws.AppendFrame(nil, op, data), nil)
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

func (e *ear) Closed(cause error) { e.closed <- cause }

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
	e.Subscribe(everyone[0])
	return e
}

// A client is the other end of a connection, written by hand.
type client struct {
	world *world
	*net.TCPConn
	ear     *ear
	decoder ws.Decoder
	rest    []byte
}

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
	c := &client{world: w, TCPConn: nc.(*net.TCPConn), decoder: ws.Decoder{Client: true, MaxMessage: 16 << 20}}
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
		if err != nil {
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

func TestEveryoneHears(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		ann, bob := w.dial(), w.dial()
		ann.say("one")
		ann.say("two")
		ann.send(masked(ws.Binary, "\xff"))
		for _, c := range []*client{ann, bob} {
			c.hears("one", "two")
			if m, err := c.next(); m.Op != ws.Binary || string(m.Data) != "\xff" {
				w.Errorf("got %v %q, %v; want the binary message", m.Op, m.Data, err)
			}
		}
		w.eventually("six deliveries", func() bool { return w.hub.Stats().Delivered == 6 })
	})
}

func TestInputByteByByte(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		ann := w.dial()
		input := masked(ws.Text, "hällo")
		input = append(input, masked(ws.Ping, "p")...)
		input = append(input, masked(ws.Text, strings.Repeat("x", 300))...)
		for i := range input {
			ann.send(input[i : i+1])
		}
		ann.hears("hällo")
		if m, err := ann.next(); m.Op != ws.Pong || string(m.Data) != "p" {
			w.Errorf("got %v %q, %v; want the pong", m.Op, m.Data, err)
		}
		ann.hears(strings.Repeat("x", 300))
	})
}

func TestEarlyInputAndEarlyNews(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		ann, served := w.pair()
		ann.ear = w.newEar()
		w.dial().say("before the socket")
		w.eventually("news in the log", func() bool { return w.hub.Stats().LogBytes > 0 })
		w.transport.Serve(&ann.ear.Conn, w.wrap(served), masked(ws.Text, "behind the handshake"))
		ann.hears("before the socket", "behind the handshake")
	})
}

func TestClientCloses(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		ann := w.dial()
		ann.send(append(ws.AppendMaskedClose(nil, [4]byte{}, ws.Close{Code: 4001, Reason: "enough"}), "what follows is no frame"...))
		ann.told(4001)
		var bye Goodbye
		if cause := ann.ear.ended(); !errors.As(cause, &bye) || bye.Code != 4001 || bye.Reason != "enough" {
			w.Errorf("the cause is %v", cause)
		}
	})
}

func TestServerCloses(t *testing.T) {
	enough := errors.New("enough")
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		ann := w.dial()
		ann.ear.Post(ws.AppendFrame(nil, ws.Text, []byte("last words")))
		ann.ear.Close(enough)
		ann.ear.Close(errors.New("too late"))
		ann.hears("last words")
		ann.told(ws.GoingAway)
		ann.say("ignored")
		ann.bye()
		if cause := ann.ear.ended(); cause != enough {
			w.Errorf("the cause is %v", cause)
		}
	})
}

func TestSilentClientIsNotWaitedForLong(t *testing.T) {
	eachWay(t, Config{Close: 10 * time.Millisecond}, hub.Limits{}, func(w *world) {
		ann := w.dial()
		ann.ear.Close(errors.New("enough"))
		ann.ear.ended()
	})
}

func TestFaults(t *testing.T) {
	eachWay(t, Config{MaxMessage: 1000}, hub.Limits{}, func(w *world) {
		for name, c := range map[string]struct {
			input string
			code  uint16
		}{
			"not masked":   {string(ws.AppendFrame(nil, ws.Text, []byte("x"))), ws.ProtocolError},
			"not UTF-8":    {string(masked(ws.Text, "\xff")), ws.InvalidPayload},
			"too large":    {string(masked(ws.Text, strings.Repeat("x", 1001))), ws.TooBig},
			"behind words": {string(masked(ws.Text, "fine")) + "\xff\xff", ws.ProtocolError},
		} {
			ann := w.dial()
			ann.send([]byte(c.input + strings.Repeat("and more ", 10_000)))
			if name == "behind words" {
				ann.hears("fine")
			}
			ann.told(c.code)
			ann.Close()
			var fault ws.Close
			if cause := ann.ear.ended(); !errors.As(cause, &fault) || fault.Code != c.code {
				w.Errorf("%s: the cause is %v", name, cause)
			}
		}
	})
}

func TestVanishing(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		for name, leave := range map[string]func(*client){
			"end of stream": func(c *client) { c.CloseWrite() },
			"reset":         func(c *client) { c.SetLinger(0); c.Close() },
			"mid-frame":     func(c *client) { c.send(masked(ws.Text, "half a message")[:9]); c.Close() },
		} {
			ann := w.dial()
			ann.say("hello")
			ann.hears("hello")
			leave(ann)
			if cause := ann.ear.ended(); cause != ErrLost {
				w.Errorf("%s: the cause is %v, want ErrLost", name, cause)
			}
			if _, err := ann.Read(make([]byte, 1)); err == nil {
				w.Errorf("%s: there is something to read", name)
			}
		}
		if n := w.transport.Stats().Conns; n > 3 {
			w.Errorf("%d connections", n)
		}
	})
}

func TestMessageError(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		ann := w.dial(func(e *ear) { e.message = func([]byte, bool) error { return ErrFlooded } })
		ann.say("x")
		ann.told(ws.GoingAway)
		ann.Close()
		if cause := ann.ear.ended(); cause != ErrFlooded {
			w.Errorf("the cause is %v", cause)
		}
	})
}

// TestBusy: a message that the hub has no room for is handed out again, and nothing behind it before.
func TestBusy(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		refusals := 3
		ann := w.dial(func(e *ear) {
			e.message = func(data []byte, binary bool) error {
				if refusals > 0 {
					refusals--
					w.hub.Publish(nil, everyone, ws.AppendFrame(nil, ws.Text, []byte("meanwhile")), nil) // so that there is a relief
					return hub.ErrBusy
				}
				return w.hub.Publish(nil, everyone, ws.AppendFrame(nil, ws.Text, data), nil)
			}
		})
		ann.send(append(masked(ws.Text, "one"), masked(ws.Text, "two")...))
		ann.hears("meanwhile", "meanwhile", "meanwhile", "one", "two")
	})
}

// publish says something to everyone, as soon as there is room for it.
func (w *world) publish(frame []byte) {
	w.Helper()
	for {
		relief := w.hub.Relief()
		switch err := w.hub.Publish(nil, everyone, frame, nil); err {
		case nil:
			return
		case hub.ErrBusy:
			<-relief
		default:
			w.Fatal(err)
		}
	}
}

// TestSlowReaderIsTold: a client that does not read is closed and told why; one that keeps up misses nothing.
func TestSlowReaderIsTold(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{Topic: 1 << 20}, func(w *world) {
		slow, quick := w.dial(), w.dial()
		frame := ws.AppendFrame(nil, ws.Text, bytes.Repeat([]byte("x"), 10_000))
		// The quick one hears each message before the next is published, however little of the processor it gets.
		for deadline := time.Now().Add(patience); !slow.ear.closing(); {
			if time.Now().After(deadline) {
				w.Fatal("the slow reader is never found out")
			}
			w.publish(frame)
			if m, err := quick.next(); err != nil || len(m.Data) != 10_000 {
				w.Fatalf("the quick reader: %d bytes, %v", len(m.Data), err)
			}
		}
		// The slow one wakes up when it is told, gets what was on its way, and then why that was all.
		var m ws.Message
		var err error
		for m, err = slow.next(); err == nil && m.Op == ws.Text; m, err = slow.next() {
			if len(m.Data) != 10_000 {
				w.Fatalf("a message of %d bytes", len(m.Data))
			}
		}
		how, _ := ws.ParseClose(m.Data)
		if err != nil || how.Code != ws.TryAgainLater {
			w.Errorf("told %v, %v; want %d", how, err, ws.TryAgainLater)
		}
		slow.Close()
		if cause := slow.ear.ended(); !errors.Is(cause, hub.ErrBehind) {
			w.Errorf("the cause is %v, want ErrBehind", cause)
		}
	})
}

// TestSlowReaderSkips: with that policy a client that fell behind is told how much it missed, and misses just that.
func TestSlowReaderSkips(t *testing.T) {
	notice := func(messages int) []byte { return ws.AppendFrame(nil, ws.Text, fmt.Append(nil, "skipped ", messages)) }
	eachWay(t, Config{Skipped: notice}, hub.Limits{Topic: 256 << 10}, func(w *world) {
		const messages = 2000
		slow := w.dial()
		for i := range messages {
			w.publish(ws.AppendFrame(nil, ws.Text, fmt.Appendf(nil, "%d %s", i, bytes.Repeat([]byte("x"), 10_000))))
		}
		next, skipped := 0, 0
		for next < messages {
			m, err := slow.next()
			if err != nil {
				w.Fatal(err)
			}
			n, i := 0, 0
			if _, err := fmt.Sscanf(string(m.Data), "skipped %d", &n); err == nil {
				next += n
				skipped += n
				continue
			}
			if _, err := fmt.Sscan(string(m.Data), &i); err != nil || i != next {
				w.Fatalf("heard %.20q, want number %d", m.Data, next)
			}
			next++
		}
		if skipped == 0 {
			w.Error("nothing was skipped")
		}
	})
}

// TestAsksMoreThanItReads: a client that causes answers and does not read them is not read either.
func TestAsksMoreThanItReads(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		ann := w.dial()
		pings := bytes.Repeat(masked(ws.Ping, strings.Repeat("p", 125)), 1000)
		ann.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		sent := 0
		for {
			n, err := ann.Write(pings)
			sent += n
			if err != nil {
				break
			}
			if sent > 64<<20 {
				w.Fatal("the server reads on and on")
			}
		}
		if ann.ear.closing() {
			w.Fatal("the client was closed, not slowed down")
		}
		// Reading lets it go on: every whole ping has its pong.
		go func() {
			ann.SetWriteDeadline(time.Time{})
			rest := (len(pings) - sent%len(pings)) % len(pings)
			ann.Write(pings[len(pings)-rest:])
			ann.bye()
		}()
		pongs := 0
		for {
			m, err := ann.next()
			if err != nil || m.Op == ws.CloseFrame {
				break
			}
			pongs++
		}
		if want := (sent + len(pings) - 1) / len(pings) * 1000; pongs < want/2 || pongs > want {
			w.Errorf("%d pongs for %d pings", pongs, want)
		}
		ann.ear.ended()
	})
}

// TestFirehose: one who publishes as fast as it can does not keep two others from talking.
func TestFirehose(t *testing.T) {
	aside := []hub.Topic{{App: "test", Name: "aside"}}
	say := func(e *ear) {
		e.message = func(data []byte, _ bool) error {
			return e.world.hub.Publish(&e.Member, aside, ws.AppendFrame(nil, ws.Text, data), nil)
		}
	}
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		hose := w.dial()
		for range 20 {
			listener := w.dial()
			go func() { io.Copy(io.Discard, listener) }()
		}
		go func() { io.Copy(io.Discard, hose) }()
		water := bytes.Repeat(masked(ws.Text, strings.Repeat("x", 1000)), 100)
		stop, dry := make(chan struct{}), make(chan int)
		go func() {
			n := 0
			for {
				select {
				case <-stop:
					dry <- n
					return
				default:
				}
				hose.Write(water)
				n += 100
			}
		}()
		ann, bob := w.dial(say), w.dial(say)
		for _, c := range []*client{ann, bob} {
			c.ear.Unsubscribe(everyone[0])
			c.ear.Subscribe(aside[0])
		}
		hear := func(c *client, want string) {
			for {
				m, err := c.next()
				if err != nil {
					w.Fatal(err)
				}
				if string(m.Data) == want {
					return
				}
			}
		}
		for i := range 50 {
			word := fmt.Sprint("word ", i)
			ann.say(word)
			hear(bob, word)
			bob.say("yes, " + word)
			hear(ann, "yes, "+word)
		}
		close(stop)
		if n := <-dry; n < 1000 {
			w.Errorf("the firehose published %d messages only", n)
		}
	})
}

func TestPingAndSilence(t *testing.T) {
	eachWay(t, Config{Ping: 20 * time.Millisecond, Close: time.Millisecond}, hub.Limits{}, func(w *world) {
		ann, mute := w.dial(), w.dial()
		for range 5 {
			if m, err := ann.next(); m.Op != ws.Ping {
				w.Fatalf("got %v, %v; want a ping", m.Op, err)
			}
			ann.send(masked(ws.Pong, ""))
		}
		if cause := mute.ear.ended(); cause != ErrSilent {
			w.Errorf("the cause is %v, want ErrSilent", cause)
		}
	})
}

func TestIdle(t *testing.T) {
	eachWay(t, Config{Idle: 50 * time.Millisecond, Ping: 10 * time.Millisecond}, hub.Limits{}, func(w *world) {
		ann := w.dial()
		pings := 0
		for {
			m, err := ann.next()
			if err != nil || m.Op == ws.CloseFrame {
				break
			}
			pings++
			ann.send(masked(ws.Pong, "")) // alive, but says nothing
		}
		ann.bye()
		if cause := ann.ear.ended(); cause != ErrIdle {
			w.Errorf("the cause is %v after %d pings, want ErrIdle", cause, pings)
		}
	})
}

func TestShutdownTellsEveryone(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		var clients []*client
		for range 10 {
			clients = append(clients, w.dial())
		}
		var told []time.Duration
		done := make(chan struct{})
		start := time.Now()
		go func() {
			defer close(done)
			w.shutdown(90 * time.Millisecond)
		}()
		gone := make(chan time.Duration)
		for _, c := range clients {
			go func() {
				c.next()
				gone <- time.Since(start)
				c.bye()
			}()
		}
		for range clients {
			told = append(told, <-gone)
		}
		<-done
		if last := told[len(told)-1]; last < 80*time.Millisecond {
			w.Errorf("everyone was told within %v, not over the time given", last)
		}
		for _, c := range clients {
			if cause := c.ear.ended(); cause != ErrGoingAway {
				w.Errorf("the cause is %v", cause)
			}
		}
		late := &ear{world: w}
		if err := w.transport.Open(&late.Conn, late, 0); err != ErrGoingAway {
			w.Errorf("open after the end: %v", err)
		}
	})
}

// TestShutdownWaitsForNobody: when all have left it is over, whatever time was given.
func TestShutdownWaitsForNobody(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		for range 3 {
			defer w.dial().Close()
		}
		done := make(chan struct{})
		go func() { w.shutdown(time.Hour); close(done) }()
		for _, c := range w.clients {
			c.bye()
		}
		select {
		case <-done:
		case <-time.After(patience):
			w.Fatal("everyone has left, and the shutdown goes on")
		}
	})
}

// TestShutdownEndsTheStubborn: neither clients that do not answer nor handshakes that hang hold a shutdown up.
func TestShutdownEndsTheStubborn(t *testing.T) {
	eachWay(t, Config{Close: time.Hour}, hub.Limits{}, func(w *world) {
		deaf := w.dial()
		pending, served := w.pair()
		pending.ear = w.newEar()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		w.stopped = true
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.transport.Shutdown(ctx, 0)
		}()
		<-ctx.Done()
		deaf.ear.ended()
		w.transport.Serve(&pending.ear.Conn, w.wrap(served), nil)
		pending.ear.ended()
		<-done
	})
}

// TestPlace: neighbours share a worker, and no worker has much more than its share.
func TestPlace(t *testing.T) {
	tr := &Transport{conns: make(map[*Conn]struct{}), workers: make([]worker, 4), load: make([]int, 4)}
	open := func(near uint64) int {
		i := tr.place(near)
		tr.load[i]++
		tr.conns[new(Conn)] = struct{}{}
		return i
	}
	for near := range uint64(100) {
		for range 10 {
			if got := open(near); got != int(near%4) {
				t.Fatalf("neighbour %d is placed at %d", near, got)
			}
		}
	}
	for range 10_000 {
		open(1)
	}
	for i, load := range tr.load {
		if share := len(tr.conns) / 4; load > share*5/4+32 || load < share*3/4 {
			t.Errorf("worker %d has %d connections, its share is %d", i, load, share)
		}
	}
}

func TestAbandon(t *testing.T) {
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		e := w.newEar()
		w.transport.Abandon(&e.Conn)
		if st := w.transport.Stats(); st.Conns != 0 {
			w.Errorf("%d connections are left", st.Conns)
		}
		if st := w.hub.Stats(); st.Topics != 0 {
			w.Errorf("%d topics are left", st.Topics)
		}
	})
}

// TestChurn: while people come and go, those who stay hear everything once and in order.
func TestChurn(t *testing.T) {
	const messages = 300
	eachWay(t, Config{}, hub.Limits{}, func(w *world) {
		listener := w.dial()
		speakers := []*client{w.dial(), w.dial(), w.dial()}
		for _, s := range speakers {
			go func() { io.Copy(io.Discard, s) }()
		}
		stop := make(chan struct{})
		churned := make(chan int)
		go func() {
			n := 0
			for ; ; n++ {
				select {
				case <-stop:
					churned <- n
					return
				default:
				}
				c := w.dial()
				c.send(masked(ws.Text, "hello")[:n%11])
				c.SetLinger(n % 2 * 10)
				c.Close()
				c.ear.ended()
			}
		}()
		for i, s := range speakers {
			go func() {
				for k := range messages {
					s.send(masked(ws.Text, fmt.Sprintf("%d %d", i, k)))
				}
			}()
		}
		next := make([]int, len(speakers))
		for range messages * len(speakers) {
			m, err := listener.next()
			if err != nil {
				w.Fatal(err)
			}
			if string(m.Data) == "hello" {
				continue
			}
			var i, k int
			if _, err := fmt.Sscan(string(m.Data), &i, &k); err != nil || next[i] != k {
				w.Fatalf("heard %q, want number %d (%v)", m.Data, next[i], err)
			}
			next[i]++
		}
		close(stop)
		if n := <-churned; n == 0 {
			w.Error("nobody came and went")
		}
	})
}
