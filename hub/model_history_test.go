package hub

import (
	"bytes"
	"fmt"
	"strings"
)

// maxFrame is up to how long the frames of publishes are.
const maxFrame = 2100

// checkBounds checks the promises about memory and numbers.
func (w *world) checkBounds(memory int) {
	st := w.hub.Stats()
	logs := memory / 2
	if w.pressed {
		logs += logs/8 + w.reach*footprint(maxFrame)
		if w.hub.config.KeepHistory {
			logs += 16 << 10
		}
	} else if st.Memory > memory+12*(allowance+privateOverhead+10) { // last frames find room in any case
		w.Errorf("%d bytes are in use", st.Memory)
	}
	if st.LogBytes > logs {
		w.Errorf("the logs have %d bytes, more than %d", st.LogBytes, logs)
	}
	if w.hub.Head() != w.number {
		w.Errorf("the head is %d after %d publishes", w.hub.Head(), w.number)
	}
}

// series adds to the history, and posts a part of it, with frames before and
// after. Each message of the history is in one series only, so that the model
// can tell frames apart.
func (w *world) series(m *modelled) {
	for range w.rnd.IntN(20) {
		w.frames++
		frame := fmt.Appendf(nil, "[%d kept%s]", w.frames, bytes.Repeat([]byte("o"), w.rnd.IntN(1<<w.rnd.IntN(9))))
		if w.hub.Publish(Publication{Topics: []Topic{remembered}, Frame: frame, Keep: true, Force: w.forces > 0}) == nil {
			w.number++
			w.pressed = w.pressed || w.forces > 0
			w.kept = append(w.kept, string(frame))
		}
	}
	w.checkHistory()
	var series Series
	var due []sent
	add := func(frame string) { due = append(due, sent{frame: frame, post: true}) }
	w.frames++
	first := fmt.Sprintf("[%d first]", w.frames)
	series.Add([]byte(first))
	add(first)
	for k := range w.hub.History(remembered, w.replay) {
		if w.rnd.IntN(8) == 0 {
			continue // it is left out, as own messages are
		}
		series.AddKept(k)
		add(string(k.Frame))
		w.replay = k.Number
	}
	last := fmt.Sprintf("[%d last one]", w.frames)
	series.Add([]byte(last))
	add(last)
	switch err := m.PostAll(&series, nil); {
	case err == nil:
		m.sent = append(m.sent, due...)
	case (err == ErrGone) != (m.finished || m.gone) && err != ErrBusy && err != ErrTooLarge:
		w.Errorf("a series says %v; the last frame is posted: %v", err, m.finished)
	}
}

// checkHistory checks the history against the list of what was published there:
// it is the end of that list.
func (w *world) checkHistory() {
	size := len(strings.Join(w.kept, ""))
	for len(w.kept) > w.limit.Messages || size > w.limit.Bytes {
		size -= len(w.kept[0])
		w.kept = w.kept[1:]
	}
	var there []string
	for k := range w.hub.History(remembered, 0) {
		there = append(there, string(k.Frame))
	}
	if lost := len(w.kept) - len(there); lost < 0 || lost > 0 && w.hub.config.KeepHistory {
		w.Errorf("the history has %d messages, want %d", len(there), len(w.kept))
		return
	}
	if want := w.kept[len(w.kept)-len(there):]; strings.Join(there, "") != strings.Join(want, "") {
		w.Errorf("the history is %q, want %q", there, want)
	}
}
