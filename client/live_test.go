package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"crier/ws"
)

// A hall is a world and a good network to it.
type hall struct {
	*weather
	t *testing.T
}

func openHall(t *testing.T) *hall {
	h := &hall{&weather{dice: newDice(1), w: newWorld(), fine: true}, t}
	t.Cleanup(func() { h.cut(); h.going.Wait() })
	return h
}

// enter joins the world with a client of live.
func (h *hall) enter(o Options) *person {
	h.t.Helper()
	if o.dial = h.dial; o.Live == nil {
		o.Live = new(Live)
	}
	if o.Topics == nil {
		o.Topics = []string{"a"}
	}
	p := join(h.t, nearby, o)
	p.becomes(Open)
	return p
}

// now waits until nothing is on its way, and calls f with the world's lock.
func (h *hall) now(f func()) {
	time.Sleep(time.Second)
	synctest.Wait()
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	f()
}

func (h *hall) seat(p *person) *seat {
	for _, s := range h.w.sessions {
		if s.id == p.ID() {
			return s
		}
	}
	h.t.Fatal("the session is gone")
	return nil
}

// cut ends all connections without a word.
func (h *hall) cut() { h.weather.calm() }

// heard returns the messages of a kind as the topic, the user and a word.
func (p *person) kinds(k Kind) (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.heard {
		if m.Kind == k {
			list = append(list, strings.TrimSuffix(m.Topic+" "+m.User, " "))
		}
	}
	return list
}

func TestLive(t *testing.T) { synctest.Test(t, testLive) }

func testLive(t *testing.T) {
	h := openHall(t)
	ada := h.enter(Options{User: "ada"})
	ben := h.enter(Options{User: "ben"})
	if ada.ID() != "id1" || ada.User() != "ada" {
		t.Errorf("it is %s, %s", ada.ID(), ada.User())
	}
	h.now(func() {})
	want := []Member{{"id1", "ada"}, {"id2", "ben"}}
	for _, p := range []*person{ada, ben} {
		if here := p.Topic("a").Here(); !slices.Equal(here, want) || !slices.Equal(p.Topic("").Here(), want) {
			t.Errorf("it sees %v, want %v", here, want)
		}
	}
	if joined := ada.kinds(Joined); !slices.Equal(joined, []string{"a ben"}) {
		t.Errorf("joined have %v", joined)
	}
	for what, of := range map[string]<-chan Fate{
		"text":   ada.Send("hi"),
		"to ben": ada.Topic("a").SendTo(`{"psst":true}`, "ben"),
		"shared": ada.Topic("a").Set("s", "21.5", Shared),
		"tied":   ada.Topic("a").Set("t", `{"x":1}`, Tied),
		"owned":  ada.Topic("").Set("o", `{}`, Owned),
		"drop":   ada.Topic("a").Unset("none", Owned),
		"join":   ada.Topic("b").Join(3),
	} {
		if f := fate(t, of); f != Confirmed {
			t.Errorf("%s is %v", what, f)
		}
	}
	refused := ada.Send(`{"n":1,"refuse":true}`)
	if f := fate(t, refused); f != Rejected || f.String() != "rejected" {
		t.Errorf("what was refused is %v", f)
	}
	ada.until("it is told", func() bool { return len(ada.drops) > 0 })
	if ada.drops[0].Why != "state-full: no" || ada.drops[0].Fate != Rejected {
		t.Errorf("the drop is %v", ada.drops)
	}
	h.now(func() {})
	tied := Key{"t", Tied, ada.ID()}
	keys := []Key{{"o", Owned, "ada"}, {"s", Shared, ""}, tied}
	state := ben.Topic("a").State()
	if got := slices.SortedFunc(maps.Keys(state), func(a, b Key) int { return strings.Compare(a.Name, b.Name) }); !slices.Equal(got, keys) {
		t.Errorf("the keys are %v, want %v", got, keys)
	}
	if m := state[tied]; !strings.HasPrefix(string(m.Data), `{"x":1,"_key":"t"`) || m.From != ada.ID() || m.User != "ada" || m.Mine {
		t.Errorf("the state is %+v", m)
	}
	if b := ada.Topic("b"); b.Here() == nil || b.State() == nil || ben.Topic("b").Here() != nil {
		t.Errorf("in b there are %v", b.Here())
	}
	fate(t, ada.Topic("b").Leave())
	if here := ada.Topic("b").Here(); here != nil {
		t.Errorf("in b, which it has left, there are %v", here)
	}
	ada.Close()
	h.now(func() {})
	if left := ben.kinds(Left); !slices.Equal(left, []string{"a"}) || len(ben.Topic("a").Here()) != 1 {
		t.Errorf("left have %v, here are %v", left, ben.Topic("a").Here())
	}
	if _, ok := ben.Topic("a").State()[tied]; ok {
		t.Error("what was tied is still there")
	}
}

// TestLiveAddress: what each connection asks for, and whom the client asks first.
func TestLiveAddress(t *testing.T) { synctest.Test(t, testLiveAddress) }

func testLiveAddress(t *testing.T) {
	h := openHall(t)
	asked := 0
	p := h.enter(Options{Topics: []string{"a", "b"}, User: "ada", NoEcho: true, Live: &Live{
		Last: 7, Presence: "seen",
		Address: func(context.Context) (string, error) { asked++; return "ws://localhost/live?since=x&q=1", nil },
	}, Token: func(context.Context) (string, error) { return fmt.Sprint("pass", asked), nil }})
	fate(t, p.Topic("c").Join(0))
	h.now(func() { h.w.publish(h.w.place("a"), entry{kind: Said, frame: `{"_topic":"a"`}) })
	h.now(func() {})
	p.Reconnect()
	h.now(func() {})
	p.Topic("b").Leave()
	h.now(func() {})
	p.Reconnect()
	h.now(func() {})
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	for i, want := range []string{
		"echo=0&last=7&presence=seen&q=1&since=x&topic=a&topic=b&user=ada",
		"echo=0&last=7&presence=seen&q=1&resume=token1&since=e0001-000000001&since=e0001-000000000&since=e0001-000000000&topic=a&topic=b&topic=c&user=ada",
		"echo=0&last=7&presence=seen&q=1&resume=token1&since=e0001-000000001&since=e0001-000000000&topic=a&topic=c&user=ada",
	} {
		if got := h.w.asked[i].Encode(); got != want {
			t.Errorf("it asks for\n%s, want\n%s", got, want)
		}
		if got, want := h.w.shown[i], fmt.Sprint("Bearer pass", i+1); got != want {
			t.Errorf("it shows %q, want %q", got, want)
		}
	}
}

// TestLiveReconnect: it does not wait for what does not answer, nor for a time.
func TestLiveReconnect(t *testing.T) { synctest.Test(t, testLiveReconnect) }

func testLiveReconnect(t *testing.T) {
	h := openHall(t)
	stuck := true
	p := join(t, nearby, Options{dial: h.dial, Topics: []string{"a"}, Timeout: time.Hour, Retry: [2]time.Duration{time.Hour, time.Hour}, Live: new(Live),
		Token: func(ctx context.Context) (string, error) {
			if stuck {
				<-ctx.Done()
			}
			return "", ctx.Err()
		},
	})
	synctest.Wait()
	stuck = false
	p.Reconnect()
	p.becomes(Open)
	h.now(func() { h.w.hangUp(h.seat(p), ws.Close{Code: ws.TryAgainLater}, false) })
	p.becomes(Waiting)
	begun := time.Now()
	p.Reconnect()
	p.becomes(Open)
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestLiveEnds: which ends of a connection it comes back from.
func TestLiveEnds(t *testing.T) {
	for reason, back := range map[string]bool{
		"1008 taken-over: by another": false, "1000 kicked: out": false, "1000": false, "4401 wrong credentials": false,
		"1008 expired: the token": true, "1013 fell-behind: read faster": true, "1001": true, "1008 other": false,
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testLiveEnd(t, reason, back) })
		})
	}
}

func testLiveEnd(t *testing.T, reason string, back bool) {
	h := openHall(t)
	passes := 0
	p := h.enter(Options{Live: new(Live), Token: func(context.Context) (string, error) { passes++; return "", nil }})
	how := ws.Close{}
	number, reason, _ := strings.Cut(reason, " ")
	fmt.Sscan(number, &how.Code)
	how.Reason = reason
	h.now(func() { h.w.hangUp(h.seat(p), how, false) })
	h.now(func() {})
	if s := p.Status(); (s.State == Open) != back || !errors.Is(s.Ended, how) {
		t.Errorf("it is %v", s)
	}
	if back && (passes != 2 || p.ID() != "id1") {
		t.Errorf("it asked for %d tokens, and is %s", passes, p.ID())
	}
}

// TestLiveExpired: without another token there is no reason to come back.
func TestLiveExpired(t *testing.T) { synctest.Test(t, testLiveExpired) }

func testLiveExpired(t *testing.T) {
	h := openHall(t)
	p := h.enter(Options{})
	h.now(func() { h.w.hangUp(h.seat(p), ws.Close{Code: ws.PolicyViolation, Reason: "expired: the token"}, true) })
	p.becomes(Closed)
}

// TestLiveRestart: what a server that stops in good order has not answered it
// has not taken, so that nothing is in doubt.
func TestLiveRestart(t *testing.T) { synctest.Test(t, testLiveRestart) }

func testLiveRestart(t *testing.T) {
	h := openHall(t)
	p := h.enter(Options{Timeout: patience})
	var fates []<-chan Fate
	h.w.work = func() time.Duration { return time.Second }
	for n := range 5 {
		fates = append(fates, p.Send(fmt.Sprintf(`{"n":%d}`, n+1)))
	}
	h.now(func() { h.w.hangUp(h.seat(p), ws.Close{Code: ws.GoingAway, Reason: "going-away: bye"}, true) })
	for n, of := range fates {
		if f := fate(t, of); f != Confirmed {
			t.Errorf("%d is %v", n+1, f)
		}
	}
	h.now(func() {
		if !slices.Equal(h.w.order, []int{1, 2, 3, 4, 5}) {
			t.Errorf("published are %v", h.w.order)
		}
	})
	if p.ID() != "id2" {
		t.Errorf("it is %s", p.ID())
	}
}

// TestLiveAnswersLost: topics that the client has joined or left without being
// told are joined and left afterwards, and a topic's history arrives once.
func TestLiveAnswersLost(t *testing.T) { synctest.Test(t, testLiveAnswersLost) }

func testLiveAnswersLost(t *testing.T) {
	h := openHall(t)
	p := h.enter(Options{Topics: []string{"a", "c"}, Timeout: patience})
	h.now(func() {
		for n := range 5 {
			h.w.publish(h.w.place("d"), entry{kind: Said, frame: fmt.Sprintf(`{"n":%d,"_topic":"d"`, n)})
		}
		h.w.publish(h.w.place("d"), entry{kind: Said, key: Key{Name: "k"}, frame: `{"_key":"k","_topic":"d"`})
		h.seat(p).line.deaf = true
	})
	left, joined := p.Topic("c").Leave(), p.Topic("d").Join(3)
	h.now(func() {})
	h.cut()
	if a, b := fate(t, left), fate(t, joined); a != Confirmed || b != Confirmed {
		t.Errorf("they are %v and %v", a, b)
	}
	h.now(func() {
		if topics := h.seat(p).topics; !slices.Equal(topics, []string{"a", "d"}) {
			t.Errorf("the server has it in %q", topics)
		}
	})
	if n := p.numbers(); !slices.Equal(n, []int{2, 3, 4}) || p.Topic("c").Here() != nil || len(p.Topic("d").State()) != 1 {
		t.Errorf("it received %v; of c it knows %v, of d %v", n, p.Topic("c").Here(), p.Topic("d").State())
	}
	if hellos := p.kinds(Hello); !slices.Equal(hellos, []string{"a", "c", "a", "d"}) {
		t.Errorf("it is greeted in %v", hellos)
	}
}

// TestLiveLost: a session that has ended leaves in doubt what was on its way,
// and nothing else.
func TestLiveLost(t *testing.T) { synctest.Test(t, testLiveLost) }

func testLiveLost(t *testing.T) {
	h := openHall(t)
	p := h.enter(Options{Timeout: patience})
	h.w.work = func() time.Duration { return time.Second }
	before := p.Send(`{"n":1}`)
	time.Sleep(500 * time.Millisecond)
	h.w.mu.Lock()
	h.w.end(h.seat(p), "lost")
	h.w.mu.Unlock()
	h.cut()
	p.becomes(Waiting)
	after := p.Send(`{"n":2}`)
	if a, b := fate(t, before), fate(t, after); a != Unsure || b != Confirmed {
		t.Errorf("they are %v and %v", a, b)
	}
	p.until("it is told", func() bool { return len(p.drops) == 1 && p.drops[0].Why == "lost" })
}

// TestLiveSilent: of messages that nothing answers few are kept, and each is
// published once.
func TestLiveSilent(t *testing.T) {
	for name, test := range map[string]struct{ silent, binary bool }{"no echo": {true, false}, "binary": {false, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testLiveSilent(t, test.silent, test.binary) })
		})
	}
}

func testLiveSilent(t *testing.T, silent, binary bool) {
	h := openHall(t)
	p := h.enter(Options{NoEcho: silent, Queue: 10_000})
	const all = 5000
	say := func(n int) <-chan Fate {
		if binary {
			return p.SendBinary(fmt.Append(nil, n))
		}
		return p.Send(fmt.Sprintf(`{"n":%d}`, n))
	}
	for n := range all {
		say(n + 1)
		if n%1000 == 999 {
			time.Sleep(time.Millisecond)
			h.cut()
		}
	}
	if f := fate(t, say(all+1)); f != Sent {
		t.Errorf("it is %v", f)
	}
	p.Close()
	h.now(func() {
		for n := range all + 1 {
			if h.w.taken[n+1] != 1 {
				t.Errorf("%d was published %d times", n+1, h.w.taken[n+1])
			}
		}
		if !slices.IsSorted(h.w.order) {
			t.Error("they were published in another order")
		}
	})
	if got := p.kinds(Hello); len(got) > 7 {
		t.Errorf("it is told of %d greetings", len(got))
	}
}

// TestLiveLateGoodbye: who leaves while the server does not have everything yet
// waits for that.
func TestLiveLateGoodbye(t *testing.T) { synctest.Test(t, testLiveLateGoodbye) }

func testLiveLateGoodbye(t *testing.T) {
	h := openHall(t)
	h.w.work = func() time.Duration { return 100 * time.Millisecond }
	p := h.enter(Options{NoEcho: true, Timeout: patience})
	fates := []<-chan Fate{p.Send(`{"n":1}`), p.Send(`{"n":2}`)}
	for _, f := range fates {
		fate(t, f)
	}
	h.cut()
	p.becomes(Waiting)
	p.becomes(Open)
	p.Close()
	h.now(func() {
		if h.w.taken[1] != 1 || h.w.taken[2] != 1 {
			t.Errorf("published are %v", h.w.taken)
		}
	})
}

// TestLiveTakesItselfOver: a connection that was given up may reach the server
// after the one that followed it.
func TestLiveTakesItselfOver(t *testing.T) { synctest.Test(t, testLiveTakesItselfOver) }

func testLiveTakesItselfOver(t *testing.T) {
	h := openHall(t)
	p := h.enter(Options{})
	for _, back := range []bool{true, false} {
		h.now(func() {
			if back {
				p.Client.mu.Lock()
				p.Client.session.strayed = true
				p.Client.mu.Unlock()
			}
			h.w.hangUp(h.seat(p), ws.Close{Code: ws.PolicyViolation, Reason: "taken-over: by another"}, false)
		})
		h.now(func() {})
		if s := p.Status(); (s.State == Open) != back {
			t.Errorf("it is %v", s)
		}
	}
}

// TestLiveNotGreeted: a server that does not greet is none of live.
func TestLiveNotGreeted(t *testing.T) { synctest.Test(t, testLiveNotGreeted) }

func testLiveNotGreeted(t *testing.T) {
	p := join(t, nearby, Options{dial: talkInMemory(t, forget), Live: new(Live), Timeout: time.Second})
	of := p.Send("hi")
	p.becomes(Waiting)
	if s := p.nth(0); s.Ended != errNoAnswer {
		t.Errorf("it was %v", s)
	}
	p.Close()
	if f := fate(t, of); f != Dropped {
		t.Errorf("it is %v", f)
	}
}

// TestLiveSecrets: how a connection ended does not tell the tokens in its
// address.
func TestLiveSecrets(t *testing.T) { synctest.Test(t, testLiveSecrets) }

func testLiveSecrets(t *testing.T) {
	nowhere := openMemory(t)
	nowhere.close()
	p := join(t, nearby+"?topic=a&token=secret", Options{dial: nowhere.dial, Live: new(Live)})
	p.becomes(Waiting)
	if text := p.nth(0).Ended.Error(); strings.Contains(text, "secret") || text == "" {
		t.Errorf("it ended with %q", text)
	}
}
