package serve

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"crier/app"
	"crier/cluster"
	"crier/door"
)

// newReplica returns the replica of a server that does not run.
func newReplica(t *testing.T, change func(*Config)) replica {
	t.Helper()
	config := Defaults()
	config.Listen = "localhost:0"
	config.share = newTape().attach
	if change != nil {
		change(&config)
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return replica{s.home}
}

// tell applies a record of a server.
func (x replica) tell(by cluster.Server, rec packer) {
	h := x.home
	x.Apply(&cluster.Event{Kind: cluster.Record, Server: by, Now: h.clock.now.Load(), Beat: h.clock.beat.Load(), Data: rec})
}

// arrives is the record of a session that begins in one topic. Its token is its
// id, and so is its user.
func arrives(id, topic string) packer {
	rec := packer{arrived}
	rec.flag(false)
	for range 3 {
		rec.text(id)
	}
	rec.flag(true)
	rec.entries([]app.Entry{{Topic: topic}})
	rec.text("")
	return rec
}

// TestLingerIsNotCutShort: a session that begins to linger at the end of a beat
// outlives as many whole beats as it may linger for.
func TestLingerIsNotCutShort(t *testing.T) {
	x := newReplica(t, func(c *Config) { c.Linger = 2 * time.Second })
	x.tell(1, arrives("ada", "a"))
	x.Apply(&cluster.Event{Kind: cluster.Beat, Beat: 7})
	x.Apply(&cluster.Event{Kind: cluster.Left, Server: 1, Beat: 7})
	for beat := uint64(8); beat <= 9; beat++ { // the first of them may come at once
		x.Apply(&cluster.Event{Kind: cluster.Beat, Beat: beat})
		if x.home.sessions.ofID("ada") == nil {
			t.Fatalf("it is gone at beat %d", beat)
		}
	}
	x.Apply(&cluster.Event{Kind: cluster.Beat, Beat: 10})
	if x.home.sessions.ofID("ada") != nil {
		t.Error("it lingers for ever")
	}
}

// TestOddRecords: a record that no server of this version writes changes nothing,
// and fails nowhere.
func TestOddRecords(t *testing.T) {
	x := newReplica(t, nil)
	x.tell(1, arrives("ada", "a"))
	before := x.Save(nil)
	frame := []byte(`{"v":1,"_offset":"00000-000000000"}`)
	for what, o := range map[string]app.Order{
		"to nobody":               {Do: app.Tell, Topic: "a", Frame: frame},
		"an offset at the end":    {Do: app.Say, Topic: "a", Frame: frame, Keep: true, OffsetAt: len(frame) - app.OffsetSize + 1},
		"an offset far away":      {Do: app.Say, Topic: "a", Frame: frame, Keep: true, OffsetAt: 1 << 40},
		"an offset before it":     {Do: app.Say, Topic: "a", Frame: frame, Keep: true, OffsetAt: -7},
		"state without an offset": {Do: app.Say, Topic: "a", Frame: frame, Key: app.Key{Name: "k"}},
	} {
		for _, session := range []string{"", "ada"} {
			rec := packer{ordered}
			rec.text(session)
			rec.number(1)
			rec.order(&o)
			x.tell(1, rec)
			if !bytes.Equal(x.Save(nil), before) {
				t.Errorf("%s, of %q: the rooms know something else now", what, session)
			}
		}
	}
	x.tell(1, agrees(7, &terms{History: -1, HistoryBytes: -1}))
	if !bytes.Equal(x.Save(nil), before) {
		t.Error("there are negative terms now")
	}
}

// agrees is the record of terms.
func agrees(first uint64, t *terms) packer {
	rec := packer{agreed}
	rec.number(first)
	rec.bytes(make([]byte, secretSize)) // the servers' secret
	rec.terms(t)
	return rec
}

// says is the record of a message over HTTP.
func says(t *testing.T, topic, text string, state *door.State) packer {
	t.Helper()
	o, no := order(topic, "", []byte(text), state)
	if no != nil {
		t.Fatal(no)
	}
	rec := packer{ordered}
	rec.text("")
	rec.number(0)
	rec.order(o)
	return rec
}

// TestReadersChangeNothing: those who read or listen at one server do not change
// what all servers know.
func TestReadersChangeNothing(t *testing.T) {
	x := newReplica(t, nil)
	x.tell(1, says(t, "a", `{"v":1}`, nil))
	less := *x.home.terms.Load()
	less.History = 0
	x.tell(1, agrees(7, &less)) // the room knows nothing any more, and is there until it is swept
	before := x.Save(nil)
	memory(x).Read("a", -1)
	if !bytes.Equal(x.Save(nil), before) {
		t.Error("somebody has read, and the rooms know something else now")
	}
	s := &session{home: x.home, id: "listener", watches: true}
	if err := s.enter(app.Entry{Topic: "a"}); err != nil {
		t.Fatal(err)
	}
	s.leave("a", "left")
	if !bytes.Equal(x.Save(nil), before) {
		t.Error("somebody has listened, and the rooms know something else now")
	}
}

// TestStateBeyondTheLimit: a server that starts refuses the same state as those
// that were there, also when there is more than there may be by now.
func TestStateBeyondTheLimit(t *testing.T) {
	x, y := newReplica(t, nil), newReplica(t, nil)
	for _, topic := range []string{"a", "b"} {
		x.tell(1, says(t, topic, `{"v":"`+strings.Repeat("x", 1000)+`"}`, &door.State{Key: "k"}))
	}
	less := *x.home.terms.Load()
	less.States = x.home.rooms.held * 3 / 4
	x.tell(1, agrees(7, &less))
	if err := y.Restore(x.Save(nil)); err != nil {
		t.Fatal(err)
	}
	small := says(t, "c", `{"v":1}`, &door.State{Key: "k"})
	x.tell(1, small)
	y.tell(1, small)
	if !bytes.Equal(x.Save(nil), y.Save(nil)) {
		t.Error("one server has taken what the other has refused")
	}
}

// TestOddQuestions: what another server asks does not make this one fail.
func TestOddQuestions(t *testing.T) {
	h := newReplica(t, nil).home
	for _, about := range []about{
		aboutPost, aboutInfo, aboutClose, aboutConnections, aboutTopics, aboutRemove, aboutMembers, aboutAudience, aboutStats, "new", "",
	} {
		h.answer([]byte(`{"about":"` + string(about) + `"}`))
		h.answer([]byte(`{"about":"` + string(about) + `","app":"live","topic":"","data":"AAAA","more":[]}`))
	}
	for _, text := range []string{"", "null", "[]", "{}", `{"topic":null}`, `{"about":7}`} {
		h.answer([]byte(text))
	}
}
