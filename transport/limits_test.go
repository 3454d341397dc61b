package transport

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"crier/hub"
	"crier/ws"
)

// half is the beginning of a message.
func half(size int) []byte {
	frame := masked(ws.Text, strings.Repeat("x", size))
	return frame[:len(frame)-1]
}

// trickle sends a byte now and then.
func (c *client) trickle(pause time.Duration, stop <-chan struct{}) {
	for {
		select {
		case <-time.After(pause):
			c.Write([]byte("x"))
		case <-stop:
			return
		}
	}
}

// TestUnendingMessage: a message that does not end ends its connection, though
// its client answers pings and sends a byte now and then.
func TestUnendingMessage(t *testing.T) {
	const limit = 100 * time.Millisecond
	eachWay(t, Config{Message: limit, Ping: 20 * limit, Close: limit / 10}, hub.Config{}, func(w *world) {
		patient := w.dial() // its messages are complete
		for _, piece := range []string{"header", "payload", "fragment"} {
			ann := w.dial()
			start := time.Now()
			switch piece {
			case "header":
				ann.send(masked(ws.Text, "x")[:1])
			case "payload":
				ann.send(masked(ws.Binary, strings.Repeat("x", 1000))[:20])
			case "fragment":
				frame := masked(ws.Text, "fragment")
				frame[0] &^= 0x80
				ann.send(frame)
			}
			patient.say("hi")
			stop := make(chan struct{})
			if piece == "payload" {
				go ann.trickle(limit/10, stop)
			}
			cause := ann.ear.ended()
			if took := time.Since(start); cause != ErrUnending || took < limit {
				w.Errorf("%s: ended after %v because of %v", piece, took, cause)
			}
			close(stop)
		}
		if patient.ear.closing() {
			w.Error("a client whose messages are complete was closed, too")
		}
	})
}

// TestHalfMessagesAreCounted: what clients have begun to send takes memory that
// is bounded, and comes back. Those who have most of it pay, and not those who
// need a little.
func TestHalfMessagesAreCounted(t *testing.T) {
	const memory = 2 << 20 // a quarter of it is for this
	const size = 50_000
	eachWay(t, Config{Close: 50 * time.Millisecond}, hub.Config{Memory: memory}, func(w *world) {
		listener := w.dial()
		var holders []*client
		for range 20 { // of whom half have room, and fewer with TLS
			ann := w.dial()
			ann.send(half(size))
			w.eventually("the half message is counted", func() bool { return ann.ear.rarely().holding.bytes.Load() > size/2 || ann.ear.closing() })
			w.eventually("the memory comes back", func() bool { return w.hub.Stats().Memory <= memory/4+10_000 }) // and close frames
			holders = append(holders, ann)
		}
		speaker := w.dial()
		text := strings.Repeat("y", size-10)
		frame := masked(ws.Text, text)
		speaker.send(frame[:size/2])
		w.eventually("the first half is counted", func() bool { return speaker.ear.beginning() > 0 })
		speaker.send(frame[size/2:])
		listener.hears(text)
		closed := 0
		for _, c := range holders {
			if !c.ear.closing() {
				continue
			}
			if closed++; c.ear.why() != ErrNoMemory {
				w.Errorf("the cause is %v", c.ear.why())
			}
			c.told(ws.GoingAway)
		}
		if closed < 10 || closed == len(holders) {
			w.Errorf("%d of %d were closed", closed, len(holders))
		}
		for _, c := range w.clients {
			if c != listener && c != speaker {
				c.SetLinger(0)
				c.Close()
			}
		}
		w.eventually("all of it comes back", func() bool {
			now, kept := w.hub.Stats(), int(listener.ear.rarely().holding.bytes.Load()+speaker.ear.rarely().holding.bytes.Load())
			return now.Memory-now.LogBytes-kept < 10_000
		})
	})
}

// TestWaitingMessagesAreCounted: so is what clients have sent and what has to
// wait, until the hub has room or the client has read.
func TestWaitingMessagesAreCounted(t *testing.T) {
	const memory, size, clients = 4 << 20, 50_000, 40 // with TLS a client may hold more than the one that it took the place of
	eachWay(t, Config{Close: 50 * time.Millisecond}, hub.Config{Memory: memory}, func(w *world) {
		full := true
		refuse := func(e *ear) {
			e.message = func([]byte, bool) error {
				if full {
					return hub.ErrBusy
				}
				return nil
			}
		}
		for range clients {
			ann := w.dial(refuse)
			ann.send(append(masked(ws.Text, strings.Repeat("x", size)), half(10)...))
			w.eventually("the message is counted", func() bool { return ann.ear.closing() || ann.ear.rarely().holding.bytes.Load() >= size })
			w.eventually("memory comes back", func() bool { return w.hub.Stats().Memory <= memory/4+10_000 }) // and close frames
		}
		ended := 0
		for _, c := range w.clients {
			if c.ear.closing() {
				ended++
				if cause := c.ear.why(); cause != ErrNoMemory {
					w.Errorf("the cause is %v", cause)
				}
			}
		}
		if ended < clients/2 || ended == clients {
			w.Errorf("%d of %d were closed", ended, clients)
		}
		for _, c := range w.clients {
			c.SetLinger(0)
			c.Close()
		}
		for _, c := range w.clients {
			c.ear.kill()
		}
		w.eventually("all of it comes back", func() bool { return w.hub.Stats().Memory == 0 })
	})
}

// TestRestlessClient: a client that sends nothing but control frames is closed,
// and told why, and what else it sends costs little.
func TestRestlessClient(t *testing.T) {
	eachWay(t, Config{Close: 700 * time.Millisecond, controls: 5000}, hub.Config{}, func(w *world) {
		for _, op := range []ws.Opcode{ws.Ping, ws.Pong} {
			ann := w.dial()
			flood := bytes.Repeat(masked(op, ""), 10_000)
			sent := make(chan int)
			go func() {
				n, err := 0, error(nil)
				for err == nil {
					var k int
					k, err = ann.Write(flood)
					n += k
				}
				sent <- n
			}()
			for {
				m, err := ann.next()
				if err != nil {
					w.Fatalf("the client is not told: %v", err)
				}
				if m.Op == ws.CloseFrame {
					break
				}
			}
			if cause := ann.ear.ended(); cause != ErrRestless {
				w.Errorf("the cause is %v", cause)
			}
			if n := <-sent; n > 16<<20 { // what the sockets hold, and a little
				w.Errorf("the server has read on: %d bytes were sent", n)
			}
		}
	})
}

// TestEmptyFragments: so is one that sends fragments of nothing.
func TestEmptyFragments(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann := w.dial()
		frame := masked(ws.Continuation, "")
		frame[0] &^= 0x80
		first := masked(ws.Text, "")
		first[0] &^= 0x80
		ann.send(append(first, bytes.Repeat(frame, 1000)...))
		ann.told(ws.PolicyViolation)
	})
}

// TestEmptyFragmentsOfManyMessages: as many as one message may have are too many
// when message follows message.
func TestEmptyFragmentsOfManyMessages(t *testing.T) {
	eachWay(t, Config{Close: 50 * time.Millisecond, controls: 5000}, hub.Config{}, func(w *world) {
		ann := w.dial(func(e *ear) { e.message = func([]byte, bool) error { return nil } })
		first, more := masked(ws.Text, ""), masked(ws.Continuation, "")
		first[0] &^= 0x80
		last := more
		more = append([]byte(nil), more...)
		more[0] &^= 0x80
		frames := append(append(first, bytes.Repeat(more, 998)...), last...)
		go func() { // until it is closed
			for {
				if _, err := ann.Write(frames); err != nil {
					return
				}
			}
		}()
		if cause := ann.ear.ended(); cause != ErrRestless {
			w.Errorf("the cause is %v", cause)
		}
	})
}

// TestSlowReaderLives: a client that reads slowly is alive as long as it reads,
// though the pings wait for it behind everything that its socket holds.
func TestSlowReaderLives(t *testing.T) {
	t.Run("hub", func(t *testing.T) { testSlowReaderLives(t, 150) })   // more than the system's buffers take
	t.Run("socket", func(t *testing.T) { testSlowReaderLives(t, 25) }) // they take all
}

func testSlowReaderLives(t *testing.T, messages int) {
	const ping = 200 * time.Millisecond
	eachWay(t, Config{Ping: ping, Close: ping / 4}, hub.Config{Backlog: 64 << 20, Memory: 256 << 20}, func(w *world) {
		slow, stuck := w.dial(), w.dial()
		frame := ws.AppendFrame(nil, ws.Text, bytes.Repeat([]byte("x"), 100_000))
		for range messages {
			w.publish(frame)
		}
		buf := make([]byte, 20_000)
		for start := time.Now(); time.Since(start) < 5*ping; time.Sleep(ping / 10) {
			if _, err := io.ReadFull(slow, buf); err != nil {
				w.Fatal(err)
			}
		}
		if slow.ear.closing() {
			w.Errorf("the client that reads was closed: %v", slow.ear.why())
		}
		if cause := stuck.ear.ended(); cause != ErrSilent {
			w.Errorf("the client that does not read was closed because of %v", cause)
		}
	})
}

// TestSilentClientIsTold: the close frame for silence does not wait for all that
// the client has yet to read.
func TestSilentClientIsTold(t *testing.T) {
	eachWay(t, Config{Ping: 50 * time.Millisecond}, hub.Config{Backlog: 64 << 20, Memory: 256 << 20}, func(w *world) {
		ann := w.dial()
		const size, messages = 100_000, 300
		for range messages {
			w.publish(ws.AppendFrame(nil, ws.Text, make([]byte, size)))
		}
		w.eventually("the client is found silent", func() bool { return ann.ear.closing() })
		got := 0
		for {
			m, err := ann.next()
			if err != nil {
				w.Fatalf("after %d messages: %v", got, err)
			}
			if m.Op == ws.CloseFrame {
				break
			}
			if m.Op == ws.Text {
				got++
			}
		}
		if got == messages {
			w.Error("the close frame waited for everything")
		}
	})
}

// TestHold: the receiver can slow a client down, without losing anything, and
// without slowing others down.
func TestHold(t *testing.T) {
	const pause, messages = 60 * time.Millisecond, 11
	held := func(e *ear) {
		e.message = func(data []byte, _ bool) error {
			e.Hold(pause)
			return e.world.hub.Publish(hub.Publication{Topics: everyone, Frame: ws.AppendFrame(nil, ws.Text, data)})
		}
	}
	eachWay(t, Config{Ping: 250 * time.Millisecond}, hub.Config{}, func(w *world) {
		listener, hasty, free := w.dial(), w.dial(held), w.dial()
		start := time.Now()
		for i := range messages {
			hasty.say(string(rune('0' + i)))
		}
		free.say("meanwhile")
		late := time.Duration(0)
		for next := 0; next < messages; {
			m, err := listener.next()
			switch {
			case err != nil:
				w.Fatal(err)
			case m.Op == ws.Ping:
				listener.send(masked(ws.Pong, ""))
			case string(m.Data) == "meanwhile":
				late = time.Since(start)
			case string(m.Data) != string(rune('0'+next)):
				w.Fatalf("heard %q, want number %d", m.Data, next)
			default:
				next++
			}
		}
		if took := time.Since(start); took < (messages-1)*(pause-time.Millisecond) || late == 0 || late > took/2 {
			w.Errorf("%d messages took %v; another client's was heard after %v", messages, took, late)
		}
		hasty.say("the end of a client that is held")
		hasty.ear.Close(errors.New("enough"))
		hasty.Close()
		hasty.ear.ended()
	})
}

var wallClock = regexp.MustCompile(`\.Unix(Milli|Micro|Nano)?\(`)

// TestClock: time-outs must not follow the clock on the wall, which may be set
// back. Nothing here may ask for the time in a form that has lost the monotonic
// clock.
func TestClock(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") && wallClock.Match(text) {
			t.Errorf("%s asks for the time since 1970", file)
		}
	}
}
