package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crier/hub"
	"crier/ws"
)

// TestBusy: a message that the hub has no room for is handed out again, and nothing behind it before.
func TestBusy(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		refusals := 3
		ann := w.dial(func(e *ear) {
			e.message = func(data []byte, binary bool) error {
				if refusals > 0 {
					refusals--
					w.hub.Publish(hub.Publication{Topics: everyone, Frame: ws.AppendFrame(nil, ws.Text, []byte("meanwhile"))}) // so that it is tried again
					return hub.ErrBusy
				}
				return w.hub.Publish(hub.Publication{Topics: everyone, Frame: ws.AppendFrame(nil, ws.Text, data)})
			}
		})
		ann.send(append(masked(ws.Text, "one"), masked(ws.Text, "two")...))
		ann.hears("meanwhile", "meanwhile", "meanwhile", "one", "two")
	})
}

// TestBusyForEver: a client whose message has to wait, and for which there is
// never room, can be told to go all the same, and be cut off.
func TestBusyForEver(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		dial := func() *client {
			refused := make(chan struct{})
			var once sync.Once
			c := w.dial(func(e *ear) {
				e.message = func([]byte, bool) error {
					once.Do(func() { close(refused) })
					return hub.ErrBusy
				}
			})
			c.say("hello")
			<-refused
			return c
		}
		ann := dial()
		ann.ear.Close(errors.New("enough"))
		ann.told(ws.GoingAway)
		ann.bye()
		ann.ear.ended()
		bob := dial()
		bob.ear.kill()
		if cause := bob.ear.ended(); cause != ErrLost {
			w.Errorf("the cause is %v, want ErrLost", cause)
		}
	})
}

// TestBehindBeforeTheSocket: a connection that has no socket yet, and holds what
// others need, gives it up like any other.
func TestBehindBeforeTheSocket(t *testing.T) {
	eachWay(t, Config{}, hub.Config{Backlog: 64 << 10, Memory: 128 << 10}, func(w *world) {
		ann, served := w.pair()
		ann.ear = w.newEar()
		w.publish(make([]byte, 40<<10))
		bob := w.dial(func(e *ear) {
			e.Member.Unsubscribe(everyone[0])
			e.Member.Subscribe(hub.Topic{App: "test", Name: "aside"})
		})
		text := strings.Repeat("x", 30<<10)
		deadline := time.After(patience)
		for published := false; !published; {
			retry := w.hub.Retry()
			p := hub.Publication{Topics: []hub.Topic{{App: "test", Name: "aside"}}, Frame: ws.AppendFrame(nil, ws.Text, []byte(text))}
			if published = w.hub.Publish(p) == nil; !published {
				select {
				case <-retry:
				case <-deadline:
					w.transport.Abandon(&ann.ear.Conn)
					w.Fatal("it does not give it up")
				}
			}
		}
		bob.hears(text)
		w.transport.Serve(&ann.ear.Conn, w.wrap(served), nil)
		ann.told(ws.TryAgainLater)
		ann.bye()
		if cause := ann.ear.ended(); !errors.Is(cause, hub.ErrBehind) {
			w.Errorf("the cause is %v", cause)
		}
	})
}

// publish says something to everyone, as soon as there is room for it.
func (w *world) publish(frame []byte) {
	w.Helper()
	for {
		retry := w.hub.Retry()
		switch err := w.hub.Publish(hub.Publication{Topics: everyone, Frame: frame}); err {
		case nil:
			return
		case hub.ErrBusy:
			<-retry
		default:
			w.Fatal(err)
		}
	}
}

// TestSlowReaderIsTold: a client that does not read is closed and told why; one that keeps up misses nothing.
func TestSlowReaderIsTold(t *testing.T) {
	eachWay(t, Config{}, hub.Config{Backlog: 1 << 20}, func(w *world) {
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
	eachWay(t, Config{}, hub.Config{Backlog: 256 << 10, Skipped: notice}, func(w *world) {
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

// TestAsksMoreThanItReads: a client that causes answers and does not read them
// is not read either.
func TestAsksMoreThanItReads(t *testing.T) {
	answer := func(e *ear) {
		e.message = func(data []byte, _ bool) error { return e.Member.Post(ws.AppendFrame(nil, ws.Text, data)) }
	}
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann := w.dial(answer)
		questions := bytes.Repeat(masked(ws.Text, strings.Repeat("q", 125)), 1000)
		var sent atomic.Int64
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					ann.bye()
					return
				default:
					ann.send(questions)
					sent.Add(1000)
				}
			}
		}()
		for before := int64(-1); sent.Load() > before; time.Sleep(200 * time.Millisecond) {
			if before = sent.Load(); before > 500_000 {
				w.Fatal("the server reads on and on")
			}
		}
		if ann.ear.closing() {
			w.Fatal("the client was closed, not slowed down")
		}
		close(stop) // Reading lets it go on: every question has its answer.
		answers := int64(0)
		for {
			m, err := ann.next()
			if err != nil || m.Op == ws.CloseFrame {
				break
			}
			answers++
		}
		if <-stopped; answers != sent.Load() {
			w.Errorf("%d answers to %d questions", answers, sent.Load())
		}
		ann.ear.ended()
	})
}

// TestFirehose: one who publishes as fast as it can does not keep two others from talking.
func TestFirehose(t *testing.T) {
	aside := []hub.Topic{{App: "test", Name: "aside"}}
	say := func(e *ear) {
		e.message = func(data []byte, _ bool) error {
			return e.world.hub.Publish(hub.Publication{From: &e.Member, Topics: aside, Frame: ws.AppendFrame(nil, ws.Text, data)})
		}
	}
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
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
			c.ear.Member.Unsubscribe(everyone[0])
			c.ear.Member.Subscribe(aside[0])
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
