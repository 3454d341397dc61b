package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"crier/api"
)

var (
	ours = regexp.MustCompile("\x1b\\[[0-9;]*m")
	evil = []string{
		"\x1b[31mEVIL\x1b]0;owned\a", "a\n12:00:00 INF fake=line", "a\rb\x1b[2K", `a \x1b]0;owned`, `\x1b]0;owned`, "\u009b2K", "\u202efdp", "a\x7f\xff",
		"a b=c", `x" level=ERROR msg="stopped`, "x\ntime=2026 level=ERROR msg=stopped", `","level":"ERROR`, `\`, `\" b=1`, "=", `"`, "x=1", "\u2028b=c", "\u00a0b=c", "", " ",
	}
)

// TestLogIsHarmless: whatever clients say, the terminal obeys only us.
func TestLogIsHarmless(t *testing.T) {
	for name, handler := range map[string]func(b *bytes.Buffer) slog.Handler{
		"colours": func(b *bytes.Buffer) slog.Handler { return forPeople(b, slog.LevelInfo, true) },
		"people":  func(b *bytes.Buffer) slog.Handler { return forPeople(b, slog.LevelInfo, false) },
		"text":    func(b *bytes.Buffer) slog.Handler { return logging{}.handler(b, false) },
		"json":    func(b *bytes.Buffer) slog.Handler { return logging{format: "json"}.handler(b, true) },
	} {
		for _, evil := range evil {
			write := func(text string) string {
				var b bytes.Buffer
				log := slog.New(handler(&b))
				log.With("with", text).Info(text, "string", text, "error", errors.New(text), "list", []string{text}, slog.Group("group", "in", text), "for", time.Second)
				return b.String()
			}
			got := write(evil)
			if plain := write("fine"); len(ours.FindAllString(got, -1)) != len(ours.FindAllString(plain, -1)) {
				t.Errorf("%s: %q is logged as %q", name, evil, got)
			}
			line, found := strings.CutSuffix(ours.ReplaceAllString(got, ""), "\n")
			if line != printable(line) || strings.ContainsAny(line, "\n\t") || !found {
				t.Errorf("%s: %q is logged as %q", name, evil, got)
			}
		}
	}
}

// TestLogCannotBeForged: a value stays a value, and does not become an attribute, a message or a line.
func TestLogCannotBeForged(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(b *bytes.Buffer) slog.Handler
		parse   func(t *testing.T, line string) map[string]string
	}{
		"people": {func(b *bytes.Buffer) slog.Handler { return forPeople(b, slog.LevelInfo, false) }, func(t *testing.T, line string) map[string]string {
			fields := strings.SplitN(line, " ", 4)
			return parseFields(t, "level="+fields[1]+" msg="+fields[2]+" "+fields[3])
		}},
		"text": {func(b *bytes.Buffer) slog.Handler { return logging{}.handler(b, false) }, parseFields},
		"json": {func(b *bytes.Buffer) slog.Handler { return logging{format: "json"}.handler(b, false) }, func(t *testing.T, line string) map[string]string {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			texts := make(map[string]string)
			for key, value := range fields {
				texts[key], _ = value.(string)
			}
			return texts
		}},
	} {
		t.Run(name, func(t *testing.T) {
			write := func(text string) map[string]string {
				var b bytes.Buffer
				slog.New(c.handler(&b)).With("with", text).Info("event", "string", text, "error", errors.New(text), "list", []string{text}, "last", "end")
				return c.parse(t, strings.TrimSuffix(b.String(), "\n"))
			}
			want := slices.Sorted(maps.Keys(write("fine")))
			for _, evil := range evil {
				got := write(evil)
				if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) || got["msg"] != "event" || got["last"] != "end" || !strings.HasPrefix(got["level"], "INF") {
					t.Errorf("%q is logged as %q", evil, got)
				}
			}
		})
	}
}

// parseFields reads a line of key=value, where a value may be quoted.
func parseFields(t *testing.T, line string) map[string]string {
	t.Helper()
	fields := make(map[string]string)
	for rest := line; rest != ""; {
		key, after, ok := strings.Cut(rest, "=")
		if _, twice := fields[key]; !ok || twice || strings.ContainsAny(key, ` "`) {
			t.Fatalf("%q has a key %q", line, key)
		}
		if quoted, err := strconv.QuotedPrefix(after); err == nil {
			fields[key], _ = strconv.Unquote(quoted)
			rest = strings.TrimPrefix(after[len(quoted):], " ")
			continue
		}
		fields[key], rest, _ = strings.Cut(after, " ")
	}
	return fields
}

// TestLogFormats: text for people and programs alike, unless JSON is asked for; and what was dropped is told in the same form.
func TestLogFormats(t *testing.T) {
	for _, c := range []struct {
		logging logging
		want    string
	}{
		{logging{}, `^time=\S+ level=INFO msg=serving url=ws://localhost:8080 for=1m30s\n$`},
		{logging{format: "text"}, `^time=\S+ level=INFO msg=serving`},
		{logging{format: "json"}, `^\{"time":"[^"]+","level":"INFO","msg":"serving","url":"ws://localhost:8080","for":"1m30s"\}\n$`},
		{logging{level: slog.LevelWarn}, `^$`},
	} {
		var b bytes.Buffer
		log := c.logging.open(&b)
		log.Debug("refused")
		log.Info("serving", "url", "ws://localhost:8080", "for", 90*time.Second)
		log.close()
		if !regexp.MustCompile(c.want).MatchString(b.String()) {
			t.Errorf("%+v writes %q", c.logging, &b)
		}
	}
	for dropped, want := range map[int]string{
		1:  `^time=\S+ level=WARN msg="1 line was dropped: nobody reads the log fast enough"\n$`,
		12: `^time=\S+ level=WARN msg="12 lines were dropped: nobody reads the log fast enough"\n$`,
	} {
		if got := (logging{level: slog.LevelError}).notice(dropped, false); !regexp.MustCompile(want).Match(got) {
			t.Errorf("of %d dropped lines it says %q", dropped, got)
		}
	}
	if got := (logging{format: "json"}).notice(2, true); !regexp.MustCompile(`^\{"time":"[^"]+","level":"WARN","msg":"2 lines were dropped: nobody reads the log fast enough"\}\n$`).Match(got) {
		t.Errorf("in JSON it says %q", got)
	}
}

// TestFunctionsAreHarmless: what a function prints may be what a client has said.
func TestFunctionsAreHarmless(t *testing.T) {
	var screen bytes.Buffer
	lines := newQueue(&screen, noticeOf)
	log := journal{how: logging{level: slog.LevelError}, lines: lines, terminal: true}
	tell := teller{log: log, events: true, out: harmlessLines{lines}}
	tell.output("main", []string{"\x1b[2J\rforged"})
	tell.report(api.Report{Event: []byte("{\"body\":\"\u009b2J\u202e\"}")})
	lines.Close()
	if want := `main | \x1b[2J\x0dforged` + "\n" + `{"body":"\u009b2J\u202e"}` + "\n"; screen.String() != want {
		t.Errorf("the screen shows %q, want %q", &screen, want)
	}
}
