package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"crier/serve"
)

// TestBannerComesFirst: at a terminal, where banner and log are on one screen,
// warnings come after the banner.
func TestBannerComesFirst(t *testing.T) {
	p := sitDown(t)
	ctx, stop := context.WithCancel(t.Context())
	cmd := newServe()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(p.terminal)
	cmd.SetErr(p.terminal)
	cmd.SetArgs([]string{"--listen", "127.0.0.1:0", "--token-secret", "short", "--drain", "0"})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	p.sees("serving")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	banner, log, ok := strings.Cut(p.passed, "npx wscat")
	if !ok || strings.Contains(banner, "WRN") || !strings.Contains(log, "a token secret is short") || !strings.HasPrefix(banner, "crier serves") {
		t.Errorf("the screen shows\n%s", p.passed)
	}
	if strings.Contains(p.passed, inkOnPaper) {
		t.Error("there is a code for an address that no phone can reach")
	}
}

// TestCodeAtTheTerminal: a phone gets a code, unless the screen has no colours, or
// the beginning of the banner would leave it.
func TestCodeAtTheTerminal(t *testing.T) {
	apps := serve.Apps()
	for _, closed := range []bool{false, true} {
		b := banner{here: "ws://localhost:8080", there: "ws://192.168.1.20:8080", page: true, closed: closed, mounts: apps}
		fits, hint := 0, ""
		for rows := uint16(20); rows < 60; rows++ {
			p := sitDown(t)
			p.resizes(rows, 80)
			t.Setenv("TERM", "xterm")
			t.Setenv("NO_COLOR", "")
			b.write(p.terminal)
			p.terminal.WriteString("the end")
			p.sees("the end")
			if !strings.Contains(p.passed, inkOnPaper) {
				hint = regexp.MustCompile(`A window of \d+ lines`).FindString(p.passed)
				if fits > 0 {
					t.Errorf("a code fits into %d rows, and not into %d", fits, rows)
				}
				continue
			}
			if fits == 0 {
				fits = int(rows)
			}
			_, after, _ := strings.Cut(p.passed, "http://localhost:8080")
			if n := strings.Count(after, "\n") + 2 + 1; n > int(rows) { // with two lines of the log, and the cursor
				t.Errorf("from the page's address on there are %d lines, on a screen of %d", n, rows)
			}
		}
		if fits == 0 || fits > 42 || hint != fmt.Sprintf("A window of %d lines", fits) {
			t.Errorf("a code fits from %d rows on, and said was %q", fits, hint)
		}
	}
	for _, environment := range []string{"", "NO_COLOR", "TERM"} {
		t.Setenv("TERM", "xterm")
		t.Setenv("NO_COLOR", "")
		if environment != "" {
			t.Setenv(environment, "dumb")
		}
		p := sitDown(t)
		p.resizes(50, 80)
		banner{here: "ws://localhost:8080", there: "ws://192.168.1.20:8080", page: true, closed: true}.write(p.terminal)
		p.terminal.WriteString("the end")
		p.sees("the end")
		if got := strings.Contains(p.passed, inkOnPaper); got != (environment == "") {
			t.Errorf("with %s set, there is a code: %v", environment, got)
		}
	}
}
