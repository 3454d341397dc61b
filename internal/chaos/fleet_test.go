//go:build linux

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crier/cluster"
	"crier/internal/wiretest"
)

// linger is short, so that sessions end meanwhile.
const linger = 3 * time.Second

// patience is how long servers may take to become ready when nothing hinders
// them. Elections can repeat.
const patience = 60 * time.Second

// A fleet is the servers, and what is between them.
type fleet struct {
	t       *testing.T
	dir     string
	nodes   []*node
	proxies map[[2]int]*proxy // from one server to another; with a NATS of its own, to that: 0
	nats    *natsServer       // nil: NATS is in the servers
}

// A node is a server, over several processes.
type node struct {
	fleet  *fleet
	number int
	job    job
	log    *os.File

	// Of the process that runs, owned by the test's goroutine.
	cmd    *exec.Cmd // nil: none
	in     io.WriteCloser
	out    *bufio.Reader
	exited chan struct{}
	err    error // once exited

	mu  sync.Mutex
	url string // empty: it is not there
}

// newFleet starts n servers.
func newFleet(t *testing.T, n int, own *natsServer) *fleet {
	f := &fleet{t: t, dir: *keep, proxies: make(map[[2]int]*proxy), nats: own}
	if f.dir == "" {
		f.dir = t.TempDir()
	} else if err := os.MkdirAll(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	listen := wiretest.FreeAddresses(t, serverHost, n)
	for i := range n {
		x := &node{fleet: f, number: i, job: job{Name: fmt.Sprint("s", i), Linger: linger}}
		var err error
		if x.log, err = os.Create(filepath.Join(f.dir, x.job.Name+".log")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { x.log.Close() })
		if own != nil {
			p := newProxy(t, own.address)
			f.proxies[[2]int{i, i}] = p
			x.job.NATS = &cluster.NATS{URL: "nats://" + p.address()}
		} else {
			x.job.Embedded = &cluster.Embedded{Listen: listen[i], Peers: f.peers(t, i, listen), Dir: x.data()}
		}
		f.nodes = append(f.nodes, x)
	}
	t.Cleanup(func() {
		for _, x := range f.nodes {
			x.kill()
		}
	})
	for _, x := range f.nodes {
		x.start()
	}
	return f
}

// peers returns the servers as the one of that number reaches them: itself
// directly, the others through proxies.
func (f *fleet) peers(t *testing.T, number int, listen []string) (peers []string) {
	for i, address := range listen {
		if i != number {
			p := newProxy(t, address)
			f.proxies[[2]int{number, i}] = p
			address = p.address()
		}
		peers = append(peers, address)
	}
	return peers
}

// others returns the other nodes.
func (f *fleet) others(x *node) (list []*node) {
	for _, other := range f.nodes {
		if other != x {
			list = append(list, other)
		}
	}
	return list
}

// part parts two servers, or joins them again.
func (f *fleet) part(a, b *node, m mode) {
	f.proxies[[2]int{a.number, b.number}].set(m)
	f.proxies[[2]int{b.number, a.number}].set(m)
}

// isolate parts a server from all others, and from its NATS.
func (f *fleet) isolate(x *node, m mode) {
	for way, p := range f.proxies {
		if way[0] == x.number || way[1] == x.number {
			p.set(m)
		}
	}
}

func (x *node) data() string { return filepath.Join(x.fleet.dir, x.job.Name) }

func (x *node) start() {
	t := x.fleet.t
	text, err := json.Marshal(x.job)
	if err != nil {
		t.Fatal(err)
	}
	x.cmd = exec.Command(os.Args[0])
	x.cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	x.cmd.Stderr = x.log
	// A server that is stopped does not see that the test is gone.
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if x.in, err = x.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	x.out = bufio.NewReader(out)
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := x.out.ReadString('\n')
	x.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		x.err = cmd.Wait()
		close(exited)
	}(x.cmd, x.exited)
	if err != nil {
		t.Fatalf("%s does not start: %v", x.job.Name, err)
	}
	x.setURL(strings.TrimSpace(line))
}

func (x *node) setURL(url string) {
	x.mu.Lock()
	x.url = url
	x.mu.Unlock()
}

// address returns where clients reach the server; nothing if there is none.
func (x *node) address() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.url
}

func (x *node) signal(s os.Signal) {
	if x.cmd != nil {
		x.cmd.Process.Signal(s)
	}
}

// kill ends the process as a power cut would, except that the disk has all.
func (x *node) kill() {
	if x.cmd == nil {
		return
	}
	x.setURL("")
	x.cmd.Process.Kill()
	<-x.exited
	x.cmd = nil
}

// end ends the process in good order.
func (x *node) end() {
	x.signal(syscall.SIGTERM)
	select {
	case <-x.exited:
		if x.err != nil {
			x.fleet.t.Errorf("%s ended with %v", x.job.Name, x.err)
		}
	case <-time.After(patience):
		x.fleet.t.Errorf("%s does not end", x.job.Name)
		x.signal(syscall.SIGQUIT) // its goroutines are in the log
		<-x.exited
	}
	x.setURL("")
	x.cmd = nil
}

// alive fails the test if the process has ended by itself.
func (x *node) alive() {
	if x.cmd == nil {
		return
	}
	select {
	case <-x.exited:
		x.fleet.t.Fatalf("%s has ended by itself: %v", x.job.Name, x.err)
	default:
	}
}

// get returns the answer of the server to a request.
func (x *node) get(path string) (status int, text string, err error) {
	url := x.address()
	if url == "" {
		return 0, "", errors.New("it is not there")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http"+strings.TrimPrefix(url, "ws")+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Close = true
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	return a.StatusCode, strings.TrimSpace(string(data)), err
}

// ready reports whether the server takes clients.
func (x *node) ready() (ok bool, why string) {
	status, text, err := x.get("/readyz")
	if err != nil {
		return false, err.Error()
	}
	return status == http.StatusOK, text
}

// await waits until servers take clients.
func (f *fleet) await(nodes ...*node) {
	f.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for _, x := range nodes {
		deadline := time.Now().Add(patience)
		for {
			x.alive()
			ok, why := x.ready()
			if ok {
				break
			}
			if time.Now().After(deadline) {
				f.t.Fatalf("%s is not ready after %v: %s", x.job.Name, patience, why)
			}
			<-again.C
		}
	}
}

// digest returns the digest of what the server knows.
func (x *node) digest() string {
	io.WriteString(x.in, "digest\n")
	line, err := x.out.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// What servers log: what must not be, and what is counted.
var (
	badLines = []string{"panic", "fatal error", "DATA RACE", "is not that of the checkpoint", "is no batch", "has stopped here"}
	counted  = map[string]string{
		"checkpoints": "a checkpoint is complete", "cut off": "must go to others", "started over": "it starts over",
		"lost batches": "could not be stored",
	}
)

// disagreements returns what servers have logged or counted that must not be.
func (f *fleet) disagreements() (lines []string) {
	for _, x := range f.nodes {
		if _, text, err := x.get("/metrics"); err != nil || !strings.Contains(text, "\ncrier_cluster_disagreements_total 0\n") {
			lines = append(lines, x.job.Name+": its metrics count a disagreement, or nothing")
		}
	}
	f.logged(func(x *node, line string) {
		for _, bad := range badLines {
			if strings.Contains(line, bad) {
				lines = append(lines, x.job.Name+": "+strings.TrimSpace(line))
			}
		}
	})
	return lines
}

// events counts what has happened to the servers.
func (f *fleet) events() map[string]int {
	events := make(map[string]int)
	f.logged(func(_ *node, line string) {
		for name, part := range counted {
			if strings.Contains(line, part) {
				events[name]++
			}
		}
	})
	return events
}

func (f *fleet) logged(each func(x *node, line string)) {
	for _, x := range f.nodes {
		data, _ := os.ReadFile(x.log.Name())
		for line := range strings.Lines(string(data)) {
			each(x, line)
		}
	}
}
