package main

import (
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestLogIsHarmless: whatever clients say, the terminal obeys only us.
func TestLogIsHarmless(t *testing.T) {
	ours := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, colours := range []bool{false, true} {
		for _, evil := range []string{"\x1b[31mEVIL\x1b]0;owned\a", "a\n12:00:00 INF fake=line", "a\rb\x1b[2K", `a \x1b]0;owned`, `\x1b]0;owned`, "\u009b2K", "\u202efdp", "a\x7f\xff"} {
			write := func(text string) string {
				var b strings.Builder
				log := slog.New(forPeople(&b, slog.LevelInfo, colours))
				log.With("with", text).Info(text, "string", text, "error", errors.New(text), "list", []string{text}, slog.Group("group", "in", text), "for", time.Second)
				return b.String()
			}
			got := write(evil)
			if plain := write("fine"); len(ours.FindAllString(got, -1)) != len(ours.FindAllString(plain, -1)) {
				t.Errorf("%q is logged as %q", evil, got)
			}
			line, found := strings.CutSuffix(ours.ReplaceAllString(got, ""), "\n")
			if line != printable(line) || strings.ContainsAny(line, "\n\t") || !found {
				t.Errorf("%q is logged as %q", evil, got)
			}
		}
	}
}
