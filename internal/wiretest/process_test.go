package wiretest

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var running = flag.String("url", "", "test the server that runs there, such as ws://localhost:8080, and start none")

// programs is where the program is built.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wiretest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	flag.Parse()
	if err := certify(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// program builds the program, once, and returns its path.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "crier")
	args := []string{"build", "-o", path}
	if slowdown > 1 {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "crier/cmd/crier")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, lookAtSources()
})

// lookAtSources: go test answers with an old result as long as all that a test looked at is the same, and does not see
// what a compiler that the test calls looks at. So look at the directories that the program is built from.
func lookAtSources() error {
	ours := "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}"
	dirs, err := exec.Command("go", "list", "-deps", "-f", ours, "crier/cmd/crier").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	for dir := range strings.Lines(string(dirs)) {
		if _, err := os.ReadDir(strings.TrimSpace(dir)); err != nil {
			return err
		}
	}
	return nil
}

// A process is a crier serve.
type process struct {
	server
	t      *testing.T
	cmd    *exec.Cmd
	log    bytes.Buffer // to be read when the process has ended
	exited chan struct{}
	err    error // once exited
}

var address = regexp.MustCompile(`wss?://[^\s/]+`)

// start runs crier serve with more flags, and checks at the end of the test that nothing went wrong inside.
func start(t *testing.T, flags ...string) *process { return startLogging(t, nil, flags...) }

// startLogging is start with a log that goes to a file, unless that is nil.
func startLogging(t *testing.T, log *os.File, flags ...string) *process {
	t.Helper()
	if *running != "" {
		t.Skip("this is about a server that runs already")
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return launch(t, log, append([]string{path, "serve", "--listen", "127.0.0.1:0", "--log-level", "debug"}, flags...))
}

// startWithFiles is start for a process that may open only so many files.
func startWithFiles(t *testing.T, files int, flags ...string) *process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	shell := []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, files), path, "serve", "--listen", "127.0.0.1:0"}
	return launch(t, nil, append(shell, flags...))
}

// launch runs a command that serves. Its log goes to log, or is kept if that is
// nil.
func launch(t *testing.T, log *os.File, command []string) *process {
	t.Helper()
	p := &process{t: t, exited: make(chan struct{})}
	p.cmd = exec.Command(command[0], command[1:]...)
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "CRIER_") {
			p.cmd.Env = append(p.cmd.Env, line)
		}
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	p.cmd.Stdout, p.cmd.Stderr = in, &p.log
	if log != nil {
		p.cmd.Stderr = log
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(p.end)
	p.server = server(p.banner(out))
	return p
}

// banner reads what the process says at first, and returns the first address in it.
func (p *process) banner(out *os.File) string {
	p.t.Helper()
	out.SetReadDeadline(time.Now().Add(patience))
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if url := address.FindString(line); url != "" {
			return url
		}
		if err != nil {
			p.t.Fatalf("crier serve tells no address: %v", err)
		}
	}
}

// end kills what still runs, and looks for what the tests cannot see.
func (p *process) end() {
	p.cmd.Process.Kill()
	<-p.exited
	log := p.log.String()
	for _, bad := range []string{"panic", "DATA RACE", "goroutine "} {
		if at := strings.Index(log, bad); at >= 0 {
			p.t.Errorf("in the log: %.5000s", log[at:])
			return
		}
	}
}

// stop sends SIGTERM.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// exits waits for the end of the process, which must be a good one.
func (p *process) exits() {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
	}
	if p.err != nil {
		p.t.Fatalf("the process ended with %v", p.err)
	}
}
