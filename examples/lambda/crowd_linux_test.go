package lambda

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slow is a handler that takes a while, as one does that waits for others. It
// has ten processes.
const slow = `
exports.handler = async (event) => {
  const { eventType } = event.requestContext;
  await new Promise((resolve) => setTimeout(resolve, eventType === 'CONNECT' ? 0 : 300));
  return { statusCode: 200, body: event.body };
};`

const slowFile = "routes: {$connect: node, $disconnect: node, $default: {integration: node, routeResponse: true}}\n" +
	"integrations: {node: {lambda: {handler: index.handler, concurrency: 10}}}"

// serveSlow runs crier gateway with all ten processes.
func serveSlow(t *testing.T) (*gateway, *client) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "index.js", slow)
	g := serve(t, write(t, dir, "crier.yaml", slowFile))
	c := g.dial("")
	for deadline := time.Now().Add(patience); len(family(g.cmd.Process.Pid)) < 10; {
		if time.Now().After(deadline) {
			t.Fatalf("there are %d processes", len(family(g.cmd.Process.Pid)))
		}
		c.sayAndHear(20)
	}
	c.sayAndHear(20) // now all have started
	return g, c
}

// sayAndHear sends messages and waits for the answers.
func (c *client) sayAndHear(messages int) {
	c.t.Helper()
	for range messages {
		c.say("hi")
	}
	for range messages {
		c.hears("an answer", "hi")
	}
}

// TestBusyClient: a hundred messages of one client delay nobody else by more
// than what is being handled takes.
func TestBusyClient(t *testing.T) {
	g, busy := serveSlow(t)
	other := g.dial("")
	for range 100 { // three seconds for ten processes
		busy.say("hi")
	}
	busy.hear() // the first ten are handled
	start := time.Now()
	other.say("me, too")
	other.hears("an answer", "me, too")
	answered := time.Since(start)
	start = time.Now()
	g.dial("")
	connected := time.Since(start)
	t.Logf("another client's message took %v, a handshake %v", answered, connected)
	if answered > 1500*time.Millisecond || connected > 1500*time.Millisecond {
		t.Error("that is more than what is being handled takes")
	}
	for range 99 {
		busy.hears("the others' answers", "hi")
	}
}

// TestConcurrency: two hundred messages at once to a function that takes a
// second are answered as fast as its ten processes can: within a tenth of the
// time that they say they were at work.
func TestConcurrency(t *testing.T) {
	if testing.Short() {
		t.Skip("takes twenty seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "index.js", `
exports.handler = async (event) => {
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, Number(event.body)));
  return { statusCode: 200, body: process.pid + " " + (performance.now() - start) };
};`)
	g := serve(t, write(t, dir, "crier.yaml",
		"routes: {$default: {integration: node, routeResponse: true}}\n"+
			"integrations: {node: {lambda: {handler: index.handler, concurrency: 10}}}"))
	c := g.dial("")
	processes := make(map[int]bool)
	answer := func() (worked time.Duration) {
		var pid int
		var ms float64
		if _, err := fmt.Sscan(c.hear(), &pid, &ms); err != nil {
			t.Fatal(err)
		}
		processes[pid] = true
		return time.Duration(ms * float64(time.Millisecond))
	}
	for deadline := time.Now().Add(patience); len(processes) < 10; {
		if time.Now().After(deadline) {
			t.Fatalf("there are %d processes", len(processes))
		}
		for range 20 {
			c.say("50")
		}
		for range 20 {
			answer()
		}
	}
	start := time.Now()
	for range 200 {
		c.say("1000")
	}
	var worked time.Duration
	for range 200 {
		worked += answer()
	}
	took, ideal := time.Since(start), worked/10
	t.Logf("it took %v; the processes were at work for %v", took, ideal)
	if len(processes) != 10 {
		t.Errorf("there were %d processes, want the same 10", len(processes))
	}
	if took > ideal*11/10 {
		t.Error("that is more than a tenth above what the processes need")
	}
}

// TestCrowdLeaves: when a thousand clients leave at once, crier waits for their
// handlers without a goroutine each, others are served meanwhile, and what is
// not handled when crier ends is accounted for.
func TestCrowdLeaves(t *testing.T) {
	const clients = 1000
	g, stays := serveSlow(t)
	before := g.goroutines()
	crowd := make([]net.Conn, clients)
	for i := range crowd {
		crowd[i] = g.dialBare()
	}
	for _, c := range crowd {
		c.Close()
	}
	g.logs("route=$disconnect")
	start := time.Now()
	stays.say("still here")
	stays.hears("an answer", "still here")
	took := time.Since(start)
	goroutines := g.goroutines() - before
	t.Logf("a message took %v; there are %d more goroutines", took, goroutines)
	if took > 1500*time.Millisecond {
		t.Error("the message waited for those who leave")
	}
	if goroutines > 300 {
		t.Error("that is one for each that leaves")
	}
	g.stop(syscall.SIGTERM)
	told := strings.Count(g.said(), "route=$disconnect")
	dropped := 0
	if m := regexp.MustCompile(`dropped=(\d+)`).FindStringSubmatch(g.said()); m != nil {
		dropped, _ = strconv.Atoi(m[1])
	}
	if told+dropped != clients+1 || dropped == 0 {
		t.Errorf("%d ends were handed over and %d dropped, want %d in all, some of them dropped", told, dropped, clients+1)
	}
}

// dialBare connects without a goroutine of this process.
func (g *gateway) dialBare() net.Conn {
	g.t.Helper()
	host, path, _ := strings.Cut(strings.TrimPrefix(g.url, "ws://"), "/")
	nc, err := net.Dial("tcp", host)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { nc.Close() })
	fmt.Fprintf(nc, "GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, host)
	nc.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		g.t.Fatalf("got %+v, %v", resp, err)
	}
	return nc
}

// goroutines returns how many the gateway has.
func (g *gateway) goroutines() int {
	g.t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(g.url, "ws://"), "/")
	resp, err := http.Get("http://" + host + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	m := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindSubmatch(text)
	if m == nil {
		g.t.Fatalf("no go_goroutines in\n%s", text)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}
