package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"crier/deploy"
)

// A report shows a person what goes on at AWS: on a terminal as a list of
// resources that changes as they do, elsewhere as a line for each event.
type report struct {
	out    io.Writer
	look   look
	screen *os.File // nil where lines are written

	rows  []deploy.Progress // one for each resource, in order of appearance
	since []time.Time       // when each of them began to change
	drawn int               // how many of them are on the screen, right above the cursor
}

func newReport(out io.Writer) *report {
	screen := asTerminal(out)
	return &report{out: out, screen: screen, look: lookOf(streams{screen: screen})}
}

func (r *report) tell(event deploy.Event) {
	switch e := event.(type) {
	case deploy.Identified:
		r.line("account %s, %s, as %s", e.Account, e.Region, e.Caller)
	case deploy.Leftover:
		r.line("an earlier attempt left the stack %s (%s): %s", e.Name, e.Status.Word(), e.Do)
	case deploy.Uploaded:
		r.uploaded(e)
	case deploy.Planned:
		r.planned(e)
	case deploy.Progress:
		r.progress(e)
	case deploy.Emptied:
		r.emptied(e)
	}
}

// line ends the list, if there is one.
func (r *report) line(format string, values ...any) {
	r.rows, r.since, r.drawn = nil, nil, 0
	fmt.Fprintf(r.out, format+"\n", values...)
}

func (r *report) uploaded(e deploy.Uploaded) {
	if e.NewBucket {
		r.line("bucket %s created", e.Bucket)
	}
	if e.Already {
		r.line("code unchanged")
		return
	}
	r.line("code uploaded, %.1f MB", float64(e.Bytes)/1e6)
}

var deeds = map[string]string{"Add": "add", "Modify": "change", "Remove": "remove"}

func (r *report) planned(e deploy.Planned) {
	if e.New {
		r.line("create the stack %s:", e.Name)
	} else {
		r.line("update the stack %s:", e.Name)
	}
	for _, c := range e.Changes {
		deed := deeds[c.Action]
		if deed == "" {
			deed = strings.ToLower(c.Action)
		}
		if c.Replacement {
			deed = "replace"
		}
		r.line("  %-8s %-13s %s", deed, c.Resource, strings.TrimPrefix(c.Type, "AWS::"))
	}
}

func (r *report) emptied(e deploy.Emptied) {
	if e.Objects > 0 {
		r.line("code removed from the bucket %s", e.Bucket)
	}
	if e.BucketRemoved {
		r.line("bucket %s removed", e.Bucket)
	}
}

func (r *report) progress(p deploy.Progress) {
	if r.screen == nil {
		fmt.Fprintln(r.out, r.row(p, p.Time.UTC().Format(time.TimeOnly)))
		return
	}
	r.note(p)
	r.draw()
}

// note puts the news into the resource's row.
func (r *report) note(p deploy.Progress) {
	for i := range r.rows {
		if r.rows[i].Resource == p.Resource {
			r.rows[i] = p
			return
		}
	}
	r.rows, r.since = append(r.rows, p), append(r.since, p.Time)
}

// draw writes the list over itself. A row is cut where the screen ends: the
// cursor goes up by rows, not by what they wrap to.
func (r *report) draw() {
	width, height, err := term.GetSize(int(r.screen.Fd()))
	if err != nil || width < 2 || height < 2 { // some do not know how large they are
		width, height = 80, 24
	}
	var b strings.Builder
	if r.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", r.drawn)
	}
	first := max(0, len(r.rows)-height+1)
	for i, p := range r.rows[first:] {
		took := p.Time.Sub(r.since[first+i]).Round(time.Second).String()
		text := []rune(r.row(p, fmt.Sprintf("%8s", took)))
		fmt.Fprintf(&b, "\r\x1b[K%s\n", r.paint(p.Status, string(text[:min(len(text), width-1)])))
	}
	r.drawn = len(r.rows) - first
	io.WriteString(r.out, b.String())
}

// row is a resource's state in one line.
func (r *report) row(p deploy.Progress, when string) string {
	text := fmt.Sprintf("%s  %-13s %s", when, p.Resource, p.Status.Word())
	if p.Status.Failed() && p.Reason != "" {
		text += ": " + sentence(p.Reason)
	}
	return text
}

func (r *report) paint(s deploy.Status, text string) string {
	switch {
	case s.Failed():
		return r.look.paint(yellow, text)
	case s.Busy():
		return text
	default:
		return r.look.paint(green, text)
	}
}
