package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRestarts: a server that restarts loses nothing and doubles nothing.
func TestRestarts(t *testing.T) {
	home := openHome(t)
	ann, bob := join(t, home.url(), Options{}), join(t, home.url(), Options{})
	ann.becomes(Open)
	bob.becomes(Open)
	talk := ann.talks()
	for range 4 {
		ann.hears(300)
		home.stop()
		ann.until("it notices", func() bool { return ann.states[len(ann.states)-1].State != Open })
		home.start()
		ann.becomes(Open)
	}
	all, by := talk.stop(t)
	if len(by[Confirmed]) != len(all) {
		t.Errorf("of %d confirmed %d, unsure %d, dropped %d", len(all), len(by[Confirmed]), len(by[Unsure]), len(by[Dropped]))
	}
	if !slices.Equal(ann.numbers(), all) {
		t.Errorf("of %d it heard %d", len(all), len(ann.numbers()))
	}
	if heard := bob.numbers(); !once(heard) || !slices.IsSorted(heard) { // what was said while bob was away he has missed
		t.Errorf("bob heard %v", heard)
	}
}

// TestCut: of a connection that is cut what is in doubt is told, and nothing doubled.
func TestCut(t *testing.T) {
	home := openHome(t)
	network := openNetwork(t, home)
	ann, witness := join(t, network.url(), Options{}), join(t, home.url(), Options{})
	ann.becomes(Open)
	witness.becomes(Open)
	talk := ann.talks()
	for range 4 {
		witness.hears(300)
		changes := ann.changes()
		network.cut()
		ann.until("it notices", func() bool { return len(ann.states) > changes }) // and it may be back by now
		ann.becomes(Open)
	}
	all, by := talk.stop(t)
	// What the home still had of a connection that was cut it may publish when she is back: then it is another's to her.
	if own := ann.own(); !slices.Equal(own, by[Confirmed]) {
		t.Errorf("confirmed are %d, of its own it heard %d", len(by[Confirmed]), len(own))
	}
	if len(by[Confirmed])+len(by[Unsure]) != len(all) {
		t.Errorf("of %d: %v", len(all), counts(by))
	}
	var told []int
	for _, d := range ann.drops {
		var v struct{ N int }
		json.Unmarshal(d.Data, &v)
		told = append(told, v.N)
	}
	if !slices.Equal(told, by[Unsure]) {
		t.Errorf("it told of %v, unsure are %v", told, by[Unsure])
	}
	if heard := witness.numbers(); !once(heard) {
		t.Error("something was heard twice")
	}
}

// TestCutWhileItWrites: what was not handed to the connection is kept for the next.
func TestCutWhileItWrites(t *testing.T) {
	home := openHome(t)
	network := openNetwork(t, home)
	const messages, size = 1100, 15_000 // so that those that may be on the way at once are more than the sockets take
	p := join(t, network.url(), Options{Timeout: patience, Queue: messages})
	p.becomes(Open)
	network.freeze()
	var fates []<-chan Fate
	for range messages {
		fates = append(fates, p.Send(strings.Repeat("x", size)))
	}
	eventually(t, "it is stuck", func() bool {
		p.Client.mu.Lock()
		defer p.Client.mu.Unlock()
		return !p.writing.IsZero() && time.Since(p.writing) > 50*time.Millisecond
	})
	network.cut()
	by := make(map[Fate][]int)
	for i, f := range fates {
		f := fate(t, f)
		by[f] = append(by[f], i)
	}
	if len(by[Unsure])+len(by[Confirmed]) != messages || len(by[Confirmed]) < 100 {
		t.Errorf("of %d: %v", messages, counts(by))
	}
}

func counts(by map[Fate][]int) string {
	var b strings.Builder
	for _, f := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(&b, "%d %v ", len(by[f]), f)
	}
	return b.String()
}

// TestNetworkStops: with once all is heard once, without what is in doubt is told.
func TestNetworkStops(t *testing.T) {
	for _, mode := range []struct{ once, late bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
		t.Run(fmt.Sprintf("once=%v,late=%v", mode.once, mode.late), func(t *testing.T) {
			t.Parallel() // each waits for its time-outs, with real sockets
			home := openHome(t)
			network := openNetwork(t, home)
			ann, witness := join(t, network.url(), Options{Once: mode.once}), join(t, home.url(), Options{Once: mode.once})
			ann.becomes(Open)
			witness.becomes(Open)
			talk := ann.talks()
			for range 3 {
				witness.hears(200)
				network.freeze()
				ann.becomes(Waiting)
				network.thaw(mode.late)
				ann.becomes(Open)
				witness.hears(100)
			}
			all, by := talk.stop(t)
			fate(t, witness.Send(`{"last":true}`))
			heard := witness.numbers()
			if !once(heard) {
				t.Error("something was heard twice")
			}
			if mode.once {
				if len(by[Confirmed]) != len(all) || !slices.Equal(heard, all) {
					t.Errorf("of %d: %v; heard were %d", len(all), counts(by), len(heard))
				}
				return
			}
			if len(by[Confirmed])+len(by[Unsure]) != len(all) {
				t.Errorf("of %d: %v", len(all), counts(by))
			}
			for _, n := range by[Confirmed] {
				if !slices.Contains(heard, n) {
					t.Errorf("%d is confirmed and was not heard", n)
				}
			}
		})
	}
}

// TestSilence: who only listens finds out that a connection is dead, and stays where it is alive.
func TestSilence(t *testing.T) {
	home := openHome(t)
	network := openNetwork(t, home)
	p := join(t, network.url(), Options{Heartbeat: 20 * time.Millisecond, Timeout: 200 * time.Millisecond})
	fine := join(t, home.url(), Options{Heartbeat: 20 * time.Millisecond, Timeout: patience})
	p.becomes(Open)
	fine.becomes(Open)
	network.freeze()
	p.becomes(Waiting)
	if ended := p.nth(1).Ended; ended != errNoAnswer {
		t.Errorf("it ended with %v", ended)
	}
	network.thaw(false)
	p.becomes(Open)
	if len(fine.states) != 1 || len(fine.heard)+len(p.heard) != 0 {
		t.Errorf("the other was %v, and they heard %d", fine.states, len(fine.heard)+len(p.heard))
	}
}

func TestConnectionThatDoesNotOpen(t *testing.T) { synctest.Test(t, testConnectionThatDoesNotOpen) }

func testConnectionThatDoesNotOpen(t *testing.T) {
	thawed := make(chan struct{})
	p := join(t, nearby, Options{dial: serveInMemory(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-thawed:
			accept(w, r, forget)
		case <-r.Context().Done():
		}
	})})
	p.becomes(Waiting)
	if ended := p.nth(0).Ended; !errors.Is(ended, context.DeadlineExceeded) {
		t.Errorf("it ended with %v", ended)
	}
	close(thawed)
	p.becomes(Open)
}
