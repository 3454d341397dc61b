package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"crier/app"
	wire "crier/client"
	"crier/cluster"
	"crier/hub"
	"crier/ws"
)

// dialAt connects to a server.
func dialAt(t *testing.T, s *Server, path string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(t.Context(), s.URL()+path, wire.Handshake{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HangUp)
	return c
}

// ends reads until a connection ends, and returns how.
func ends(t *testing.T, c *wire.Conn) (how ws.Close) {
	t.Helper()
	for {
		_, _, err := c.Next()
		if err == nil {
			continue
		}
		if !errors.As(err, &how) {
			t.Fatal(err)
		}
		return how
	}
}

// TestCutOff: a server that is cut off sends its clients away. Their sessions
// linger on the others, and go on there.
func TestCutOff(t *testing.T) {
	shared, servers := openShared(t, 2, nil)
	ada, hello := enter(t, servers[0], "topic=a&user=ada")
	ben, _ := enter(t, servers[1], "topic=a&user=ben")
	plain := dialAt(t, servers[0], "/?topic=p")
	gets(t, ada, `"_join"`)
	ada.Write([]byte(`{"v":1,"_key":"k","_tied":true}`), false)
	gets(t, ada, `"_me":true`)
	gets(t, ben, `"v":1`)

	cut := make(chan struct{})
	shared.add(taped{probe: func(h *head) {
		if h.number == 1 {
			replica{h.home}.CutOff(errors.New("for the test"))
			close(cut)
		}
	}})
	<-cut
	for _, c := range []*wire.Conn{ada, plain} {
		if how := ends(t, c); how.Code != 1013 || !strings.HasPrefix(how.Reason, "cut-off: ") {
			t.Errorf("ended with %v", how)
		}
	}
	shared.add(taped{event: cluster.Event{Kind: cluster.Left, Server: 1}})
	again, greeted := enter(t, servers[1], "topic=a&user=ada&resume="+hello.Resume)
	if greeted.ID != hello.ID || greeted.Said != 1 || greeted.Missed || len(greeted.Here) != 2 {
		t.Errorf("greeted with %+v", greeted)
	}
	again.Write([]byte(`{"v":2}`), false)
	gets(t, again, `"v":2`)
	gets(t, ben, `"v":2`)
	again.HangUp()
	sameState(t, shared)
}

// A cutting is a log that cuts its server off whenever somebody asks whether the
// server is up to date.
type cutting struct{ *head }

func (c cutting) Sync(context.Context) error {
	replica{c.home}.CutOff(errors.New("for the test"))
	return nil
}

// TestCutOffWhileJoining: a client that comes while the clients of a server are
// sent away is sent away, too.
func TestCutOffWhileJoining(t *testing.T) {
	shared := newTape()
	config := Defaults()
	config.Listen, config.Drain = "localhost:0", 0
	config.share = func(h *home) sharedLog { return cutting{shared.attach(h).(*head)} }
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	defer func() { stop(); <-done }()
	c := dialAt(t, s, "/?topic=p")
	defer time.AfterFunc(10*time.Second, c.HangUp).Stop()
	if how := ends(t, c); how.Code != 1013 || !strings.HasPrefix(how.Reason, "cut-off: ") {
		t.Errorf("ended with %v", how)
	}
}

// TestDeadServer: the sessions of a server that is dead linger for as many beats
// as they may, and then leave, in the order in which they came.
func TestDeadServer(t *testing.T) {
	shared, servers := openShared(t, 2, func(c *Config) { c.Linger = 3 * time.Second })
	ben, _ := enter(t, servers[1], "topic=a&user=ben")
	for _, user := range []string{"cy", "ada", "dan"} {
		c, _ := enter(t, servers[0], "topic=a&user="+user)
		c.Write([]byte(`{"v":1,"_key":"k","_tied":true}`), false)
		gets(t, ben, `"user":"`+user+`"`, `"_user":"`+user+`"`)
	}
	shared.add(taped{event: cluster.Event{Kind: cluster.Left, Server: 1}})
	before := shared.length()
	gets(t, ben,
		`"_drop":true`, `"user":"cy","same":0,"why":"lost"`, `"_drop":true`, `"user":"ada","same":0,"why":"lost"`,
		`"_drop":true`, `"user":"dan","same":0,"why":"lost"`)
	beats := 0
	for i := before; i < shared.length(); i++ {
		if e, _, _ := shared.at(i); e.event.Kind == cluster.Beat {
			beats++
		}
	}
	if beats < 3 {
		t.Errorf("they lingered for %d beats", beats)
	}
	sameState(t, shared)
}

// TestLost: what is lost with an incarnation is reported to those who wait.
func TestLost(t *testing.T) {
	_, servers := openShared(t, 1, nil)
	h := servers[0].home
	done, arrived, run := make(chan error, 1), make(chan outcome, 1), make(chan result, 1)
	lose(&sent{done: done})
	lose(&arrival{done: arrived})
	lose(&errand{done: run})
	lose(nil)
	if err := <-done; !errors.Is(err, hub.ErrBusy) {
		t.Errorf("a publication: %v", err)
	}
	if how := <-arrived; how != failed {
		t.Errorf("an arrival: %v", how)
	}
	if r := <-run; !errors.Is(r.err, errUnknown) {
		t.Errorf("an errand: %v", r.err)
	}
	_ = h
}

// TestHistoriesFit: all histories together are bounded, and the largest pay.
func TestHistoriesFit(t *testing.T) {
	shared, servers := openShared(t, 2, func(c *Config) {
		c.Memory, c.Backlog, c.HistoryBytes, c.History = 16<<20, 2<<20, 4<<20, 1<<20
	})
	small, _ := enter(t, servers[0], "topic=small")
	small.Write([]byte(`{"v":1}`), false)
	gets(t, small, `"v":1`)
	large, _ := enter(t, servers[1], "topic=large")
	limit := servers[0].home.terms.Load().Histories
	text := `{"v":"` + strings.Repeat("x", 100_000) + `"}`
	for n := 0; n < 2*limit; n += len(text) {
		large.Write([]byte(text), false)
		gets(t, large, `"_me":true`)
	}
	if err := shared.heads[0].reach(t.Context(), shared.length()); err != nil {
		t.Fatal(err)
	}
	h := servers[0].home.hub
	of, all := h.HistoryBytes(hub.Topic{App: liveName, Name: "small"})
	if of == 0 || all > limit || all < limit/2 {
		t.Errorf("the small history has %d bytes, all have %d, limit %d", of, all, limit)
	}
	sameState(t, shared)
}

// TestRecords: what is packed is what is unpacked.
func TestRecords(t *testing.T) {
	o := &app.Order{
		Do: app.Say, Topic: "a", To: []string{"x", ""}, Binary: true, Keep: true, Drop: true,
		Key: app.Key{Name: "k", Of: app.Tied, By: "id"}, OffsetAt: 7, Frame: []byte("a frame with its offset"),
	}
	var p packer
	p.order(o)
	var got app.Order
	u := unpacker{rest: p}
	u.order(&got)
	if u.bad || len(u.rest) > 0 || fmt.Sprint(&got) != fmt.Sprint(o) {
		t.Errorf("got %+v, want %+v", got, *o)
	}
}

// FuzzRecord: no record makes a server fail.
func FuzzRecord(f *testing.F) {
	var p packer
	for _, o := range []app.Order{
		{Do: app.Say, Topic: "a", Frame: []byte(`{"_offset":"00000-000000000"}`), OffsetAt: 12, Keep: true},
		{Do: app.Say, Topic: "a", Frame: []byte(`{"_offset":"00000-000000000"}`), OffsetAt: 12, Key: app.Key{Name: "k"}},
		{Do: app.Tell, Topic: "a", Frame: []byte("{}"), To: []string{"b"}},
		{Do: app.Enter, Entry: app.Entry{Topic: "a"}},
		{Do: app.Exit, Topic: "a"},
	} {
		for _, session := range []string{"", "id"} {
			p = nil
			p.text(session)
			p.number(1)
			p.order(&o)
			f.Add(byte(ordered), []byte(p))
		}
	}
	p = nil
	p.topics([]hub.Topic{{App: "broadcast", Name: "a"}})
	p.bytes([]byte("x"))
	f.Add(byte(published), []byte(p))
	p = packer{0}
	for _, text := range []string{"id", "token", "user"} {
		p.text(text)
	}
	p.flag(true)
	p.entries([]app.Entry{{Topic: "a", Last: 3}})
	p.text("")
	f.Add(byte(arrived), []byte(p))
	c := Defaults()
	f.Add(byte(agreed), []byte(agrees(7, c.terms()))[1:])
	config := Defaults()
	config.Listen = "localhost:0"
	config.share = newTape().attach
	s, err := Open(config)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		x := replica{s.home}
		x.Apply(&cluster.Event{Kind: cluster.Record, Server: 1, Data: append([]byte{kind}, data...)})
		if err := x.Restore(x.Save(nil)); err != nil {
			t.Error(err)
		}
		x.Restore(data)
		x.Restore(nil)
	})
}
