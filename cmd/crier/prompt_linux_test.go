package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// person sits at a pseudo-terminal: types into it and reads what is on it.
type person struct {
	t        *testing.T
	desk     *os.File // the person's side
	terminal *os.File // the program's side
	seen     string
	passed   string // of what was seen, up to where the last wait ended
}

func sitDown(t *testing.T) *person {
	t.Helper()
	desk, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { desk.Close() })
	control, err := desk.SyscallConn() // Fd would make reads block beyond their deadline
	if err != nil {
		t.Fatal(err)
	}
	var number int
	control.Control(func(fd uintptr) {
		unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
		number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return &person{t: t, desk: desk, terminal: terminal}
}

// resizes makes the screen larger or smaller.
func (p *person) resizes(rows, columns uint16) {
	p.t.Helper()
	size := unix.Winsize{Row: rows, Col: columns}
	if err := unix.IoctlSetWinsize(int(p.terminal.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := p.desk.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// sees reads until text is there, and past it.
func (p *person) sees(text string) {
	p.t.Helper()
	p.desk.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 4096)
	for !strings.Contains(p.seen, text) {
		n, err := p.desk.Read(buf)
		p.seen += string(buf[:n])
		if err != nil {
			p.t.Fatalf("waiting for %q, saw %q: %v", text, p.seen, err)
		}
	}
	before, after, _ := strings.Cut(p.seen, text)
	p.passed, p.seen = p.passed+before+text, after
}

// starts crier connect, and gives the error it ends with.
func (p *person) starts(c connect) <-chan error {
	p.t.Helper()
	in, err := interruptible(p.terminal)
	if err != nil {
		p.t.Fatal(err)
	}
	c.streams = streams{in: in, out: p.terminal, errOut: p.terminal, keyboard: p.terminal, screen: p.terminal}
	ended := make(chan error, 1)
	go func() { ended <- c.run(context.Background()) }()
	return ended
}

func (p *person) state() *term.State {
	p.t.Helper()
	state, err := term.GetState(int(p.terminal.Fd()))
	if err != nil {
		p.t.Fatal(err)
	}
	return state
}

func TestAtATerminal(t *testing.T) {
	for name, leave := range map[string]string{
		"Ctrl-C":                "\x03",
		"Ctrl-D":                "\x04",
		"Ctrl-C half-way":       "half a line\x03",
		"Ctrl-C after the line": "whole line\r\x03",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "1")
			left := make(chan error, 1)
			server := peer(t, echo(left))
			p := sitDown(t)
			before := p.state()
			ended := p.starts(connect{url: server})

			p.sees("connected to ws://127.0.0.1")
			p.sees("> ")
			p.types("hello\r")
			p.sees("< hello\r\n")
			p.types("\x1b[A!\r") // up: the line before, and one more character
			p.sees("< hello!\r\n")
			p.types("\x1b[200~tab\there\x1b[201~\r")
			p.sees("< tab\there\r\n")
			p.types(leave)
			p.sees("bye\r\n")

			if err := <-ended; err != nil {
				t.Error(err)
			}
			if code := websocket.CloseStatus(<-left); code != websocket.StatusNormalClosure {
				t.Errorf("left with %d, want 1000", code)
			}
			if !reflect.DeepEqual(p.state(), before) {
				t.Error("the terminal is not as it was")
			}
		})
	}
}

// The Esc key starts a sequence for the line editor, which must not swallow the way out.
func TestCtrlCAfterEsc(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	p := sitDown(t)
	ended := p.starts(connect{url: peer(t, echo(make(chan error, 1)))})
	p.sees("> ")
	p.types("\x1b")
	p.types("\x03")
	p.types("\x03")
	p.sees("bye\r\n")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestServerLeavesAPersonTyping(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	goOn := make(chan struct{})
	server := peer(t, func(r *http.Request, conn *websocket.Conn) {
		<-goOn
		conn.Write(r.Context(), websocket.MessageText, []byte("\x1b[2Jnews"))
		conn.Close(websocket.StatusTryAgainLater, "read faster")
	})
	p := sitDown(t)
	before := p.state()
	ended := p.starts(connect{url: server})
	p.sees("> ")
	p.types(strings.Repeat("long ", 20)) // more than a row
	p.sees(strings.Repeat("long ", 15))
	close(goOn)
	p.sees("< \\x1b[2Jnews\r\n")
	p.sees("> long ")
	p.sees("\x1b[A") // the row above is erased, too
	if err := <-ended; err == nil || err.Error() != "closed: 1013 read faster" {
		t.Errorf("ended with %v", err)
	}
	if !reflect.DeepEqual(p.state(), before) {
		t.Error("the terminal is not as it was")
	}
}

// TestNothingIsRawAtATerminal: --raw is for pipes, and everything else has its control characters shown.
func TestNothingIsRawAtATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	server := peer(t, func(r *http.Request, conn *websocket.Conn) {
		conn.Write(r.Context(), websocket.MessageText, []byte("\x1b]0;owned\a\u009b2J\r\n< forged"))
		conn.Close(websocket.StatusNormalClosure, "\x1b[2Jdone")
	})
	p := sitDown(t)
	if err := <-p.starts(connect{url: server, raw: true}); err == nil || !strings.Contains(err.Error(), "--raw is for pipes and files") {
		t.Errorf("with --raw: %v", err)
	}
	ended := p.starts(connect{url: server})
	p.sees("< " + `\x1b]0;owned\x07\u009b2J\x0d` + "\r\n  < forged\r\n")
	p.sees(`closed: 1000 \x1b[2Jdone`)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestColourOnlyWhereWanted(t *testing.T) {
	p := sitDown(t)
	screen := streams{screen: p.terminal}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if !lookOf(screen).colour || lookOf(streams{}).colour {
		t.Error("colour belongs on a terminal, and only there")
	}
	t.Setenv("NO_COLOR", "1")
	if lookOf(screen).colour {
		t.Error("colour in spite of NO_COLOR")
	}
}

// TestLiveAtATerminal: with live, a person sees who is here and what was said
// before, and a rejected message once.
func TestLiveAtATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	asked := make(chan string, 1)
	server := peer(t, func(r *http.Request, conn *websocket.Conn) {
		asked <- r.URL.RequestURI()
		write := func(text string) { conn.Write(r.Context(), websocket.MessageText, []byte(text)) }
		write(`{"_hello":{"id":"A","user":"ada","resume":"x","offset":"o-1","missed":false,"said":0,"count":2,"here":[{"id":"B","user":"ben"},{"id":"A","user":"ada"}]},"_topic":"lobby","_now":1}`)
		write(`{"data":"before","_topic":"lobby","_user":"ben","_from":"B","_offset":"o-1","_now":1,"_me":false}`)
		write(`{"_ready":true,"_topic":"lobby","_offset":"o-1","_now":1}`)
		conn.Read(r.Context())
		write(`{"_error":{"name":"nobody","text":"nobody called cleo is in this topic"},"_now":2}`)
		write(`{"data":"the end","_topic":"lobby","_user":"ben","_from":"B","_offset":"o-2","_now":3,"_me":false}`)
		conn.Read(r.Context())
	})
	for path, c := range map[string]connect{
		"":           {app: "live", reconnect: true},
		"/crier/":    {app: "live"},
		"/some/live": {},
	} {
		p := sitDown(t)
		c.url, c.topics, c.user = server+path, []string{"lobby"}, "ada"
		ended := p.starts(c)
		if uri, want := <-asked, c.app != ""; strings.Contains(uri, "last=20") != want || !strings.Contains(uri, "topic=lobby") {
			t.Errorf("it asks for %s", uri)
		}
		p.sees("* lobby: you are ada; ben is here\r\n")
		p.sees(" ben: before\r\n")
		p.types(`{"x":1,"_to":"cleo"}` + "\r")
		p.sees("* not sent: nobody called cleo is in this topic\r\n")
		p.sees("< ben: the end\r\n")
		p.types("\x03")
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := strings.Count(p.passed, "nobody called cleo"); n != 1 {
			t.Errorf("the refusal is there %d times: %q", n, p.passed)
		}
	}
}
