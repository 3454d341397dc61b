package client

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestQueue(t *testing.T) {
	home := openHome(t)
	home.stop()
	p := join(t, home.url(), Options{Queue: 3})
	var fates []<-chan Fate
	for _, text := range []string{"a", "b", "c", "d", "e"} {
		fates = append(fates, p.Send(text))
	}
	p.becomes(Waiting)
	if p.Pending() != 3 || len(p.drops) != 0 {
		t.Errorf("%d are pending, %d were taken and dropped", p.Pending(), len(p.drops))
	}
	if s := p.Status(); s.Ended == nil || s.Retry.IsZero() {
		t.Errorf("it is %v", s)
	}
	home.start()
	for i, want := range []Fate{Confirmed, Confirmed, Confirmed, Dropped, Dropped} {
		if f := fate(t, fates[i]); f != want {
			t.Errorf("the fate of %d is %v, want %v", i, f, want)
		}
	}
	if f := fate(t, p.Send("\xff")); f != Dropped {
		t.Errorf("no UTF-8: %v", f)
	}
	large := strings.Repeat("x", mostBytes/2+1)
	home.stop()
	p.becomes(Waiting)
	kept, refused := p.Send(large), p.Send(large)
	if f := fate(t, refused); f != Dropped {
		t.Errorf("too much: %v", f)
	}
	p.Close()
	if f := fate(t, kept); f != Dropped {
		t.Errorf("at the end: %v", f)
	}
}

func TestNoQueue(t *testing.T) {
	home := openHome(t)
	home.stop()
	p := join(t, home.url(), Options{Queue: -1})
	if f := fate(t, p.Send("too early")); f != Dropped {
		t.Errorf("without a connection: %v", f)
	}
	home.start()
	p.becomes(Open)
	var fates []<-chan Fate
	for range 1000 {
		fates = append(fates, p.Send("now"))
	}
	for _, f := range fates {
		if f := fate(t, f); f != Confirmed {
			t.Fatalf("with one: %v", f)
		}
	}
}

// TestInFlight: so many are handed over, then some have to come back first.
func TestInFlight(t *testing.T) {
	o := outbox{capacity: inFlight + 10}
	for range inFlight + 10 {
		o.put(&message{data: []byte("x"), fate: make(chan Fate, 1)}, false)
	}
	handOver := func() {
		for len(o.next(nil, true)) > 0 {
			o.handed()
		}
	}
	handOver()
	if o.sent != inFlight {
		t.Errorf("%d were handed over", o.sent)
	}
	o.confirm()
	handOver()
	if o.sent != inFlight || len(o.kept) != inFlight+9 {
		t.Errorf("%d were handed over, of %d", o.sent, len(o.kept))
	}
}

// TestDropThatSends: who says again whatever is dropped does not go round in circles.
func TestDropThatSends(t *testing.T) {
	home := openHome(t)
	home.stop()
	told := 0
	c, err := Connect(t.Context(), home.url(), Options{Queue: 2, Drop: func(c *Client, d Drop) {
		told++
		if f := <-c.Send(string(d.Data)); f != Dropped {
			t.Errorf("then its fate is %v", f)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	fates := []<-chan Fate{c.Send("a"), c.Send("b"), c.Send("c")}
	c.Close()
	for _, f := range fates {
		if f := fate(t, f); f != Dropped {
			t.Errorf("its fate is %v", f)
		}
	}
	if told != 2 {
		t.Errorf("%d were told", told)
	}
}

// TestSkipped: what the server skipped leaves one's own in doubt.
func TestSkipped(t *testing.T) {
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		for {
			_, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			answer := fmt.Sprintf(`{"data":%s,"_now":1,"_me":true}`, data)
			if string(data) == "skip" {
				answer = `{"_skipped":2,"_now":1}`
			}
			c.Write(r.Context(), websocket.MessageText, []byte(answer))
		}
	})
	p := join(t, url, Options{})
	if f := fate(t, p.Send("1")); f != Confirmed {
		t.Errorf("before: %v", f)
	}
	if f := fate(t, p.Send("skip")); f != Unsure {
		t.Errorf("skipped: %v", f)
	}
	p.until("it is told", func() bool { return len(p.drops) == 1 && p.drops[0].Why == "skipped" })
	if f := fate(t, p.Send("3")); f != Sent { // it can no longer count
		t.Errorf("after: %v", f)
	}
}

// TestFakedSkip: what somebody says is no word of the server.
func TestFakedSkip(t *testing.T) {
	home := openHome(t)
	ann, bob := join(t, home.url(), Options{}), join(t, home.url(), Options{})
	ann.becomes(Open)
	fate(t, bob.Send(`{"_skipped":5}`))
	ann.hears(0)
	for range 2 {
		if f := fate(t, ann.Send("hi")); f != Confirmed {
			t.Errorf("its fate is %v", f)
		}
	}
}

// TestSpelled: one's own copy is known however the sender spelled the stamp's name, and also when it is not delivered.
func TestSpelled(t *testing.T) {
	home := openHome(t)
	for _, once := range []bool{false, true} {
		ann := join(t, home.url(), Options{Once: once})
		bob := join(t, home.url(), Options{})
		ann.becomes(Open)
		bob.becomes(Open)
		texts := []string{`{"n":1,"_me": false}`, `{"\u005fme":false,"n":2}`, `{"_beat":true,"n":3}`, `{"n":4,"x":true}`}
		for _, text := range texts {
			if f := fate(t, ann.Send(text)); f != Confirmed {
				t.Errorf("%s: %v", text, f)
			}
		}
		if own := ann.own(); ann.Pending() != 0 || !slices.Equal(own, []int{1, 2, 4}) {
			t.Errorf("%d are pending, its own are %v", ann.Pending(), own)
		}
		bob.until("the last", func() bool { return len(bob.heard) == 3 })
		ann.Close()
		bob.Close()
	}
}

// TestBeats are not delivered, unless it may be any server.
func TestBeats(t *testing.T) {
	home := openHome(t)
	for want, o := range map[int]Options{0: {}, 1: {Confirm: Never}} {
		p, other := join(t, home.url(), o), join(t, home.url(), Options{NoEcho: true})
		p.becomes(Open)
		other.becomes(Open)
		fate(t, p.Send(`{"_beat":true}`))
		fate(t, p.Send("last"))
		p.until("the last", func() bool { return len(p.heard) == want+1 })
		other.until("the last", func() bool { return len(other.heard) == 1 })
		p.Close()
		other.Close()
	}
}

// TestFailed: API Gateway says so when a function failed.
func TestFailed(t *testing.T) {
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		for n := 0; ; n++ {
			_, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			answer := fmt.Sprintf(`{"data":"%s","_now":1,"_me":true}`, data)
			if n == 0 {
				answer = `{"message": "Internal server error", "connectionId":"x", "requestId":"y"}`
			}
			c.Write(r.Context(), websocket.MessageText, []byte(answer))
		}
	})
	p := join(t, url, Options{})
	first, second := p.Send("one"), p.Send("two")
	if a, b := fate(t, first), fate(t, second); a != Unsure || b != Confirmed {
		t.Errorf("their fates are %v and %v", a, b)
	}
	p.until("it is told", func() bool { return len(p.drops) == 1 && p.drops[0].Why == "failed" })
}

// TestMessageThatStaysAway is told of; so is what that makes one say.
func TestMessageThatStaysAway(t *testing.T) { synctest.Test(t, testMessageThatStaysAway) }

func testMessageThatStaysAway(t *testing.T) {
	again := make(chan (<-chan Fate), 1)
	c, err := Connect(context.Background(), nearby, Options{dial: talkInMemory(t, forget), Retry: [2]time.Duration{1, 1}, Drop: func(c *Client, d Drop) {
		if d.Why == "lost" && string(d.Data) == "a" {
			again <- c.Send("b")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if f := fate(t, c.Send("a")); f != Unsure {
		t.Errorf("its fate is %v", f)
	}
	second := <-again
	c.Close()
	if f := fate(t, second); f == Confirmed {
		t.Errorf("the second's fate is %v", f)
	}
}

// TestStaysAway: a message that does not come back is given up, whatever else is heard; with once it is said again.
func TestStaysAway(t *testing.T) {
	for once, want := range map[bool]Fate{false: Unsure, true: Confirmed} {
		t.Run(fmt.Sprint("once=", once), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testStaysAway(t, once, want) })
		})
	}
}

func testStaysAway(t *testing.T, once bool, want Fate) {
	var heard atomic.Int32
	network := talkInMemory(t, func(r *http.Request, c *websocket.Conn) {
		ctx, stop := context.WithCancel(r.Context())
		var speaking sync.WaitGroup
		defer speaking.Wait()
		defer stop()
		speaking.Go(func() {
			for ctx.Err() == nil {
				c.Write(ctx, websocket.MessageText, []byte(`{"_now":1,"_me":false}`))
				time.Sleep(5 * time.Millisecond)
			}
		})
		for {
			_, data, err := c.Read(ctx)
			if err != nil {
				return
			}
			if heard.Add(1) > 1 {
				c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `%s,"_now":1,"_me":true}`, data[:len(data)-1]))
			}
		}
	})
	p := join(t, nearby, Options{dial: network, Once: once, Timeout: 50 * time.Millisecond})
	if f := fate(t, p.Send(`{}`)); f != want {
		t.Errorf("its fate is %v, want %v", f, want)
	}
	synctest.Wait() // fates are told before the status
	if ended := p.Status().Ended; ended != errNoAnswer {
		t.Errorf("it ended with %v, want %v", ended, errNoAnswer)
	}
}
