package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// TestMessages: they come in order, and end behind the last.
func TestMessages(t *testing.T) {
	home := openHome(t)
	c, err := Connect(context.Background(), home.url(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var fates []<-chan Fate
	for n := range 100 {
		fates = append(fates, c.Send(fmt.Sprintf(`{"n":%d}`, n))) // before there is a connection
	}
	n := 0
	for m := range c.Messages() {
		if !strings.HasPrefix(string(m.Data), fmt.Sprintf(`{"n":%d,`, n)) || !m.Mine {
			t.Fatalf("message %d is %s", n, m.Data)
		}
		if n++; n == 50 {
			break
		}
	}
	c.Close()
	for i, f := range fates {
		if f := fate(t, f); f != Confirmed {
			t.Errorf("the fate of %d is %v", i, f)
		}
	}
	c.Close() // once more does no harm
	for range c.Messages() {
		n++
	}
	if n > 100 {
		t.Errorf("heard %d", n)
	}
	if s := c.Status(); s.State != Closed || s.Ended != errGoodbye {
		t.Errorf("it is %v", s)
	}
	if f := fate(t, c.Send("too late")); f != Dropped {
		t.Errorf("after the end: %v", f)
	}
}

// TestMessageAndMessages: who is told has nothing to take.
func TestMessageAndMessages(t *testing.T) {
	home := openHome(t)
	p := join(t, home.url(), Options{})
	if f := fate(t, p.Send("hi")); f != Confirmed {
		t.Errorf("its fate is %v", f)
	}
	p.Close()
	for m := range p.Messages() {
		t.Errorf("yields %s", m.Data)
	}
}

// TestWhoDoesNotListen is not taken for a dead network, however long it takes, and misses nothing.
func TestWhoDoesNotListen(t *testing.T) { synctest.Test(t, testWhoDoesNotListen) }

func testWhoDoesNotListen(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
	defer cancel()
	states := make(chan Status, 100)
	c := saysMore(ctx, t, Options{State: func(_ *Client, s Status) { states <- s }})
	if s := <-states; s.State != Open {
		t.Fatalf("it is %v", s)
	}
	time.Sleep(time.Hour)
	n := 0
	for range c.Messages() {
		if n++; n == ahead+10 {
			break
		}
	}
	if len(states) > 0 || n != ahead+10 {
		t.Errorf("it heard %d of %d messages, and becomes %v", n, ahead+10, c.Status())
	}
	c.Close()
}

// TestWhoDoesNotListenLeaves: what nobody hears keeps nobody from leaving.
func TestWhoDoesNotListenLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := saysMore(t.Context(), t, Options{})
		n := 0
		for range c.Messages() {
			if n++; n == 5 {
				break
			}
		}
		c.Close()
	})
}

// saysMore returns a client that has said more than is read ahead, to a server that says it again.
func saysMore(ctx context.Context, t *testing.T, o Options) *Client {
	o.Queue = 2 * ahead
	o.dial = talkInMemory(t, func(r *http.Request, c *websocket.Conn) {
		for {
			_, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			c.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, `{"data":"%s","_now":1,"_me":true}`, data))
		}
	})
	c, err := Connect(ctx, nearby, o)
	if err != nil {
		t.Fatal(err)
	}
	for range ahead + 10 {
		c.Send("hello")
	}
	return c
}

// TestUnheard: while nobody takes what is heard, few bytes wait, and nothing is lost.
func TestUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{inbox: make(chan Message, ahead), room: make(chan struct{}, 1)}
		c.leaving, c.leave = context.WithCancel(t.Context())
		const size, sent = 1 << 20, 100
		go func() {
			for range sent {
				c.deliver(Message{Data: make([]byte, size)})
			}
			close(c.inbox)
		}()
		synctest.Wait()
		if got := len(c.inbox) * size; got > aheadBytes+size {
			t.Errorf("%d bytes wait, want at most %d and one message", got, aheadBytes)
		}
		heard := 0
		for range c.Messages() {
			heard++
		}
		if heard != sent {
			t.Errorf("%d of %d messages are heard", heard, sent)
		}
	})
}

// TestUnheardWhenLeaving: who leaves is not held up by what nobody hears.
func TestUnheardWhenLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{inbox: make(chan Message, ahead), room: make(chan struct{}, 1)}
		c.leaving, c.leave = context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			for range 100 {
				c.deliver(Message{Data: make([]byte, 1<<20)})
			}
		}()
		synctest.Wait()
		c.leave()
		<-over
	})
}
