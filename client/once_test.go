package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"crier/ws"
)

// TestOnceAtTheEnd: what was on its way when it was closed is in doubt.
func TestOnceAtTheEnd(t *testing.T) { synctest.Test(t, testOnceAtTheEnd) }

func testOnceAtTheEnd(t *testing.T) {
	network, connected := talkInMemory(t, forget), false
	p := join(t, nearby, Options{Once: true, dial: func(ctx context.Context, _, address string) (net.Conn, error) {
		if connected {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		connected = true
		return network(ctx, "", address)
	}})
	p.becomes(Open)
	tried := p.Send("published or not")
	p.becomes(Waiting)
	waits := p.Send("never sent")
	p.Close()
	if tried, waits := fate(t, tried), fate(t, waits); tried != Unsure || waits != Dropped {
		t.Errorf("their fates are %v and %v", tried, waits)
	}
}

// TestOnceInDoubt: what was on its way once stays in doubt, whatever becomes of the next try.
func TestOnceInDoubt(t *testing.T) {
	var connections atomic.Int32
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		n := connections.Add(1)
		if c.Read(r.Context()); n > 1 {
			c.Close(websocket.StatusGoingAway, "the server is going away")
		}
	})
	p := join(t, url, Options{Once: true, ComeBack: func(ended error) bool {
		how, _ := errors.AsType[ws.Close](ended)
		return how.Code == ws.Abnormal
	}})
	if f := fate(t, p.Send("hi")); f != Unsure {
		t.Errorf("its fate is %v", f)
	}
}

// TestOnceIsTheSame: with once messages are what they are without, and an id.
func TestOnceIsTheSame(t *testing.T) {
	home := openHome(t)
	plain, named, witness := join(t, home.url(), Options{}), join(t, home.url(), Options{Once: true}), join(t, home.url(), Options{})
	for _, p := range []*person{plain, named, witness} {
		p.becomes(Open)
	}
	now := regexp.MustCompile(`"_now":\d+`)
	id := regexp.MustCompile(`,?"_id":"\w+-\d+"`)
	lone := regexp.MustCompile(`\{(\s*),`)
	for i, text := range []string{"hi", "", " ", `"quoted"`, "1.0", " 12 ", "true", "null", "{}", "{ }", " { \"a\" : 1.0 }\n",
		`{"a":12345678901234567890}`, "[]", `[1,{"b":2}]`, `{"_now":1,"_me":2}`, "{broken", "ü\u0000"} {
		for _, p := range []*person{plain, named} {
			if f := fate(t, p.Send(text)); f != Confirmed {
				t.Fatalf("%q: %v", text, f)
			}
		}
		witness.until("both", func() bool { return len(witness.heard) == 2*i+2 })
		want, got := witness.heard[2*i].Data, witness.heard[2*i+1].Data
		if !id.Match(got) {
			t.Errorf("%q has no id: %s", text, got)
		}
		got = id.ReplaceAll(got, nil)
		tidy := func(b []byte) string {
			return lone.ReplaceAllString(now.ReplaceAllString(string(b), `"_now":0`), "{$1")
		}
		if tidy(got) != tidy(want) {
			t.Errorf("%q: with once %s, without %s", text, got, want)
		}
	}
}

// TestOvertaken: with once nothing is lost or doubled where messages overtake each other, as on API Gateway.
func TestOvertaken(t *testing.T) {
	var mu sync.Mutex
	var there []*websocket.Conn
	var held []func()
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		mu.Lock()
		there = append(there, c)
		mu.Unlock()
		for {
			_, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			mu.Lock()
			held = append(held, func() {
				for _, other := range there {
					other.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, `%s,"_now":1,"_me":%v}`, data[:len(data)-1], other == c))
				}
			})
			if len(held) == 8 {
				for _, say := range slices.Backward(held) {
					say()
				}
				held = nil
			}
			mu.Unlock()
		}
	})
	ann, bob := join(t, url, Options{Once: true, Timeout: patience}), join(t, url, Options{Once: true})
	ann.becomes(Open)
	bob.becomes(Open)
	eventually(t, "both are there", func() bool { mu.Lock(); defer mu.Unlock(); return len(there) == 2 })
	var all []int
	for len(all) < 4000 {
		var fates []<-chan Fate
		for range 400 {
			all = append(all, len(all))
			fates = append(fates, ann.Send(fmt.Sprintf(`{"n":%d}`, len(all)-1)))
		}
		for _, f := range fates {
			if f := fate(t, f); f != Confirmed {
				t.Fatalf("the fate is %v", f)
			}
		}
	}
	for _, p := range []*person{ann, bob} {
		p.until("all", func() bool { return len(p.heard) >= len(all) })
		if heard := p.numbers(); slices.IsSorted(heard) || !slices.Equal(slices.Sorted(slices.Values(heard)), all) {
			t.Errorf("heard %v", heard)
		}
	}
}

// TestThief: who says one's own ids does not silence one.
func TestThief(t *testing.T) {
	home := openHome(t)
	ann, thief := join(t, home.url(), Options{Once: true}), join(t, home.url(), Options{})
	ann.becomes(Open)
	for range 2 {
		if f := fate(t, ann.Send("hi")); f != Confirmed {
			t.Errorf("its fate is %v", f)
		}
		fate(t, thief.Send(fmt.Sprintf(`{"_id":"%s-999999"}`, ann.name)))
	}
	ann.until("all", func() bool { return len(ann.heard) == 4 })
}

func TestIDs(t *testing.T) {
	s := newIDs()
	for i, c := range []struct {
		name  string
		count uint64
		first bool
	}{{"a", 1, true}, {"a", 1, false}, {"b", 1, true}, {"a", 3, true}, {"a", 2, true}, {"a", 2, false}, {"a", 4, true}, {"a", 4, false},
		{"c", 9000, true}, {"c", 809, true}, {"c", 808, false}, {"c", 809, false}, {"c", 8999, true}, {"c", 9001, true}, {"c", 809, false},
		{"c", 810, true}, {"c", 30000, true}, {"c", 9001, false}, {"c", 21809, true}, {"c", 29999, true}, {"c", 30000, false},
		{"d", 1<<64 - 1, true}, {"d", 1<<64 - 1, false}, {"d", 1<<64 - 2, true}, {"d", 7, false}, {"a", 5, true}} {
		if got := s.remember(c.name, c.count); got != c.first {
			t.Errorf("%d: %v", i, got)
		}
	}
	for i := range mostSenders - 1 { // b is forgotten, a spoke later
		s.remember(fmt.Sprint("n", i), 1)
	}
	if s.remember("a", 4) || !s.remember("b", 1) || len(s.last) != mostSenders || s.recent.Len() != mostSenders {
		t.Errorf("%d are remembered", len(s.last))
	}
	for id, want := range map[string]bool{"a-1": true, "aB_9-999999999999999": true, "a-1000000000000000": false, "a": false, "-1": false, "a-": false, "a--1": false, "a b-1": false, "a-1.0": false, "a-18446744073709551615": false} {
		if _, _, ok := parseID(id); ok != want {
			t.Errorf("%q: %v", id, ok)
		}
	}
}
