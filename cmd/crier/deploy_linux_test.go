package main

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crier/deploy"
)

// On a terminal each resource has one row, which changes.
func TestReportOnATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	p := sitDown(t)
	unix.IoctlSetWinsize(int(p.terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60})
	r := newReport(p.terminal)
	begin := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	r.tell(deploy.Planned{Name: "game", New: true, Changes: []deploy.Change{{Action: "Add", Resource: "Table", Type: "AWS::DynamoDB::Table"}}})
	p.sees("create the stack game:\r\n")
	p.sees("add      Table         DynamoDB::Table\r\n")
	r.tell(deploy.Progress{Resource: "game", Type: "AWS::CloudFormation::Stack", Status: "CREATE_IN_PROGRESS", Time: begin})
	r.tell(deploy.Progress{Resource: "Table", Type: "AWS::DynamoDB::Table", Status: "CREATE_IN_PROGRESS", Time: begin})
	p.sees("creating\r\n")
	p.sees("\x1b[1A\r\x1b[K      0s  game")
	p.sees("      0s  Table")
	r.tell(deploy.Progress{Resource: "Table", Type: "AWS::DynamoDB::Table", Status: "CREATE_FAILED", Reason: "a reason that is longer than a row of this terminal", Time: begin.Add(9 * time.Second)})
	p.sees("\x1b[2A\r\x1b[K      0s  game")
	p.sees("      9s  Table         could not be created: a reason that\r\n")
}

// A terminal may not know how large it is.
func TestReportOnATerminalWithoutSize(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	p := sitDown(t)
	unix.IoctlSetWinsize(int(p.terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{})
	r := newReport(p.terminal)
	r.tell(deploy.Progress{Resource: "game", Status: "CREATE_IN_PROGRESS"})
	r.tell(deploy.Progress{Resource: "Table", Status: "CREATE_IN_PROGRESS"})
	p.sees("\x1b[1A\r\x1b[K      0s  game          creating\r\n")
	p.sees("      0s  Table         creating\r\n")
}

func TestRemoveAsks(t *testing.T) {
	a := account(t)
	if _, errOut, code := crier("deploy", "--name", "game", "--lambda-zip", lambdaZip(t, "one")); code != 0 {
		t.Fatal(errOut)
	}
	for _, answer := range []string{"\r", "nein\r", "\x04", "y\r"} {
		p := sitDown(t)
		in, err := interruptible(p.terminal)
		if err != nil {
			t.Fatal(err)
		}
		s := stack{name: "game", streams: streams{in: in, out: p.terminal, errOut: p.terminal, keyboard: p.terminal, screen: p.terminal}}
		ended := make(chan error, 1)
		go func() { ended <- s.remove(context.Background(), false) }()
		p.sees("Remove the stack game in eu-central-1, its address, its connections and its logs? [y/N] ")
		p.types(answer)
		err = <-ended
		if answer == "y\r" {
			if err != nil || a.Stack("game").Name != "" {
				t.Errorf("after yes: %v", err)
			}
		} else if err == nil || err.Error() != "nothing was removed" || a.Stack("game").Name == "" {
			t.Errorf("after %q: %v", answer, err)
		}
	}
}

// ctrl-C while the question is open is no answer, and the program ends.
func TestRemoveAsksUntilCtrlC(t *testing.T) {
	account(t)
	p := sitDown(t)
	in, err := interruptible(p.terminal)
	if err != nil {
		t.Fatal(err)
	}
	s := stack{name: "game", streams: streams{in: in, out: p.terminal, errOut: p.terminal, keyboard: p.terminal, screen: p.terminal}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.remove(ctx, false) }()
	p.sees("[y/N] ")
	cancel()
	if err := <-ended; err == nil || err.Error() != "nothing was removed" {
		t.Errorf("ended with %v", err)
	}
}
