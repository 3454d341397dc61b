package transport

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"crier/hub"
	"crier/ws"
)

func TestClientCloses(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann := w.dial()
		ann.send(append(ws.AppendMaskedClose(nil, [4]byte{}, ws.Close{Code: 4001, Reason: "enough"}), "what follows is no frame"...))
		ann.told(4001)
		var bye Goodbye
		if cause := ann.ear.ended(); !errors.As(cause, &bye) || bye.Code != 4001 || bye.Reason != "enough" {
			w.Errorf("the cause is %v", cause)
		}
	})
}

// TestAnswersBeforeGoodbye: a client that says something and leaves gets its
// answers first.
func TestAnswersBeforeGoodbye(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann := w.dial()
		ann.send(append(masked(ws.Text, "hello"), ws.AppendMaskedClose(nil, [4]byte{}, ws.Close{Code: 4001})...))
		ann.hears("hello")
		ann.told(4001)
		if _, ok := ann.ear.ended().(Goodbye); !ok {
			w.Error("the cause is no goodbye")
		}
	})
}

// TestLastWords: so does one whose answers the receiver has yet to give, also if
// it leaves by breaking a rule.
func TestLastWords(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		leaves := make(chan error, 1)
		patient := func(e *ear) {
			e.leaving = func(cause error) bool { leaves <- cause; return true }
		}
		for want, last := range map[uint16]string{
			4001:             string(ws.AppendMaskedClose(nil, [4]byte{}, ws.Close{Code: 4001})) + "what follows is no frame",
			ws.ProtocolError: "\xff\xff" + strings.Repeat("what follows is ignored", 10_000),
		} {
			ann := w.dial(patient)
			ann.send([]byte(last))
			ann.CloseWrite()
			why := <-leaves
			ann.ear.Member.Post(ws.AppendFrame(nil, ws.Text, []byte("an answer")))
			ann.hears("an answer")
			ann.ear.Member.Post(ws.AppendFrame(nil, ws.Text, []byte("another")))
			ann.ear.Close(why)
			ann.hears("another")
			ann.told(want)
			ann.Close()
			if cause := ann.ear.ended(); cause != why {
				w.Errorf("the cause is %v, want %v", cause, why)
			}
		}

		ben := w.dial(patient)
		ben.bye()
		why := <-leaves
		ben.SetLinger(0)
		ben.Close()
		ben.ear.Close(why)
		ben.ear.ended()

		carl := w.dial(patient)
		carl.bye()
		<-leaves
		carl.ear.kill()
		if cause := carl.ear.ended(); cause != ErrLost {
			w.Errorf("the cause is %v", cause)
		}
	})
}

func TestServerCloses(t *testing.T) {
	enough := errors.New("enough")
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann := w.dial()
		ann.ear.Member.Post(ws.AppendFrame(nil, ws.Text, []byte("last words")))
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
	eachWay(t, Config{Close: 10 * time.Millisecond}, hub.Config{}, func(w *world) {
		ann := w.dial()
		ann.ear.Close(errors.New("enough"))
		ann.ear.ended()
	})
}

func TestFaults(t *testing.T) {
	eachWay(t, Config{MaxMessage: 1000}, hub.Config{}, func(w *world) {
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
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
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
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann := w.dial(func(e *ear) { e.message = func([]byte, bool) error { return ErrFlooded } })
		ann.say("x")
		ann.told(ws.GoingAway)
		ann.Close()
		if cause := ann.ear.ended(); cause != ErrFlooded {
			w.Errorf("the cause is %v", cause)
		}
	})
}

func TestPingAndSilence(t *testing.T) {
	eachWay(t, Config{Ping: 150 * time.Millisecond, Close: time.Millisecond}, hub.Config{}, func(w *world) {
		ann, mute := w.dial(), w.dial()
		for range 3 {
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
	eachWay(t, Config{Idle: 50 * time.Millisecond, Ping: 10 * time.Millisecond}, hub.Config{}, func(w *world) {
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
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
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
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
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
	eachWay(t, Config{Close: time.Hour}, hub.Config{}, func(w *world) {
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

func TestAbandon(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
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
