package deploy

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestLinesWithoutIDs: programs that imitate AWS may give lines no ids. All of them are shown, each once.
func TestLinesWithoutIDs(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	h.aws.NoIDs = true
	for _, text := range []string{"one", "two", "two"} {
		h.aws.Log(1000, text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reads := 0
	h.aws.Look = func(action string) {
		if action == "logs:FilterLogEvents" {
			if reads++; reads == 6 {
				cancel()
			}
		}
	}
	var got []string
	if err := h.Logs(ctx, "game", time.UnixMilli(0), true, func(l Line) error { got = append(got, l.Text); return nil }); err != nil {
		t.Error(err)
	}
	if want := []string{"one", "two", "two"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLogs(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	for i := range 5 {
		h.aws.Log(int64(1000+i), fmt.Sprintf("line %d\n", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reads := 0
	h.aws.Look = func(action string) {
		if action != "logs:FilterLogEvents" {
			return
		}
		switch reads++; reads {
		case 5: // the first sweep takes two pages, as do the others
			h.aws.Log(60_000, "a minute later")
		case 9:
			h.aws.Log(60_000-late.Milliseconds(), "a late one")
			h.aws.Log(60_001, "another")
		case 20:
			cancel()
		}
	}
	var got []string
	err := h.Logs(ctx, "game", time.UnixMilli(1001), true, func(l Line) error { got = append(got, l.Text); return nil })
	if err != nil {
		t.Error(err)
	}
	want := []string{"line 1", "line 2", "line 3", "line 4", "a minute later", "a late one", "another"}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q: each once", got, want)
	}
}

func TestLogsForget(t *testing.T) {
	lines := tail{from: 0, seen: map[string]int64{}}
	for i := range maxSeen + 10 {
		lines.seen[fmt.Sprint(i)] = int64(1_000_000 + i/100)
	}
	lines.forget(1_000_000)
	if len(lines.seen) > maxSeen+100 || lines.from < 1_000_000 {
		t.Errorf("%d ids are remembered, from %d on", len(lines.seen), lines.from)
	}
}
