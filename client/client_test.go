package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"crier/ws"
)

func TestWhatOneSaysAllHear(t *testing.T) {
	home := openHome(t)
	ann, bob := join(t, home.url(), Options{Topics: []string{"talk"}}), join(t, "http"+strings.TrimPrefix(home.url(), "ws")+"/?topic=talk", Options{})
	ann.becomes(Open)
	bob.becomes(Open)
	if f := fate(t, ann.Send("hi there")); f != Confirmed {
		t.Errorf("its fate is %v", f)
	}
	if f := fate(t, ann.SendBinary([]byte{0, 255, 1})); f != Sent {
		t.Errorf("the binary message's fate is %v", f)
	}
	for name, p := range map[string]*person{"true": ann, "false": bob} {
		p.until("two messages", func() bool { return len(p.heard) == 2 })
		if m := p.heard[0]; !regexp.MustCompile(`^\{"data":"hi there","_now":\d+,"_me":`+name+`\}$`).Match(m.Data) || m.Mine != (p == ann) || m.Binary {
			t.Errorf("heard %s, %v", m.Data, m)
		}
		if m := p.heard[1]; string(m.Data) != "\x00\xff\x01" || m.Mine || !m.Binary {
			t.Errorf("heard %v", m)
		}
	}
	if n := ann.Pending(); n != 0 {
		t.Errorf("%d messages are pending", n)
	}
}

func TestTopicsAndNoEcho(t *testing.T) {
	home := openHome(t)
	quiet := join(t, home.url(), Options{Topics: []string{"a", "b"}, NoEcho: true})
	a, b := join(t, home.url(), Options{Topics: []string{"a"}}), join(t, home.url(), Options{Topics: []string{"b"}})
	for _, p := range []*person{quiet, a, b} {
		p.becomes(Open)
	}
	if f := fate(t, quiet.Send(`{"n":1}`)); f != Sent {
		t.Errorf("its fate is %v", f)
	}
	a.until("a message", func() bool { return len(a.heard) == 1 })
	b.until("a message", func() bool { return len(b.heard) == 1 })
	if f := fate(t, a.Send(`{"n":2}`)); f != Confirmed {
		t.Errorf("its fate is %v", f)
	}
	a.until("its own", func() bool { return len(a.heard) == 2 })
	if q, a, b := quiet.numbers(), a.numbers(), b.numbers(); !slices.Equal(a, []int{1, 2}) || !slices.Equal(b, []int{1}) || len(q) > 1 {
		t.Errorf("heard %v, %v, %v", q, a, b)
	}
}

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

// TestWhoDoesNotListen is not taken for a dead network, however long it takes, and can leave.
func TestWhoDoesNotListen(t *testing.T) {
	home := openHome(t)
	states := make(chan Status, 100)
	c, err := Connect(context.Background(), home.url(), Options{Timeout: 40 * time.Millisecond, Queue: 2 * ahead, State: func(_ *Client, s Status) { states <- s }})
	if err != nil {
		t.Fatal(err)
	}
	for range ahead + 10 {
		c.Send("hello")
	}
	if s := <-states; s.State != Open {
		t.Fatalf("it is %v", s)
	}
	select {
	case s := <-states:
		t.Errorf("it becomes %v", s)
	case <-time.After(500 * time.Millisecond): // many times the time-out
	}
	n := 0
	for range c.Messages() {
		if n++; n == 5 {
			break
		}
	}
	c.Close()
}

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
		network.cut()
		ann.until("it notices", func() bool { return ann.states[len(ann.states)-1].State != Open })
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

// TestOnceAtTheEnd: what was on its way when it was closed is in doubt.
func TestOnceAtTheEnd(t *testing.T) {
	home := openHome(t)
	network := openNetwork(t, home)
	p := join(t, network.url(), Options{Once: true})
	p.becomes(Open)
	network.freeze()
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

func TestConnectionThatDoesNotOpen(t *testing.T) {
	home := openHome(t)
	network := openNetwork(t, home)
	network.freeze()
	p := join(t, network.url(), Options{})
	p.becomes(Waiting)
	if ended := p.nth(0).Ended; !errors.Is(ended, context.DeadlineExceeded) {
		t.Errorf("it ended with %v", ended)
	}
	network.thaw(false)
	p.becomes(Open)
}

// someServer is one whose connections are handled by talk.
func someServer(t *testing.T, talk func(*http.Request, *websocket.Conn)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v2"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		talk(r, c)
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

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
func TestWaits(t *testing.T) {
	home := openHome(t)
	home.stop()
	const first, longest = 2 * time.Millisecond, 32 * time.Millisecond
	waits := make(chan time.Duration, 1000)
	c, err := Connect(t.Context(), home.url(), Options{Retry: [2]time.Duration{first, longest}, State: func(_ *Client, s Status) {
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
func TestGoodConnection(t *testing.T) {
	t.Parallel() // it takes its time
	var tries atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) < 9 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if c, err := websocket.Accept(w, r, nil); err == nil {
			time.Sleep(stable + 50*time.Millisecond)
			c.Close(websocket.StatusGoingAway, "")
		}
	}))
	defer s.Close()
	const first = 2 * time.Millisecond
	waits := make(chan time.Duration, 1)
	met := false
	c, err := Connect(t.Context(), s.URL, Options{Retry: [2]time.Duration{first, time.Minute}, State: func(_ *Client, s Status) {
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

// TestBinary: it is copied, in order with text, and counted while it is on its way.
func TestBinary(t *testing.T) {
	release, got := make(chan struct{}), make(chan string, 10)
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		c.SetReadLimit(-1)
		<-release
		for {
			_, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			got <- string(data[:1])
		}
	})
	ctx, hangUp := context.WithCancel(t.Context())
	c, err := Connect(ctx, url, Options{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 10<<20) // more than the sockets on the way take
	large[0] = 'b'
	first := c.Send("a")
	sent := c.SendBinary(large)
	large[0] = 'x'
	last := c.Send("c")
	eventually(t, "it is stuck", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.batch) == 1 && time.Since(c.writing) > 50*time.Millisecond
	})
	if n := c.Pending(); n != 3 {
		t.Errorf("%d are pending", n)
	}
	close(release)
	if f := fate(t, sent); f != Sent {
		t.Errorf("its fate is %v", f)
	}
	if order := <-got + <-got + <-got; order != "abc" {
		t.Errorf("the server got %s", order)
	}
	for range 20 { // more than may be kept at once
		if f := fate(t, c.SendBinary(large[:1<<20])); f != Sent {
			t.Fatalf("then its fate is %v", f)
		}
		<-got
	}
	hangUp()
	if a, b := fate(t, first), fate(t, last); a != Unsure || b != Unsure {
		t.Errorf("the texts' fates are %v and %v", a, b)
	}
	c.Close()
}

// TestInFlight: so many are handed over, then some have to come back first.
func TestInFlight(t *testing.T) {
	o := outbox{capacity: inFlight + 10}
	for range inFlight + 10 {
		o.put(&message{data: []byte("x"), fate: make(chan Fate, 1)}, false)
	}
	handOver := func() {
		for len(o.handOver(nil, true)) > 0 {
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

// TestMessageThatStaysAway is told of; so is what that makes one say.
func TestMessageThatStaysAway(t *testing.T) {
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		for {
			if _, _, err := c.Read(r.Context()); err != nil {
				return
			}
		}
	})
	again := make(chan (<-chan Fate), 1)
	c, err := Connect(context.Background(), url, Options{Timeout: 100 * time.Millisecond, Retry: [2]time.Duration{1, 1}, Drop: func(c *Client, d Drop) {
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

func TestContextEndsIt(t *testing.T) {
	home := openHome(t)
	ctx, cancel := context.WithCancel(context.Background())
	c, err := Connect(ctx, home.url(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if f := fate(t, c.Send("hi")); f != Confirmed {
		t.Fatal(f)
	}
	cancel()
	n := 0
	for range c.Messages() {
		n++
	}
	if s := c.Status(); n != 1 || s.State != Closed || s.Ended != context.Canceled {
		t.Errorf("it heard %d and is %v", n, s)
	}
}

func TestConnectMistakes(t *testing.T) {
	for want, c := range map[string]struct {
		url     string
		options Options
	}{
		"should begin with ws://":  {"localhost:8080", Options{}},
		"missing ']'":              {"ws://[", Options{}},
		"should have a host":       {"ws:///path", Options{}},
		"should have a host ":      {"ws:localhost:80", Options{}},
		"a port below 65536":       {"ws://localhost:65536", Options{}},
		`the header "X"`:           {"ws://localhost", Options{Header: http.Header{"X": {"a\nb"}}}},
		`the header "A B"`:         {"ws://localhost", Options{Header: http.Header{"A B": {"c"}}}},
		"marks what is one's own":  {"ws://localhost:1/chat", Options{Once: true}},
		"marks what is one's own ": {"ws://localhost:1", Options{Once: true, NoEcho: true}},
	} {
		if _, err := Connect(context.Background(), c.url, c.options); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%q: %v", c.url, err)
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

// TestStaysAway: a message that does not come back is given up, whatever else is heard; with once it is said again.
func TestStaysAway(t *testing.T) {
	for once, want := range map[bool]Fate{false: Unsure, true: Confirmed} {
		var heard atomic.Int32
		url := someServer(t, func(r *http.Request, c *websocket.Conn) {
			ctx, stop := context.WithCancel(r.Context())
			defer stop()
			go func() {
				for ctx.Err() == nil {
					c.Write(ctx, websocket.MessageText, []byte(`{"_now":1,"_me":false}`))
					time.Sleep(5 * time.Millisecond)
				}
			}()
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
		p := join(t, url, Options{Once: once, Timeout: 50 * time.Millisecond})
		if f := fate(t, p.Send(`{}`)); f != want {
			t.Errorf("once=%v: its fate is %v", once, f)
		}
		if ended := p.Status().Ended; ended != errNoAnswer {
			t.Errorf("once=%v: it ended with %v", once, ended)
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

// TestFirst: what is said first goes before what waited, on each connection, and is not counted.
func TestFirst(t *testing.T) {
	home := openHome(t)
	rooms := join(t, home.url()+"/rooms", Options{User: "ann", First: []string{`{"action":"subscribe","topic":"t"}`}})
	say := func(n int) { rooms.Send(fmt.Sprintf(`{"action":"broadcast","topic":"t","payload":{"n":%d}}`, n)) }
	rooms.becomes(Open)
	say(1)
	rooms.until("the first", func() bool { return len(rooms.heard) >= 2 })
	home.stop()
	rooms.becomes(Waiting)
	say(2)
	home.start()
	eventually(t, "the second", func() bool { return slices.Equal(rooms.numbers(), []int{1, 2}) })
	talks := join(t, home.url(), Options{First: []string{"I", "am here"}})
	if f := fate(t, talks.Send("hi")); f != Confirmed || talks.Pending() != 0 {
		t.Errorf("its fate is %v, %d are pending", f, talks.Pending())
	}
	talks.until("all", func() bool { return len(talks.heard) == 3 })
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
