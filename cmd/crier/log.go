package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
)

// newLog writes for people on a terminal, and JSON for everybody else.
func newLog(out io.Writer, level slog.Level) *slog.Logger {
	if asTerminal(out) == nil {
		return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: readable}))
	}
	return slog.New(forPeople(out, level, os.Getenv("NO_COLOR") == ""))
}

func forPeople(out io.Writer, level slog.Level, colours bool) slog.Handler {
	return tint.NewTextHandler(out, &tint.Options{
		Level:       level,
		TimeFormat:  time.TimeOnly,
		NoColor:     !colours,
		ReplaceAttr: harmless,
	})
}

// harmless shows control characters as escapes: what is logged may come from anybody, and a terminal would obey it.
func harmless(_ []string, a slog.Attr) slog.Attr {
	switch value := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(escapes.Replace(printable(value)))
	case error, fmt.Stringer, []string:
		if a.Value.Kind() == slog.KindAny && a.Key != slog.LevelKey {
			a.Value = slog.StringValue(escapes.Replace(printable(fmt.Sprint(value))))
		}
	}
	return a
}

// escapes does not write \x1b, which tint turns back into the character.
var escapes = strings.NewReplacer("\n", `\n`, "\t", `\t`, `\x1b`, `\u001b`)

// readable has durations written as 1m30s, and not in nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
