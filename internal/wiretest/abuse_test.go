package wiretest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// What one client can do to others. Each test has a server of its own, and the
// attacks are run side by side with people who just talk.

// resident returns how many bytes of memory the process takes.
func (p *process) resident() int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Skip("memory is read from /proc")
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	fields := bytes.Fields(rest)
	kib, err := strconv.Atoi(string(fields[0]))
	if err != nil {
		p.t.Fatalf("VmRSS: %v", err)
	}
	return kib << 10
}

// talk makes two clients talk until stop is closed. It returns how long the
// longest answer took.
func (p *process) talk(stop <-chan struct{}) <-chan time.Duration {
	room := "/?topic=" + unique("talk")
	ann, bob := p.dial(p.t, room), p.dial(p.t, room)
	worst := make(chan time.Duration, 1)
	go func() {
		longest := time.Duration(0)
		defer func() { worst <- longest }()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			start := time.Now()
			if err := exchange(ann, bob, fmt.Sprint("word ", i)); err != nil {
				p.t.Errorf("word %d: %v", i, err)
				return
			}
			longest = max(longest, time.Since(start))
		}
	}()
	return worst
}

// exchange has a client say something that it and another must get next.
func exchange(from, to *client, text string) error {
	if err := from.write(websocket.MessageText, text); err != nil {
		return err
	}
	for c, want := range map[*client]string{from: mine(text), to: others(text)} {
		got, err := c.read()
		if err != nil {
			return err
		}
		if timeless(got) != want {
			return fmt.Errorf("got %.100q, want %q", got, want)
		}
	}
	return nil
}

// TestOthersPayForTheirTopics: clients that fill a thousand topics of their own,
// which they do not read, do not put a slow reader of another topic behind.
func TestOthersPayForTheirTopics(t *testing.T) {
	t.Parallel()
	const memory = 64 << 20
	p := start(t, "--memory", fmt.Sprint(memory))
	slow := p.raw(t, "/?topic=honest")
	speaker := p.dial(t, "/?topic=honest&echo=0")
	const size, said = 100_000, 36
	for i := range said {
		speaker.say(strings.Repeat("x", size-i)) // 3.6 MB of its 4 MiB
	}
	stop := make(chan struct{})
	worst := p.talk(stop)
	var hogs sync.WaitGroup
	for range 4 {
		hog := p.raw(t, "/rooms")
		var stream []byte
		name := unique("hog")
		for i := range 512 {
			stream = append(stream, appendFrame(nil, true, opText, fmt.Appendf(nil, `{"action":"subscribe","topic":"%s%d"}`, name, i))...)
		}
		for i := range 512 {
			stream = append(stream, appendFrame(nil, true, opText, fmt.Appendf(nil, `{"action":"broadcast","topic":"%s%d","payload":{"x":"%s"}}`, name, i, strings.Repeat("x", 120_000)))...)
		}
		hog.nc.SetDeadline(time.Now().Add(3 * time.Second))
		hogs.Go(func() { hog.nc.Write(stream) }) // until it is stuck, closed, or done
	}
	hogs.Wait()
	close(stop)
	if took := <-worst; took > 2*time.Second {
		t.Errorf("in between an answer took %v", took)
	}
	if used := p.resident(); used > 4*memory {
		t.Errorf("the process takes %d MB", used>>20)
	}
	slow.nc.SetDeadline(time.Now().Add(patience))
	for i := range said {
		slow.gets("the slow reader has lost nothing", "text:"+others(strings.Repeat("x", size-i)))
	}
}

// TestManyTopicsAtOnce: a client whose messages go to as many topics as may be
// does not hold up the others.
func TestManyTopicsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t)
	far := p.raw(t, "/?echo=0"+topics(maxReach))
	wide := p.raw(t, "/?echo=0"+topics(maxTopics)) // may only listen
	go io.Copy(io.Discard, far.in)
	go io.Copy(io.Discard, wide.in)
	stop := make(chan struct{})
	worst := p.talk(stop)
	stream := bytes.Repeat(frames("text:x"), 20_000)
	far.send(stream)
	wide.send(stream)
	close(stop)
	if took := <-worst; took > time.Second*slowdown {
		t.Errorf("in between an answer took %v", took)
	}
}

// TestHalfMessages: clients that never end a message take little memory, and
// are sent away.
func TestHalfMessages(t *testing.T) {
	t.Parallel()
	const memory, clients = 32 << 20, 400
	p := start(t, "--memory", fmt.Sprint(memory), "--message-timeout", "1s")
	half := appendFrame(nil, true, opText, bytes.Repeat([]byte("x"), maxMessage))
	half = half[:len(half)-1]
	ends := make(map[int]int)
	var all []*raw
	for range clients {
		c := p.raw(t, "/")
		c.nc.Write(half)
		all = append(all, c)
	}
	if used := p.resident(); used > 4*memory {
		t.Errorf("the process takes %d MB", used>>20)
	}
	for _, c := range all {
		told := c.ends()
		ends[told.code()]++
		if reason := told.reason(); !strings.HasPrefix(reason, "message-timeout: ") && !strings.HasPrefix(reason, "no-memory: ") {
			t.Errorf("told %v", told)
		}
	}
	if ends[1008] == 0 || ends[1013] == 0 {
		t.Errorf("it should be too late for some (1008), too much for others (1013): %v", ends)
	}
	c := p.dial(t, "/")
	c.say("hello")
	c.hears("afterwards all is well", mine("hello"))
}

// TestDirectoryIsBounded: who asks for the list of everyone as often as it can
// is slowed down to what a client may ask for, and others do not notice.
func TestDirectoryIsBounded(t *testing.T) {
	t.Parallel()
	p := start(t)
	for range 1000 { // 37 kB a list
		p.raw(t, "/directory")
	}
	stop := make(chan struct{})
	worst := p.talk(stop)
	c := p.raw(t, "/directory")
	const asked = 60
	began := time.Now()
	c.send(bytes.Repeat(frames("text:who"), asked))
	for range asked {
		f, err := readFrame(c.in)
		if err != nil || !bytes.Contains(f.payload, []byte(`"Count":1001`)) {
			t.Fatalf("got %.100v, %v", f, err)
		}
	}
	close(stop)
	if took := time.Since(began); took < time.Second {
		t.Errorf("2.2 MB of lists took %v", took)
	}
	if took := <-worst; took > time.Second*slowdown {
		t.Errorf("in between an answer took %v", took)
	}
}

// TestControlFlood: a client that sends nothing but pings is told to stop.
func TestControlFlood(t *testing.T) {
	t.Parallel()
	p := start(t)
	c := p.raw(t, "/")
	go func() {
		flood := bytes.Repeat(frames("pong:"), 10_000)
		for _, err := c.nc.Write(flood); err == nil; {
			_, err = c.nc.Write(flood)
		}
	}()
	if told, err := readFrame(c.in); err != nil || told.String() != "close 1008 control-flood: a client may send 100000 pings, pongs and empty fragments in a second" {
		t.Errorf("told %v, %v", told, err)
	}
}

// TestSilentSockets: sockets on which nothing is said do not take the place of
// those that ask for something, though they are more than the process may open.
func TestSilentSockets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files are limited by a shell")
	}
	t.Parallel()
	p := startWithFiles(t, 256)
	c := p.dial(t, "/")
	for range 300 {
		nc, err := p.connect()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
	}
	p.ask(t, "GET /healthz").is(t, "is it well", 200)
	second := p.dial(t, "/")
	second.say("hello")
	c.hears("those who are in do not notice", others("hello"))
	m := p.metrics(t)
	if m["crier_silent_connections_closed_total"] < 50 || m["crier_accept_failures_total"] != 0 {
		t.Errorf("%v were closed, %v could not be accepted", m["crier_silent_connections_closed_total"], m["crier_accept_failures_total"])
	}
}
