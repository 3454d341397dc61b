package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crier/api"
	"crier/door"
	"crier/hub"
	"crier/internal/wiretest"
	"crier/transport"
	"crier/ws"
)

// open starts a server that ends with the test. Its hub's accounts are checked
// while there are connections, and when there are none.
func open(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	config := Defaults()
	config.Listen = "localhost:0"
	config.Drain = 0
	if change != nil {
		change(&config)
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		checkLiveHub(t, s)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		checkHub(t, s)
	})
	return s
}

// checkLiveHub checks the hub of a server that runs. While messages are on
// their way it may be wrong for a moment.
func checkLiveHub(t *testing.T, s *Server) {
	t.Helper()
	err := s.home.hub.Check()
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		err = s.home.hub.Check()
	}
	if err != nil {
		t.Errorf("the hub at the end of the test: %v", err)
	}
}

// checkHub checks the hub of a server that has ended.
func checkHub(t *testing.T, s *Server) {
	t.Helper()
	if err := s.home.hub.Check(); err != nil {
		t.Errorf("the hub when the server has ended: %v", err)
	}
	if st := s.home.hub.Stats(); st.Topics != 0 || st.Memory != 0 {
		t.Errorf("the server has ended, and the hub has %d topics and %d bytes", st.Topics, st.Memory)
	}
}

// TestWire runs the wire suite in this process, so that the hub can be checked.
func TestWire(t *testing.T) { wiretest.Run(t, open(t, nil).URL()) }

func TestConfig(t *testing.T) {
	if err := Defaults().check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"at least one byte":       func(c *Config) { c.MaxMessage = 0 },
		"at most 16777216 bytes":  func(c *Config) { c.MaxMessage = 1 << 30 },
		"at least one connection": func(c *Config) { c.MaxConnections = 0 },
		"at least eight times":    func(c *Config) { c.Backlog = 8*c.MaxMessage - 1 },
		"must not be negative":    func(c *Config) { c.Ping = -1 },
		"a log is needed":         func(c *Config) { c.Log = nil },
		"want host:port":          func(c *Config) { c.Listen = "8080" },
		"address already in use":  func(c *Config) { c.Listen = inUse(t) },
		"invalid port":            func(c *Config) { c.Listen = "localhost:99999" },
	} {
		config := Defaults()
		change(&config)
		s, err := Open(config)
		if err == nil {
			s.Close()
			t.Errorf("Open is content; want an error that says %q", want)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func inUse(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestLocalhost: clients that take localhost for ::1 and those that take it for 127.0.0.1 get through.
func TestLocalhost(t *testing.T) {
	s := open(t, nil)
	if !strings.HasPrefix(s.URL(), "ws://localhost:") {
		t.Errorf("the URL is %s", s.URL())
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL(), "ws://"))
	for _, l := range s.listeners {
		if _, p, _ := net.SplitHostPort(l.Addr().String()); p != port {
			t.Errorf("listens at %s, but tells port %s", l.Addr(), port)
		}
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			if host == "::1" && len(s.listeners) == 1 {
				continue // there is no IPv6 here
			}
			t.Fatal(err)
		}
		conn.Close()
	}
}

func TestURL(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:0": "ws://127.0.0.1:",
		":0":          "ws://localhost:",
		"0.0.0.0:0":   "ws://localhost:",
	} {
		if got := open(t, func(c *Config) { c.Listen = listen }).URL(); !strings.HasPrefix(got, want) {
			t.Errorf("listening at %s the URL is %s", listen, got)
		}
	}
}

// TestConsole: without the page browsers are told what everybody is told; crier.js is there in any case.
func TestConsole(t *testing.T) {
	for _, page := range []bool{true, false} {
		s := open(t, func(c *Config) { c.Console = page })
		for path, want := range map[string]bool{"/": page, "/console/console.js": page, "/crier.js": true} {
			r, _ := http.NewRequest("GET", "http"+strings.TrimPrefix(s.URL(), "ws")+path, nil)
			r.Header.Set("Accept", "text/html,*/*;q=0.8")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.StatusCode == 200; got != want {
				t.Errorf("with the page %v, GET %s is answered with %s", page, path, resp.Status)
			}
		}
	}
}

// TestTLS: with a certificate there are wss and https only, through the same apps.
func TestTLS(t *testing.T) {
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	s := open(t, func(c *Config) { c.TLS = &tls.Config{Certificates: certified.TLS.Certificates} })
	if !strings.HasPrefix(s.URL(), "wss://localhost:") {
		t.Errorf("the URL is %s", s.URL())
	}
	trusting := certified.Client()
	trusting.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com" // as the certificate has it
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var conns []*websocket.Conn
	for range 2 {
		conn, _, err := websocket.Dial(ctx, s.URL(), &websocket.DialOptions{HTTPClient: trusting})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		conns = append(conns, conn)
	}
	conns[0].Write(ctx, websocket.MessageText, []byte("hi"))
	for i, want := range []string{`"_me":true}`, `"_me":false}`} {
		if _, data, err := conns[i].Read(ctx); err != nil || !strings.HasSuffix(string(data), want) {
			t.Errorf("got %s, %v", data, err)
		}
	}
	resp, err := http.Get("http" + strings.TrimPrefix(s.URL(), "wss") + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("plain HTTP gets %s", resp.Status)
	}
}

// TestDoor: handlers have TLS and plain HTTP at a door of their own, whatever
// the others have, and no name but theirs is told.
func TestDoor(t *testing.T) {
	certified, others := httptest.NewTLSServer(nil), httptest.NewUnstartedServer(nil) // for their certificates
	defer certified.Close()
	others.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	others.StartTLS()
	defer others.Close()
	file, err := api.Parse("crier.yaml", []byte("routes: {}\nintegrations: {}"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := api.Follow(file, api.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	ours, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, func(c *Config) {
		c.TLS = &tls.Config{Certificates: others.TLS.Certificates, MinVersion: tls.VersionTLS13}
		c.Own = &OwnAPI{API: own, TLS: &tls.Config{Certificates: certified.TLS.Certificates, MaxVersion: tls.VersionTLS12}, Door: ours, Aliases: []string{"example.com"}}
	})
	client := certified.Client()
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com" // as the certificate has it
	for url, want := range map[string]struct{ status, version int }{
		"http://" + ours.Addr().String():                          {200, 0},
		"https://" + ours.Addr().String():                         {200, tls.VersionTLS12},
		"https" + strings.TrimPrefix(s.URL(), "wss"):              {200, tls.VersionTLS13},
		"http" + strings.TrimPrefix(s.URL(), "wss"):               {400, 0},
		"https://" + ours.Addr().String() + "/dev/@connections/x": {400, tls.VersionTLS12},
	} {
		path := "/healthz"
		if strings.Contains(url, "@") {
			path = ""
		}
		r, err := http.NewRequest("GET", url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "example.com"
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		version := 0
		if resp.TLS != nil {
			version = int(resp.TLS.Version)
		}
		if resp.StatusCode != want.status || version != want.version {
			t.Errorf("%s: got %s by TLS %x, want %+v", url, resp.Status, version, want)
		}
	}
}

// TestRunFails: when a listener fails the others end, too, and the reason is told.
func TestRunFails(t *testing.T) {
	config := Defaults()
	config.Listen, config.Drain = "127.0.0.1:0", 0
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	s.listeners[0].Close()
	if err := s.Run(context.Background()); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "accept connections at 127.0.0.1:") {
		t.Errorf("Run: %v", err)
	}
}

// TestEveryEndIsExplained: each end of a connection in the table of refusals has a cause.
func TestEveryEndIsExplained(t *testing.T) {
	explained := make(map[string]bool)
	for _, cause := range []error{
		hub.ErrBehind, transport.ErrFlooded, transport.ErrIdle, transport.ErrSilent, transport.ErrGoingAway, errDeleted, errBinary, errTooOld,
		transport.ErrUnending, transport.ErrRestless, transport.ErrNoMemory, errTopicRemoved, errTakenOver, errKicked, errExpired, errSignedOut, errCutOff, ws.Close{Code: ws.PolicyViolation, Reason: "x"},
		ws.Close{Code: ws.ProtocolError, Reason: "x"}, ws.Close{Code: ws.InvalidPayload, Reason: "x"}, ws.Close{Code: ws.TooBig, Reason: "x"},
	} {
		no := explain(fmt.Errorf("while testing: %w", cause))
		if no.Code == 0 || no.Say == "" || explained[no.Name] {
			t.Errorf("%v is explained as %+v", cause, no)
		}
		if how := no.Close(); len(how.Reason) > 123 || no.AWS != !strings.HasPrefix(how.Reason, no.Name+": ") || strings.Contains(how.Reason, "close 1") {
			t.Errorf("%v: the client is told %q", cause, how.Reason)
		}
		explained[no.Name] = true
	}
	for _, no := range door.Refusals() {
		if no.Code != 0 && !explained[no.Name] {
			t.Errorf("nothing ends with %s", no.Name)
		}
	}
	for want, cause := range map[string]error{
		"client": transport.Goodbye{}, "lost": transport.ErrLost, "idle": transport.ErrIdle, "message-too-big": hub.ErrTooLarge,
	} {
		if got := endName(cause); got != want {
			t.Errorf("%v is counted as %s, want %s", cause, got, want)
		}
	}
}

// TestPublishPatiently: a publish over HTTP waits for readers that have yet to be offered what was published before, but
// not longer than its request.
func TestPublishPatiently(t *testing.T) {
	h := hub.New(hub.Config{Backlog: 8 << 10})
	shard := h.NewShard(func() {})
	topic := []hub.Topic{{App: "broadcast", Name: ""}}
	var lazy hub.Member
	shard.Join(&lazy, nobody{})
	lazy.Subscribe(topic[0])
	p := hub.Publication{Topics: topic, Frame: make([]byte, 1000)}
	for h.Publish(p) == nil {
	}
	s := &home{carrier: h}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.patiently(ctx, func() error { return s.publish(p) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	published := make(chan error)
	go func() { published <- s.patiently(context.Background(), func() error { return s.publish(p) }) }()
	for {
		shard.Turn(100)
		select {
		case err := <-published:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

// TestNoMemoryEver: a message that is within the limit, and for which there will
// never be memory with its stamps and in all of its topics, is refused, and does
// not wait for ever.
func TestNoMemoryEver(t *testing.T) {
	s := open(t, func(c *Config) { c.MaxMessage, c.Backlog, c.Memory = 4<<10, 32<<10, 64<<10 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client, _, err := websocket.Dial(ctx, s.URL()+"?topic=a&topic=b", nil)
	if err != nil {
		t.Fatal(err)
	}
	message := strings.Repeat("\x01", 4<<10) // becomes six times as long
	resp, err := http.Post("http"+strings.TrimPrefix(s.URL(), "ws")+"/publish?topic=a&topic=b", "", strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 413 || !strings.Contains(string(body), noMemoryEver) {
		t.Errorf("POST /publish: %s %s", resp.Status, body)
	}
	client.Write(ctx, websocket.MessageText, []byte(message))
	_, _, err = client.Read(ctx)
	var end websocket.CloseError
	if !errors.As(err, &end) || end.Code != websocket.StatusMessageTooBig || end.Reason != "message-too-big: "+noMemoryEver {
		t.Errorf("the client is told %v", err)
	}
}

type nobody struct{}

func (nobody) Wake() {}

// TestDraining: a server that goes away says so to load balancers and newcomers, and still answers.
func TestDraining(t *testing.T) {
	s := open(t, nil)
	get := func(path string) string {
		resp, err := http.Get("http" + strings.TrimPrefix(s.URL(), "ws") + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.Status + " " + string(body)
	}
	if got := get("/readyz"); got != "200 OK ok\n" {
		t.Errorf("ready: %q", got)
	}
	s.home.draining.Store(true)
	if got := get("/readyz"); got != "503 Service Unavailable draining\n" {
		t.Errorf("draining: %q", got)
	}
	if got := get("/healthz"); got != "200 OK ok\n" {
		t.Errorf("healthy while draining: %q", got)
	}
}
