package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"crier/ws"
)

func TestComesBack(t *testing.T) {
	codes := map[websocket.StatusCode]bool{
		1001: true, 1011: true, 1012: true, 1013: true, 1014: true,
		1000: false, 1002: false, 1003: false, 1007: false, 1008: false, 1009: false, 1010: false, 3000: false, 4000: false,
	}
	for code, back := range codes {
		url := someServer(t, func(_ *http.Request, c *websocket.Conn) { c.Close(code, "because") })
		p := join(t, url, Options{})
		want := map[bool]State{true: Waiting, false: Closed}[back]
		p.until("it ends", func() bool { return len(p.states) > 1 })
		if s := p.nth(1); s.State != want || !errors.Is(s.Ended, ws.Close{Code: uint16(code), Reason: "because"}) {
			t.Errorf("after %d it is %v", code, s)
		}
		p.Close()
	}
	for status, back := range map[int]bool{400: false, 403: false, 404: false, 408: true, 429: true, 500: true, 503: true, 200: false} {
		if got := ComesBack(fmt.Errorf("no: %w", &Refused{Status: status})); got != back {
			t.Errorf("after %d it comes back: %v", status, got)
		}
	}
	if !ComesBack(&lost{errors.New("reset")}) || !ComesBack(errNoAnswer) {
		t.Error("it does not come back when the network is gone")
	}
}

func TestComeBackDecides(t *testing.T) {
	home := openHome(t)
	home.stop()
	asked := 0
	c, err := Connect(context.Background(), home.url(), Options{
		Retry:    [2]time.Duration{1, 1},
		ComeBack: func(error) bool { asked++; return asked < 3 },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range c.Messages() {
	}
	if asked != 3 || c.Status().State != Closed || c.Status().Ended == nil {
		t.Errorf("asked %d times, it is %v", asked, c.Status())
	}
	c.Close()
}

// TestWaits: they are random, grow, and have an end.
func TestWaits(t *testing.T) { synctest.Test(t, testWaits) }

func testWaits(t *testing.T) {
	nowhere := openMemory(t)
	nowhere.close()
	const first, longest = 2 * time.Millisecond, 32 * time.Millisecond
	waits := make(chan time.Duration, 1000)
	c, err := Connect(t.Context(), nearby, Options{dial: nowhere.dial, Retry: [2]time.Duration{first, longest}, State: func(_ *Client, s Status) {
		if s.State == Waiting {
			waits <- time.Until(s.Retry)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	most := time.Duration(0)
	for i := range 60 {
		wait := <-waits
		if most = max(most, wait); wait > min(first<<i, longest) && i < 10 || wait > longest {
			t.Errorf("wait %d is %v", i, wait)
		}
	}
	if most < longest/2 {
		t.Errorf("the longest wait is %v", most)
	}
}

// TestGoodConnection: after one that lasted, the back-off begins anew.
func TestGoodConnection(t *testing.T) { synctest.Test(t, testGoodConnection) }

func testGoodConnection(t *testing.T) {
	var tries atomic.Int32
	network := serveInMemory(t, func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) < 9 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if c, err := websocket.Accept(w, r, nil); err == nil {
			time.Sleep(stable + 50*time.Millisecond)
			c.Close(websocket.StatusGoingAway, "")
		}
	})
	const first = 2 * time.Millisecond
	waits := make(chan time.Duration, 1)
	met := false
	c, err := Connect(t.Context(), nearby, Options{dial: network, Retry: [2]time.Duration{first, time.Minute}, State: func(_ *Client, s Status) {
		switch {
		case s.State == Open:
			met = true
		case s.State == Waiting && met:
			waits <- time.Until(s.Retry)
			met = false
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if wait := <-waits; wait > first {
		t.Errorf("it waits %v", wait)
	}
	c.Close()
}

// TestReconnect: a program may ask for another connection.
func TestReconnect(t *testing.T) {
	home := openHome(t)
	p := join(t, home.url(), Options{Retry: [2]time.Duration{time.Hour, time.Hour}})
	p.becomes(Open)
	p.Reconnect()
	p.until("it is back", func() bool { return len(p.states) == 3 && p.states[2].State == Open })
	if s := p.nth(1); s.State != Connecting || s.Ended != errAgain {
		t.Errorf("it was %v", s)
	}
	if f := fate(t, p.Send("hi")); f != Confirmed {
		t.Errorf("its fate is %v", f)
	}
	p.Close()
	p.Reconnect() // once more does no harm
}
