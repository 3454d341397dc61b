// Package interop has no code: its tests drive crier with clients that others wrote, unmodified.
package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen; it matters only when it does not.
const patience = 20 * time.Second

const wscat = "node_modules/wscat/bin/wscat"

// crier is the program, which TestMain builds.
var crier string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	crier = filepath.Join(dir, "crier")
	code := 1
	if out, err := exec.Command("go", "build", "-o", crier, "crier/cmd/crier").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// serve starts crier with more flags and returns its address.
func serve(t *testing.T, flags ...string) (url string) {
	t.Helper()
	for _, file := range []string{wscat, "node_modules/ws/package.json"} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%v: run make test, or npm ci in internal/interop", err)
		}
	}
	cmd := exec.Command(crier, append([]string{"serve", "--listen", "127.0.0.1:0", "--drain", "0s"}, flags...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url = regexp.MustCompile(`ws://[^\s/]+`).FindString(lines.Text()); url != "" {
			return url
		}
	}
	t.Fatal("the server does not say where it listens")
	return ""
}

// TestWS runs ws.mjs, which says of each of its tests whether it holds.
func TestWS(t *testing.T) {
	cmd := exec.Command("node", "ws.mjs", serve(t))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	t.Logf("%s", out)
	if err != nil || !strings.HasSuffix(string(out), "all of it\n") {
		t.Errorf("%v\n%s", err, complaints.String())
	}
}

// TestWscat has two people at terminals, each with a wscat.
func TestWscat(t *testing.T) {
	url := serve(t)
	ann, bob := sitDown(t, url), sitDown(t, url)
	ann.sees("Connected", "> ")
	bob.sees("Connected", "> ")
	ann.types("hi there\r")
	ann.sees(`< {"data":"hi there","_now":`, `,"_me":true}`)
	bob.sees(`< {"data":"hi there","_now":`, `,"_me":false}`)
	bob.types(`{"a":1.0}` + "\r")
	bob.sees(`< {"a":1.0,"_now":`, `,"_me":true}`)
	ann.sees(`< {"a":1.0,"_now":`, `,"_me":false}`)
	bob.types("\x03")
	ann.types("\x03")
}

// TestWscatRefused: wscat shows the status of a refused handshake.
func TestWscatRefused(t *testing.T) {
	sitDown(t, serve(t)+"/bridge").sees("Unexpected server response: 400")
}

// A person sits at a pseudo-terminal in which wscat runs.
type person struct {
	t    *testing.T
	desk *os.File
	seen string
}

func sitDown(t *testing.T, url string) *person {
	t.Helper()
	desk, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { desk.Close() })
	control, err := desk.SyscallConn() // Fd would make reads block beyond their deadline
	if err != nil {
		t.Fatal(err)
	}
	var number int
	control.Control(func(fd uintptr) {
		unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 200})
		number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	cmd := exec.Command("node", wscat, "-c", url)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &person{t: t, desk: desk}
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := p.desk.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// sees reads until the texts are there, one after the other, and past them.
func (p *person) sees(texts ...string) {
	p.t.Helper()
	p.desk.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for _, text := range texts {
		for !strings.Contains(p.seen, text) {
			n, err := p.desk.Read(buf)
			p.seen += string(buf[:n])
			if err != nil {
				p.t.Fatalf("waiting for %q, saw %q: %v", text, p.seen, err)
			}
		}
		_, p.seen, _ = strings.Cut(p.seen, text)
	}
}
