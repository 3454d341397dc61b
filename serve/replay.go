package serve

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"crier/app"
	"crier/hub"
	"crier/ws"
)

// An event is a frame of a replay.
type event struct {
	number uint64
	kept   hub.Kept // if frame is nil
	frame  []byte
}

// welcome makes the frames for a session that enters: the greeting, what it
// missed, in order, and the mark that it now hears what happens.
func (r *room) welcome(g *endpoint, e app.Entry, now time.Time) *hub.Series {
	after, missed := r.position(e.Since)
	var events []event
	if e.Since == "" {
		events = lastOf(r.home.hub.History(r.topics[0], 0), e.Last)
	} else {
		events = lastOf(r.home.hub.History(r.topics[0], after), -1)
	}
	sorted := true
	for v := range r.state.After(after) {
		if v.Drop && (e.Since == "" || missed) {
			continue
		}
		sorted = sorted && len(events) == 0
		events = append(events, event{number: v.Number, frame: v.Frame})
	}
	if g.told && e.Since != "" && !missed {
		joins := lastOf(r.home.hub.History(r.aside[0], after), -1)
		sorted = sorted && (len(events) == 0 || len(joins) == 0)
		events = append(events, joins...)
	}
	if !sorted {
		slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.number, b.number) })
	}
	hello := r.hello(g.session, missed, now)
	series := framed(hello.Append(nil))
	for i := range events {
		g.replay(series, &events[i])
	}
	series.Add(ws.AppendFrame(nil, ws.Text, hello.AppendReady(nil)))
	return series
}

// replay adds an event to what a client is sent when it enters a room. Of what it
// has said itself it gets its own copy, if it wants it.
func (e *endpoint) replay(series *hub.Series, ev *event) {
	frame := ev.frame
	if frame == nil {
		frame = ev.kept.Frame
	}
	text := ws.Payload(frame)
	switch {
	case (e.resumed || e.session.said.Load() > 0) && app.From(text, e.session.id):
		if mine := app.AppendMine(nil, text); !e.session.silent && len(mine) != len(text) {
			series.Add(ws.AppendFrame(nil, ws.Text, mine))
		}
	case ev.frame == nil:
		series.AddKept(ev.kept)
	default:
		series.Add(frame)
	}
}

// lastOf returns the last n events of a history; all of them if n is negative.
func lastOf(history iter.Seq[hub.Kept], n int) (events []event) {
	if n == 0 {
		return nil
	}
	for k := range history {
		events = append(events, event{number: k.Number, kept: k})
	}
	if n > 0 && len(events) > n {
		events = events[len(events)-n:]
	}
	return events
}

// position returns the number after which a client wants to begin. If what came
// after it is not known any more, missed is true and the number is 0.
func (r *room) position(since string) (number uint64, missed bool) {
	if since == "" {
		return 0, false
	}
	epoch, number, ok := r.home.rooms.parse(since)
	lost := max(r.lost, r.home.hub.Lost(r.topics[0]), r.state.Lost())
	if !ok || number < lost || number == lost && epoch != r.epoch && r.lost == lost || number > r.home.hub.Head() {
		return 0, true
	}
	return number, false
}
