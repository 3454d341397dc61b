package wiretest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestServe runs the suite against a process of its own, or against -url.
func TestServe(t *testing.T) {
	if *running != "" {
		Run(t, *running)
		return
	}
	const drain = time.Second
	p := start(t, "--drain", drain.String())
	Run(t, string(p.server))
	clients := []*client{p.dial(t, "/"), p.dial(t, "/bridge?topicName=x"), p.dial(t, "/chat"), p.dial(t, "/rooms"), p.dial(t, "/directory")}
	stopped := time.Now()
	p.stop()
	var told sync.WaitGroup
	for _, c := range clients {
		told.Go(func() {
			if _, err := c.read(); websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("at the end: %v, want 1001", err)
			}
		})
	}
	told.Wait()
	p.exits()
	if took := time.Since(stopped); took > drain+patience/2 {
		t.Errorf("it took %v, with a drain time of %v", took, drain)
	}
}

// The tests from here on have a server with flags of their own. Those that take long come first: few run at a time.

// TestSlowHeader: who does not finish its request is hung up on after ten seconds.
func TestSlowHeader(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	t.Parallel()
	p := start(t)
	nc, err := p.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(3 * patience))
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: localhost\r\n")
	if n, err := nc.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v; want the end", n, err)
	}
}

// TestStubbornClient: who does not answer the close frame does not hold the server up for long.
func TestStubbornClient(t *testing.T) {
	t.Parallel()
	p := start(t, "--drain", "0s")
	stubborn := p.raw(t, "/")
	p.stop()
	stubborn.gets("it is told", "close 1001 going-away: the server is going away")
	p.exits()
}

func TestMaxConnections(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-connections", "2")
	first, second := p.dial(t, "/"), p.dial(t, "/chat")
	for _, path := range []string{"/", "/rooms"} {
		a := p.get(t, p.request(path))
		a.wants(t, "one too many", 503, "there are as many connections as the server takes; try again later\n")
		if a.header.Get("Retry-After") == "" {
			t.Error("it is not told when to come back")
		}
	}
	p.ask(t, "GET /healthz").is(t, "who asks over HTTP is no connection", 200)
	p.get(t, p.request("/bridge")).is(t, "full comes before the app's no", 503)
	first.say("hello")
	first.hears("those who are in do not notice", mine("hello"))
	second.bye()
	eventually(t, "who leaves makes room", func() bool { return p.get(t, p.request("/")).status == 101 })
}

// TestIdleTimeout: who says nothing is closed, however lively it pings.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const idle = 300 * time.Millisecond
	p := start(t, "--idle-timeout", idle.String())
	c := p.raw(t, "/")
	began := time.Now()
	c.send(frames("text:hello"))
	c.gets("it says one thing", "text:"+mine("hello"))
	told := frame{op: opPong}
	for told.op == opPong {
		c.send(frames("ping:"))
		var err error
		if told, err = readFrame(c.in); err != nil {
			t.Fatal(err)
		}
	}
	if told.String() != "close 1001 idle: no message for too long" {
		t.Errorf("told %v", told)
	}
	if waited := time.Since(began); waited < idle-10*time.Millisecond { // the server counts in milliseconds
		t.Errorf("told after %v, want %v", waited, idle)
	}
}

// TestPingInterval: who does not answer a ping is taken for lost; who answers stays.
func TestPingInterval(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	p := start(t, "--ping-interval", interval.String())
	alive := p.dial(t, "/?topic=a")
	heard := make(chan string, 1)
	go func() {
		message, err := alive.read() // which answers pings
		if err != nil {
			message = err.Error()
		}
		heard <- message
	}()
	began := time.Now()
	silent := p.raw(t, "/?topic=b")
	silent.gets("it is asked", "ping:")
	silent.gets("once, and then it is over", "close 1011 no-pong: no answer to a ping")
	if waited := time.Since(began); waited < 2*interval-10*time.Millisecond {
		t.Errorf("told after %v, want %v", waited, 2*interval)
	}
	alive.say("still here")
	if got := timeless(<-heard); got != mine("still here") {
		t.Errorf("who answers pings hears %s", got)
	}
}

// TestAdminKey: where there is a key it is needed, from this machine, too. A
// wrong one never helps.
func TestAdminKey(t *testing.T) {
	t.Parallel()
	p := start(t, "--admin-key", "s3cret", "--listen", ":0")
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(string(p.server), "ws://"))
	here := server("ws://" + net.JoinHostPort("127.0.0.1", port))
	from := []server{here}
	outside, known := outsideAddress()
	there := server("ws://" + net.JoinHostPort(outside, port))
	if known {
		from = append(from, there)
	} else {
		t.Log("this machine has no address but loopback")
	}
	requests := []string{"GET /topics", "GET /@connections", "POST /publish\nhi", "GET /@connections/" + nobody, "GET /stats", "DELETE /topics/x"}
	for header, want := range map[string]int{
		"Authorization: Bearer s3cret":   200,
		"Authorization: bearer s3cret":   200,
		"X-Other: header":                401,
		"Authorization: Basic czNjcmV0":  401,
		"X-Forwarded-For: 127.0.0.1":     401,
		"Host: localhost":                401,
		"Origin: " + here.http(""):       401,
		"Origin: https://evil.example":   401,
		"Authorization: s3cret":          401,
		"Authorization: Digest s3cret":   401,
		"X-Authorization: Bearer s3cret": 401,
	} {
		for _, request := range requests {
			for _, s := range from {
				s.wantsKey(t, request, header, want)
			}
		}
	}
	for i, wrong := range []string{"s3cre", "S3CRET", "s3cret s3cret", "s3crets", "", "\xff"} { // each takes its time
		here.wantsKey(t, requests[i], "Authorization: Bearer "+wrong, 401)
	}
	a := here.ask(t, "GET /stats", "Authorization: Bearer s3cret", "Origin: https://evil.example", "X-Forwarded-For: 203.0.113.7", "Host: other.example")
	a.is(t, "who has the key may be anywhere", 200)
	if known {
		there.ask(t, "GET /healthz").is(t, "/healthz needs no key", 200)
		there.get(t, there.request("/")).is(t, "a WebSocket needs no key", 101)
	}
	p.stop()
	p.exits()
	if strings.Contains(strings.ToLower(p.log.String()), "s3cre") {
		t.Errorf("a key is in the log: %s", &p.log)
	}
}

// wantsKey asks a server that has a key, and checks that a refusal tells so and
// nothing else.
func (s server) wantsKey(t *testing.T, request, header string, want int) {
	t.Helper()
	a := s.ask(t, request, header)
	if a.status == 410 { // nobody, but one who may know
		a.status = 200
	}
	a.is(t, fmt.Sprintf("%s with %s from %s", request, header, s), want)
	if want == 401 {
		a.isError(t, "UnauthorizedException")
		checkNoSecrets(t, a)
	}
}

// TestAdminKeyFile: the key may stand in a file, which only its owner need be
// able to read.
func TestAdminKeyFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("  s3cret \r\nand a remark\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--admin-key-file", file)
	p.wantsKey(t, "GET /stats", "Authorization: Bearer s3cret", 200)
	p.wantsKey(t, "GET /stats", "X-Other: header", 401)
}

// TestWrongKeysWait: who guesses waits for the answer; who has the key does
// not, however many guess meanwhile.
func TestWrongKeysWait(t *testing.T) {
	t.Parallel()
	p := start(t, "--admin-key", "s3cret")
	began := time.Now()
	p.wantsKey(t, "GET /stats", "Authorization: Bearer guess", 401)
	if waited := time.Since(began); waited < 500*time.Millisecond {
		t.Errorf("the answer to a guess took %v", waited)
	}
	const guessers = 200 // more than may wait
	guesses := make(chan error, guessers)
	for range guessers {
		go func() {
			a, err := p.tryAsk("GET /stats", "Authorization: Bearer guess")
			if err == nil && a.status != 401 {
				err = fmt.Errorf("a guess got %d %s", a.status, a.body)
			}
			guesses <- err
		}()
	}
	quickest := time.Hour
	for range 10 {
		began := time.Now()
		p.wantsKey(t, "GET /stats", "Authorization: Bearer s3cret", 200)
		quickest = min(quickest, time.Since(began))
	}
	if quickest > 500*time.Millisecond {
		t.Errorf("who has the key waits at least %v", quickest)
	}
	for range guessers {
		if err := <-guesses; err != nil {
			t.Error(err)
		}
	}
}

// outsideAddress is an address of this machine that is not loopback: who comes from it might be elsewhere.
func outsideAddress() (string, bool) {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String(), true
		}
	}
	return "", false
}

func TestAllowOrigin(t *testing.T) {
	t.Parallel()
	some := start(t, "--allow-origin", "https://game.example.com,http://other.example.com:81/")
	all := start(t, "--allow-origin", "*")
	for origin, status := range map[string]int{
		"https://game.example.com":     101,
		"http://other.example.com:81":  101,
		"http://localhost:3000":        101,
		"http://game.example.com":      403,
		"https://game.example.com:444": 403,
		"http://other.example.com":     403,
		"https://evil.example.com":     403,
		"null":                         403,
	} {
		some.get(t, some.but("X", "Origin: "+origin)).is(t, "a page of "+origin, status)
		all.get(t, all.but("X", "Origin: "+origin)).is(t, "any page, also of "+origin, 101)
	}
}

func TestMaxMessageFlag(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-message", "1000")
	listener := p.dial(t, "/")
	most := strings.Repeat("x", 1000)
	listener.say(most)
	listener.hears("the largest", mine(most))
	for _, stream := range [][]byte{appendFrame(nil, true, opText, []byte(most+"x")), frames("text:" + most + "- cont:x")} {
		c := p.raw(t, "/")
		c.send(stream)
		c.gets("one byte more", "close 1009 message-too-big: messages are limited to 1000 bytes")
	}
	for _, path := range []string{"/publish", "/@connections/" + listener.id()} {
		p.ask(t, "POST "+path+"\n"+most).is(t, path, 200)
		p.ask(t, "POST "+path+"\n"+most+"x").is(t, path, 413)
	}
	listener.hears("what was published and posted", others(most), most)
}

// What slow readers are sent: more at a time than a backlog holds, and in all more than the sockets do.
const (
	slowSize    = 64 << 10
	slowBacklog = 8 * slowSize
	slowEnough  = 32 << 20
)

func slowText(i int) string { return fmt.Sprintf("%0*d", slowSize, i) }

// startSlow starts a server with a small backlog, a client that reads, and one that does not.
func startSlow(t *testing.T, flags ...string) (p *process, fast *client, slow *raw) {
	p = start(t, append(flags, "--max-message", fmt.Sprint(slowSize), "--backlog", fmt.Sprint(slowBacklog))...)
	slow = p.raw(t, "/")
	slow.nc.(*net.TCPConn).SetReadBuffer(16 << 10)
	return p, p.dial(t, "/"), slow
}

// TestSlowReader: who does not read falls behind, and is told when it reads at last: it has heard everything up to there,
// and then why not more. Those who read do not notice.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	p, fast, slow := startSlow(t)
	said := 0
	for len(p.members(t, "broadcast", "")) == 2 {
		if said*slowSize > slowEnough {
			t.Fatalf("after %d messages it has not fallen behind", said)
		}
		for range 20 {
			fast.say(slowText(said))
			fast.hears("who reads does not notice", mine(slowText(said)))
			said++
		}
	}
	for i := 0; ; i++ {
		f, err := readFrame(slow.in)
		if f.op == opClose {
			if got := f.String(); got != "close 1013 fell-behind: you read too slowly: messages were lost; reconnect" {
				t.Errorf("after %d of %d messages it is told %s", i, said, got)
			}
			break
		}
		if err != nil || timeless(f.String()) != "text:"+others(slowText(i)) {
			t.Fatalf("message %d is %.60s… %v", i, f, err)
		}
	}
	slow.nc.Close()
	eventually(t, "the end is counted", func() bool { return p.metrics(t)[`crier_closes_total{reason="fell-behind"}`] == 1 })
	fast.say("marker")
	fast.hears("who reads does not notice", mine("marker"))
}

// TestSlowReaderSkips: with --slow skip it stays, and is told how many messages it has missed, where it has missed them.
func TestSlowReaderSkips(t *testing.T) {
	t.Parallel()
	p, fast, slow := startSlow(t, "--slow", "skip")
	const said = slowEnough / slowSize
	for i := range said {
		fast.say(slowText(i))
		fast.hears("who reads does not notice", mine(slowText(i)))
	}
	next, missed := 0, 0
	for next < said {
		f, err := readFrame(slow.in)
		frame := timeless(f.String())
		var n int
		if _, skipped := fmt.Sscanf(frame, `text:{"_skipped":%d,"_now":<NOW>}`, &n); skipped == nil && n > 0 {
			next += n
			missed += n
			continue
		}
		if err != nil || frame != "text:"+others(slowText(next)) {
			t.Fatalf("in place of message %d it hears %.60s… %v", next, frame, err)
		}
		next++
	}
	if missed == 0 || next != said {
		t.Errorf("of %d messages it has missed %d, and is at number %d", said, missed, next)
	}
	fast.say("marker")
	slow.gets("it goes on with what is new", "text:"+others("marker"))
	if counted := p.metrics(t)["crier_skipped_messages_total"]; counted != float64(missed) {
		t.Errorf("%v messages are counted as missed, it was told of %d", counted, missed)
	}
}

// TestDraining: while the last clients leave, the server is well, but wants no newcomers.
func TestDraining(t *testing.T) {
	t.Parallel()
	p := start(t, "--drain", "0s")
	last := p.raw(t, "/") // holds the server up: it does not answer the close frame until it is told to
	p.stop()
	last.gets("it is told", "close 1001 going-away: the server is going away")
	p.ask(t, "GET /readyz").wants(t, "/readyz", 503, "draining\n")
	p.ask(t, "GET /healthz").wants(t, "/healthz", 200, "ok\n")
	a := p.get(t, p.request("/"))
	a.wants(t, "a newcomer", 503, "the server is going away; try again later\n")
	if a.header.Get("Retry-After") == "" {
		t.Error("it is not told when to come back")
	}
	last.send(frames("close:" + closing(1001, "")))
	last.ends()
	p.exits()
}

// TestDrainIsSpread: clients are told one after the other, so that they do not all come back at once.
func TestDrainIsSpread(t *testing.T) {
	t.Parallel()
	const clients, drain = 60, time.Second // at 20 ms for each, it would be more
	p := start(t, "--drain", drain.String())
	var list []*client
	for range clients {
		list = append(list, p.dial(t, "/"))
	}
	stopped := time.Now()
	p.stop()
	told := make(chan time.Duration, clients)
	for _, c := range list {
		go func() {
			if _, err := c.read(); websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("at the end: %v, want 1001", err)
			}
			told <- time.Since(stopped)
		}()
	}
	var first, last time.Duration
	for i := range clients {
		if last = <-told; i == 0 {
			first = last
		}
	}
	if last < drain*(clients-1)/clients {
		t.Errorf("the first was told after %v, the last after %v: not over %v", first, last, drain)
	}
	p.exits()
}
