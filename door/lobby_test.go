package door

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// newLobby serves a handler behind a lobby with that much room.
func newLobby(t *testing.T, room int, handler http.HandlerFunc) (lobby *Lobby, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lobby = NewLobby(func() int { return room }, slog.New(slog.DiscardHandler))
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lobby.Enter(r)
			handler(w, r)
		}),
		ConnContext: ConnContext,
		ConnState:   lobby.ConnState,
	}
	done := make(chan error)
	go func() { done <- s.Serve(Listener{Listener: l, Lobby: lobby}) }()
	t.Cleanup(func() {
		s.Close()
		<-done
		for deadline := time.Now().Add(10 * time.Second); lobby.size() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections are left", lobby.size())
			}
		}
	})
	return lobby, l.Addr().String()
}

// size counts the connections, and checks that those that wait are among them.
func (l *Lobby) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := 0
	for _, queue := range l.waiting {
		waiting += queue.Len()
	}
	if waiting > l.count {
		panic(fmt.Sprintf("%d of %d connections wait", waiting, l.count))
	}
	return l.count
}

// holds waits until so many wait for a request.
func (l *Lobby) holds(t *testing.T, waiting int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		n := 0
		l.mu.Lock()
		for _, queue := range l.waiting {
			n += queue.Len()
		}
		l.mu.Unlock()
		if n == waiting {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", n, waiting)
		}
	}
}

// age makes those that wait have waited for longer.
func (l *Lobby) age(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.waiting {
		for e := queue.Front(); e != nil; e = e.Next() {
			c := e.Value.(*doorConn)
			c.since = c.since.Add(-d)
		}
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	return nc
}

func ok(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }

// TestSilentConnections: however many are silent, one that asks is answered.
func TestSilentConnections(t *testing.T) {
	lobby, address := newLobby(t, 20, ok)
	for range 30 {
		for range 4 {
			dial(t, address)
		}
		lobby.age(courtesy)
		resp, err := http.Get("http://" + address)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if n := lobby.size(); n > 20 {
			t.Fatalf("there are %d connections", n)
		}
	}
	if n := lobby.Hung.Load(); n < 100 {
		t.Errorf("%d were closed", n)
	}
}

// TestOwedBodies: however many owe the body of a request, answered or not, one
// that asks is answered.
func TestOwedBodies(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"answered", ok},
		{"read", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); ok(w, r) }},
	} {
		lobby, address := newLobby(t, 20, test.handler)
		for i := range 30 {
			for range 4 {
				fmt.Fprint(dial(t, address), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nnot all")
			}
			lobby.age(indulgence)
			resp, err := http.Post("http://"+address, "text/plain", strings.NewReader("all"))
			if err != nil {
				t.Fatalf("%s, %d: %v", test.name, i, err)
			}
			resp.Body.Close()
		}
		if n := lobby.Hung.Load(); n < 90 {
			t.Errorf("%s: %d were closed", test.name, n)
		}
		lobby.Clear()
		lobby.holds(t, 0)
	}
}

// TestBusyConnections: one that is with a handler is not closed for another,
// which waits; nor is one whose request has been sent.
func TestBusyConnections(t *testing.T) {
	release := make(chan struct{})
	var inside atomic.Int32
	lobby, address := newLobby(t, 5, func(w http.ResponseWriter, r *http.Request) {
		inside.Add(1)
		<-release
		ok(w, r)
	})
	const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	var all []net.Conn
	for range 12 {
		nc := dial(t, address)
		io.WriteString(nc, request)
		all = append(all, nc)
	}
	for deadline := time.Now().Add(10 * time.Second); inside.Load() < 5; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are with the handler", inside.Load())
		}
	}
	if n := lobby.size(); n != 5 {
		t.Errorf("there are %d connections", n)
	}
	close(release)
	for i, nc := range all {
		if resp, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if n := lobby.Hung.Load(); n != 0 {
		t.Errorf("%d were closed", n)
	}
}

// TestKeptAlive: a connection that may be used again is closed for another, but
// can be used as long as there is room.
func TestKeptAlive(t *testing.T) {
	lobby, address := newLobby(t, 3, ok)
	old := dial(t, address)
	in := bufio.NewReader(old)
	ask := func() error {
		io.WriteString(old, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
		}
		return err
	}
	for range 10 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	lobby.holds(t, 1) // it waits for the next request
	dial(t, address)
	dial(t, address)
	lobby.holds(t, 3)
	lobby.age(2 * courtesy)
	dial(t, address)
	if _, err := old.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection that was idle: %v", err)
	}
	if n := lobby.Hung.Load(); n < 1 {
		t.Error("none was closed")
	}
}

// A stranger is a connection from another address.
type stranger struct {
	net.Conn
	from string
}

func (s stranger) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s.from))
}

// TestWhoeverHasMostGoesFirst: connections of one address do not cost those of
// another their place.
func TestWhoeverHasMostGoesFirst(t *testing.T) {
	lobby := NewLobby(func() int { return 5 }, slog.New(slog.DiscardHandler))
	admit := func(from string) *doorConn {
		_, server := net.Pipe()
		c := &doorConn{Conn: stranger{server, from}}
		c.from = source(c.Conn)
		lobby.admit(c)
		return c
	}
	single := admit("192.0.2.1:1")
	other := admit("[2001:db8::1]:1")
	single.since, other.since = single.since.Add(-time.Hour), other.since.Add(-time.Hour)
	for i := range 20 {
		crowd := admit(fmt.Sprintf("[2001:db8:1::%d]:1", i+1))
		crowd.since = crowd.since.Add(-2 * indulgence) // net.Pipe does not tell whether there is input
	}
	if single.out || other.out || lobby.size() != 5 || lobby.Hung.Load() != 17 {
		t.Errorf("out: %v, %v; %d are in, %d were closed", single.out, other.out, lobby.size(), lobby.Hung.Load())
	}
}

// TestAcceptFails: failures are counted and logged, but not each.
func TestAcceptFails(t *testing.T) {
	var log strings.Builder
	lobby := NewLobby(func() int { return 5 }, slog.New(slog.NewTextHandler(&log, nil)))
	l := Listener{Listener: broken{}, Lobby: lobby}
	for range 10 {
		if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "too many open files") || lobby.Failed.Load() != 10 {
		t.Errorf("%d are counted; the log is %s", lobby.Failed.Load(), log.String())
	}
}

type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) {
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
}
