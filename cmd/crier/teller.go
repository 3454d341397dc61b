package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"unicode/utf8"

	"crier/api"
)

// A teller tells a person what happens: one line per event, and what functions
// print.
type teller struct {
	log    journal
	events bool
	screen bool // events go to the same terminal as the log

	mu  sync.Mutex // one event at a time
	out io.Writer
}

func newTeller(log journal, events bool, out io.Writer) *teller {
	screen := log.terminal && asTerminal(out) != nil
	return &teller{log: log, events: events, screen: screen, out: harmlessLines{out}}
}

func (t *teller) report(r api.Report) {
	if t.events && !t.screen {
		t.mu.Lock()
		t.show(t.out, "", "", r)
		t.mu.Unlock()
	}
	t.log.together(func(lines io.Writer, log *slog.Logger) {
		if t.events && t.screen {
			t.show(lines, r.Integration+" > ", r.Integration+" < ", r)
		}
		status(log, r)
	})
}

// show writes an event and its answer, if an integration got the event.
func (t *teller) show(out io.Writer, event, answer string, r api.Report) {
	if r.Event == nil {
		return
	}
	fmt.Fprintf(out, "%s%s\n", event, t.json(r.Event))
	if len(r.Answer) > 0 {
		fmt.Fprintf(out, "%s%s\n", answer, t.json(r.Answer))
	}
}

// json makes a line of what handlers get or answer.
func (t *teller) json(text []byte) []byte {
	if t.screen {
		return []byte(printable(string(oneLine(text))))
	}
	return oneLine(text)
}

// status logs what became of an event: as a warning, unless it is well.
func status(log *slog.Logger, r api.Report) {
	// The route is no message: a client chooses it, and could log what only we
	// should.
	attributes := []any{"route", r.Route, "connection", r.Connection, "ms", float64(r.Took.Microseconds()) / 1000}
	if r.Status != 0 {
		attributes = append(attributes, "status", r.Status)
	}
	well := r.Status == 0 || r.Status >= 200 && r.Status < 300
	if well && r.Cause == nil && r.Doubt == nil {
		log.Info("event", attributes...)
		return
	}
	if r.Integration != "" {
		attributes = append(attributes, "integration", r.Integration)
	}
	if len(r.Body) > 0 && !well {
		attributes = append(attributes, "body", excerpt(string(r.Body)))
	}
	if r.Cause != nil {
		attributes = append(attributes, "cause", r.Cause)
	}
	if r.Doubt != nil {
		attributes = append(attributes, "doubt", r.Doubt)
	}
	log.Warn("event", attributes...)
}

// maxExcerpt is how many characters are shown of a body.
const maxExcerpt = 200

// excerpt makes a line of the beginning of a text.
func excerpt(text string) string {
	const enough = 16 * maxExcerpt // bytes, of which most may be space
	text, more := text[:min(len(text), enough)], len(text) > enough
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > maxExcerpt {
		text, more = string([]rune(text)[:maxExcerpt]), true
	}
	if more {
		text += "…"
	}
	return text
}

func (t *teller) output(function string, lines []string) {
	t.log.together(func(out io.Writer, log *slog.Logger) {
		for _, line := range lines {
			if t.log.terminal {
				fmt.Fprintf(out, "%s | %s\n", function, printable(line))
			} else {
				log.Info("output", "function", function, "line", line)
			}
		}
	})
}
