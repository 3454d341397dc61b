package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/lmittmann/tint"
	"github.com/spf13/pflag"
)

// logging holds the flags for the log.
type logging struct {
	level  slog.Level
	format logFormat
}

func (l *logging) addFlags(f *pflag.FlagSet) {
	f.TextVar(&l.level, "log-level", l.level, "log from this `LEVEL` on: debug, info, warn or error")
	f.Var(&l.format, "log-format", "write the log as `text|json`")
}

// A logFormat is text or json. It implements pflag.Value.
type logFormat string

func (f *logFormat) String() string { return cmp.Or(string(*f), "text") }

func (f *logFormat) Type() string { return "FORMAT" }

func (f *logFormat) Set(value string) error {
	if value != "text" && value != "json" {
		return errors.New("must be text or json")
	}
	*f = logFormat(value)
	return nil
}

// A journal is a log that never makes its writers wait.
type journal struct {
	*slog.Logger
	how      logging
	lines    *queue
	terminal bool // a person reads it
}

// open begins a journal, which must be closed.
func (l logging) open(out io.Writer) journal {
	terminal := asTerminal(out) != nil
	lines := newQueue(out, func(dropped int) []byte { return l.notice(dropped, terminal) })
	return journal{slog.New(l.handler(lines, terminal)), l, lines, terminal}
}

// together writes lines, and what is logged, so that no other line comes
// between.
func (j journal) together(write func(lines io.Writer, log *slog.Logger)) {
	var b bytes.Buffer
	write(&b, slog.New(j.how.handler(&b, j.terminal)))
	j.lines.Write(b.Bytes())
}

// close waits until everything is written.
func (j journal) close() { j.lines.Close() }

// handler writes lines with which no client can pretend anything: values are
// quoted where they could be taken for more than a value.
func (l logging) handler(out io.Writer, terminal bool) slog.Handler {
	options := slog.HandlerOptions{Level: l.level}
	switch {
	case l.format == "json":
		options.ReplaceAttr = readable
		return slog.NewJSONHandler(harmlessLines{out}, &options)
	case terminal:
		return forPeople(out, l.level, colours())
	}
	return slog.NewTextHandler(harmlessLines{out}, &options)
}

// notice is the line in place of lines that were dropped, whatever the level.
func (l logging) notice(dropped int, terminal bool) []byte {
	what := "1 line was"
	if dropped > 1 {
		what = fmt.Sprintf("%d lines were", dropped)
	}
	var line bytes.Buffer
	l.handler(&line, terminal).Handle(context.Background(), slog.NewRecord(time.Now(), slog.LevelWarn, what+" dropped: nobody reads the log fast enough", 0))
	return line.Bytes()
}

func forPeople(out io.Writer, level slog.Level, colours bool) slog.Handler {
	return tint.NewTextHandler(out, &tint.Options{
		Level:       level,
		TimeFormat:  time.TimeOnly,
		NoColor:     !colours,
		ReplaceAttr: harmless,
	})
}

// harmless shows control characters as escapes, because anyone may have chosen
// what is logged, and a terminal would obey them.
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

// harmlessLines writes characters that mislead as escapes, where package slog
// leaves them as they are: within quotes.
type harmlessLines struct{ out io.Writer }

func (h harmlessLines) Write(line []byte) (int, error) {
	_, err := h.out.Write(escape(line, misleads))
	return len(line), err
}

// misleads reports whether a character within a line could make a person see
// another one.
func misleads(r rune) bool { return r != '\n' && endsLine(r) || unicode.Is(unicode.Bidi_Control, r) }

// readable has durations written as 1m30s, and not in nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
