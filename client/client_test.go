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
	"testing"
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
	c, err := Connect(context.Background(), home.url(), Options{Timeout: 40 * time.Millisecond, Queue: 2 * ahead, State: func(s Status) { states <- s }})
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
	var dropped string
	for _, d := range p.drops {
		dropped += fmt.Sprintf("%s %v %s;", d.Data, d.Fate, d.Why)
	}
	if dropped != "d dropped full;e dropped full;" || p.Pending() != 3 {
		t.Errorf("dropped %s, %d are pending", dropped, p.Pending())
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
	p := join(t, network.url(), Options{Timeout: patience})
	p.becomes(Open)
	network.freeze()
	const messages = 4000 // of 4 KB: more than the sockets on the way take
	var fates []<-chan Fate
	for range messages {
		fates = append(fates, p.Send(strings.Repeat("x", 4000)))
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

func TestWaits(t *testing.T) {
	home := openHome(t)
	home.stop()
	longest := 16 * time.Millisecond
	p := join(t, home.url(), Options{Retry: [2]time.Duration{time.Millisecond, longest}})
	p.until("it has tried", func() bool { return len(p.states) > 40 })
	p.Close()
	for i, s := range p.states {
		if wait := time.Until(s.Retry); s.State == Waiting && wait > longest {
			t.Errorf("wait %d is %v", i, wait)
		}
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
	if f := fate(t, p.Send("3")); f != Sent { // it can no longer count
		t.Errorf("after: %v", f)
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
	var c *Client
	again := make(chan (<-chan Fate), 1)
	ready := make(chan struct{})
	c, err := Connect(context.Background(), url, Options{Timeout: 100 * time.Millisecond, Retry: [2]time.Duration{1, 1}, Drop: func(d Drop) {
		if d.Why == "lost" && string(d.Data) == "a" {
			<-ready
			again <- c.Send("b")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	close(ready)
	if f := fate(t, c.Send("a")); f != Unsure {
		t.Errorf("its fate is %v", f)
	}
	second := <-again
	c.Close()
	if f := fate(t, second); f == Confirmed {
		t.Errorf("the second's fate is %v", f)
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
		"marks what is one's own":  {"ws://localhost:1/chat", Options{Once: true}},
		"marks what is one's own ": {"ws://localhost:1", Options{Once: true, NoEcho: true}},
	} {
		if _, err := Connect(context.Background(), c.url, c.options); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%q: %v", c.url, err)
		}
	}
}

func TestIDs(t *testing.T) {
	s := newIDs()
	for i, c := range []struct {
		name  string
		count uint64
		first bool
	}{{"a", 1, true}, {"a", 1, false}, {"b", 1, true}, {"a", 3, true}, {"a", 2, false}, {"a", 4, true}} {
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
	for id, want := range map[string]bool{"a-1": true, "aB_9-18446744073709551615": true, "a": false, "-1": false, "a-": false, "a--1": false, "a b-1": false, "a-1.0": false, "a-99999999999999999999": false} {
		if _, _, ok := parseID(id); ok != want {
			t.Errorf("%q: %v", id, ok)
		}
	}
}
