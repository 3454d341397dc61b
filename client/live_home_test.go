package client

import (
	"fmt"
	"slices"
	"testing"
)

// TestLiveCut: over connections that are cut, nothing is lost, doubled or in
// doubt, in either direction.
func TestLiveCut(t *testing.T) {
	home := openHome(t)
	network := openNetwork(t, home)
	o := Options{Topics: []string{"a"}, User: "ada", Live: new(Live)}
	ann := join(t, network.url(), o)
	o.User = "ben"
	ben, witness := join(t, network.url(), o), join(t, home.url(), o)
	for _, p := range []*person{ann, ben, witness} {
		p.becomes(Open)
	}
	id := ann.ID()
	talk := ann.talks()
	for range 4 {
		witness.hears(300)
		changes := ann.changes()
		network.cut()
		ann.until("it notices", func() bool { return len(ann.states) > changes })
		ann.becomes(Open)
	}
	all, by := talk.stop(t)
	fate(t, ann.Topic("a").Set("done", "true", Tied))
	if len(by[Confirmed]) != len(all) || ann.ID() != id {
		t.Errorf("of %d: %v; it is %s, and was %s", len(all), counts(by), ann.ID(), id)
	}
	for _, p := range []*person{ann, ben, witness} {
		p.until("the state", func() bool {
			return slices.ContainsFunc(p.heard, func(m Message) bool { return m.Key == Key{"done", Tied, id} })
		})
		if heard := p.numbers(); !slices.Equal(heard, all) {
			t.Errorf("of %d %s heard %d", len(all), p.User(), len(heard))
		}
		if here, state := p.Topic("").Here(), p.Topic("a").State(); len(here) != 3 || len(state) != 1 {
			t.Errorf("%s sees %v and %v", p.User(), here, state)
		}
	}
}

// TestLiveServer: what the client does is understood by the server.
func TestLiveServer(t *testing.T) {
	home := openHome(t)
	o := Options{Topics: []string{"a"}, User: "ada", Live: &Live{Presence: "1"}}
	ann := join(t, home.url()+"/live", o)
	ann.becomes(Open)
	for what, of := range map[string]struct {
		fate <-chan Fate
		want Fate
	}{
		"text":    {ann.Send("hi"), Confirmed},
		"brief":   {ann.Send(`{"x":1,"_keep":false}`), Confirmed},
		"to ada":  {ann.Topic("a").SendTo("psst", "ada", ann.ID()), Confirmed},
		"to ben":  {ann.Topic("a").SendTo("psst", "ben"), Rejected},
		"shared":  {ann.Topic("a").Set("s", "21.5", Shared), Confirmed},
		"tied":    {ann.Topic("").Set("t", `{"x":1}`, Tied), Confirmed},
		"owned":   {ann.Topic("a").Set("o", `[1]`, Owned), Confirmed},
		"drop":    {ann.Topic("a").Unset("o", Owned), Confirmed},
		"twice":   {ann.Topic("a").Set("o", `{"_key":"o"}`, Owned), Rejected},
		"no room": {ann.Topic("b").Send("hi"), Rejected},
		"join":    {ann.Topic("c").Join(5), Confirmed},
		"leave":   {ann.Topic("c").Leave(), Confirmed},
		"again":   {ann.Topic("c").Leave(), Rejected},
		"binary":  {ann.SendBinary([]byte{1}), Sent},
		"after":   {ann.Send("last"), Confirmed},
	} {
		if f := fate(t, of.fate); f != of.want {
			t.Errorf("%s is %v, want %v", what, f, of.want)
		}
	}
	state := ann.Topic("a").State()
	if len(state) != 2 || state[Key{"t", Tied, ann.ID()}].Data == nil || state[Key{Name: "s"}].Data == nil {
		t.Errorf("the state is %v", state)
	}
	ann.Reconnect()
	ann.until("it is back", func() bool { return len(ann.states) > 2 && ann.states[len(ann.states)-1].State == Open })
	if f := fate(t, ann.Send("here again")); f != Confirmed || len(ann.Topic("a").Here()) != 1 {
		t.Errorf("it is %v, here are %v", f, ann.Topic("a").Here())
	}
}

// TestLiveUnanswered: without copies, everything is published once all the
// same, and little is kept.
func TestLiveUnanswered(t *testing.T) {
	home := openHome(t)
	network := openNetwork(t, home)
	o := Options{Topics: []string{"a"}, NoEcho: true, Queue: 20_000, Live: new(Live)}
	sensor, witness := join(t, network.url(), o), join(t, home.url(), o)
	sensor.becomes(Open)
	witness.becomes(Open)
	const all = 5000
	var want []int
	for n := 1; n <= all; n++ {
		want = append(want, n)
		if f := fate(t, sensor.Send(fmt.Sprintf(`{"n":%d}`, n))); f != Sent {
			t.Fatalf("%d is %v", n, f)
		}
		if n%1000 == 0 {
			network.cut()
		}
	}
	witness.until("the last", func() bool { return len(witness.heard) >= all+2 }) // with a greeting
	if heard := witness.numbers(); !slices.Equal(heard, want) {
		t.Errorf("of %d the witness heard %d", all, len(heard))
	}
}
