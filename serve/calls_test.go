package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crier/api"
	wire "crier/client"
	"crier/door"
	"crier/ws"
)

// patience is how long a test waits for what must happen; it matters only when it does not.
const patience = 20 * time.Second

// A handler is the user's own, behind HTTP: it answers with what it finds in a message or in the query.
type handler struct {
	*httptest.Server
	events chan handlerEvent // connects and disconnects
	hold   chan struct{}     // what a message "hold" waits for
}

type handlerEvent struct {
	Query   map[string]string `json:"queryStringParameters"`
	Body    string            `json:"body"`
	Context struct {
		Type       string `json:"eventType"`
		Connection string `json:"connectionId"`
		Domain     string `json:"domainName"`
		Code       int    `json:"disconnectStatusCode"`
		Reason     string `json:"disconnectReason"`
	} `json:"requestContext"`
}

func newHandler(t *testing.T) *handler {
	h := &handler{events: make(chan handlerEvent, 3*maxCalls), hold: make(chan struct{})}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ev handlerEvent
		if err := json.NewDecoder(r.Body).Decode(&ev); err != nil {
			t.Error(err)
		}
		switch ev.Context.Type {
		case "MESSAGE":
			if ev.Body == "hold" {
				h.wait(r)
			}
			io.WriteString(w, "you said "+ev.Body)
		case "CONNECT":
			h.events <- ev
			if ev.Query["wait"] != "" {
				h.wait(r)
			}
			if protocol := ev.Query["protocol"]; protocol != "" {
				w.Header().Set("Sec-WebSocket-Protocol", protocol)
			}
			if ev.Query["refuse"] != "" {
				w.WriteHeader(http.StatusTeapot)
			}
		default:
			h.events <- ev
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// wait returns when the test lets go, or the server has ended.
func (h *handler) wait(r *http.Request) {
	select {
	case <-h.hold:
	case <-r.Context().Done():
	}
}

// next returns the next connect or disconnect.
func (h *handler) next(t *testing.T, kind string) handlerEvent {
	t.Helper()
	select {
	case ev := <-h.events:
		if ev.Context.Type != kind {
			t.Fatalf("got %+v, want a %s", ev, kind)
		}
		return ev
	case <-time.After(patience):
		t.Fatalf("no %s", kind)
		panic("unreachable")
	}
}

// openAPI opens an API of the user's own.
func openAPI(t *testing.T, format string, args ...any) *api.Live {
	t.Helper()
	file, err := api.Parse("crier.yaml", fmt.Appendf(nil, format, args...))
	if err != nil {
		t.Fatal(err)
	}
	own, err := api.Follow(file, api.Options{NewID: door.NewID, Report: func(api.Report) {}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	return own
}

// openOwn serves an API whose events a handler gets.
func openOwn(t *testing.T, change func(*Config)) (*Server, *handler) {
	t.Helper()
	h := newHandler(t)
	own := openAPI(t, `
routes: {$connect: web, $disconnect: web, $default: {integration: web, routeResponse: true}, oneway: web, fails: down}
integrations: {web: {http: %q}, down: {http: "http://127.0.0.1:1/"}}`, h.URL)
	s := open(t, func(c *Config) {
		c.Own = &OwnAPI{API: own, Alone: true}
		if change != nil {
			change(c)
		}
	})
	return s, h
}

type client struct {
	*websocket.Conn
	t   *testing.T
	ctx context.Context
	id  string
}

// dial connects to the API and returns the client when its handler has been told.
func dial(t *testing.T, s *Server, h *handler, query string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, s.URL()+"/dev"+query, &websocket.DialOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	return &client{conn, t, ctx, h.next(t, "CONNECT").Context.Connection}
}

func (c *client) say(text string) {
	c.t.Helper()
	if err := c.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear() string {
	c.t.Helper()
	_, data, err := c.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// end waits for the close frame.
func (c *client) end() websocket.CloseError {
	c.t.Helper()
	_, _, err := c.Read(c.ctx)
	var bye websocket.CloseError
	if !errors.As(err, &bye) {
		c.t.Fatalf("got %v, want a close frame", err)
	}
	return bye
}

// manage asks the management API about a connection and returns the status.
func manage(t *testing.T, s *Server, method, id, body string) int {
	t.Helper()
	r, err := http.NewRequest(method, "http"+strings.TrimPrefix(s.URL(), "ws")+"/dev/@connections/"+id, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestCalls(t *testing.T) {
	s, h := openOwn(t, nil)
	c := dial(t, s, h, "")
	c.say("hi")
	if got := c.hear(); got != "you said hi" {
		t.Errorf("got %s", got)
	}
	c.say(`{"action":"oneway"}`) // to which nothing is sent back
	c.say(`{"action":"fails"}`)
	if got := c.hear(); !strings.HasPrefix(got, `{"message": "Internal server error", "connectionId":"`+c.id+`", "requestId":"`) {
		t.Errorf("got %s", got)
	}
	for method, want := range map[string]int{"GET": 200, "POST": 200} {
		if got := manage(t, s, method, c.id, "posted"); got != want {
			t.Errorf("%s: got %d", method, got)
		}
	}
	if got := c.hear(); got != "posted" {
		t.Errorf("got %s", got)
	}
}

// TestConnectDecides: the handshake waits for the handler, and until the 101 there is no connection.
func TestConnectDecides(t *testing.T) {
	s, h := openOwn(t, nil)
	dialed := make(chan *websocket.Conn)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		conn, resp, err := websocket.Dial(ctx, s.URL()+"/dev?wait=1&protocol=chat", &websocket.DialOptions{Subprotocols: []string{"other", "chat"}})
		if err != nil || resp.Header.Get("Sec-WebSocket-Protocol") != "chat" {
			t.Errorf("%+v, %v", resp, err)
		}
		dialed <- conn
	}()
	id := h.next(t, "CONNECT").Context.Connection
	for _, method := range []string{"POST", "GET", "DELETE"} {
		if got := manage(t, s, method, id, "too early"); got != 410 {
			t.Errorf("%s during $connect: got %d, want 410", method, got)
		}
	}
	close(h.hold)
	conn := <-dialed
	defer conn.CloseNow()
	if got := manage(t, s, "GET", id, ""); got != 200 {
		t.Errorf("after the 101: got %d", got)
	}

	_, resp, err := websocket.Dial(context.Background(), s.URL()+"/dev?refuse=1", nil)
	if err == nil || resp.StatusCode != http.StatusTeapot || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("refused: %+v, %v", resp, err)
	}
	body, _ := io.ReadAll(resp.Body)
	refused := h.next(t, "CONNECT").Context.Connection
	if want := `{"message": "I'm a teapot", "connectionId":"` + refused + `", "requestId":"`; !strings.HasPrefix(string(body), want) {
		t.Errorf("refused: got %s", body)
	}
	if got := manage(t, s, "GET", refused, ""); got != 410 {
		t.Errorf("refused: got %d", got)
	}
	if len(h.events) != 0 {
		t.Errorf("a refused connection has events: %+v", <-h.events)
	}
}

// TestGoodbyes: the handler is told how a connection ended, exactly once.
func TestGoodbyes(t *testing.T) {
	s, h := openOwn(t, nil)
	for _, test := range []struct {
		name   string
		end    func(*client)
		code   int
		reason string
	}{
		{"with code and reason", func(c *client) { c.Close(4321, "done") }, 4321, "done"},
		{"with a code", func(c *client) { c.Close(1001, "") }, 1001, ""},
		{"without a code", func(c *client) { c.Close(websocket.StatusNoStatusRcvd, "") }, 1005, "Client-side close frame status not set"},
		{"without a close frame", func(c *client) { c.CloseNow() }, 1006, "Connection closed abnormally"},
		{"deleted", func(c *client) { manage(t, s, "DELETE", c.id, ""); c.end() }, 1000, "Connection Closed Normally"},
	} {
		c := dial(t, s, h, "")
		test.end(c)
		got := h.next(t, "DISCONNECT").Context
		if got.Connection != c.id || got.Code != test.code || got.Reason != test.reason {
			t.Errorf("%s: got %+v", test.name, got)
		}
		if got := manage(t, s, "POST", c.id, "x"); got != 410 {
			t.Errorf("%s: a post gets %d", test.name, got)
		}
	}
	if len(h.events) != 0 {
		t.Errorf("more events: %+v", <-h.events)
	}
}

// TestLastAnswers: a client that says something and leaves gets its answers
// before the close frame, and can be posted to until then.
func TestLastAnswers(t *testing.T) {
	s, h := openOwn(t, nil)
	leaver := func() (*wire.Conn, string) {
		t.Helper()
		c, err := wire.Dial(t.Context(), s.URL()+"/dev", wire.Handshake{})
		if err != nil {
			t.Fatal(err)
		}
		id := h.next(t, "CONNECT").Context.Connection
		if err := c.Write([]byte("hold"), false); err != nil {
			t.Fatal(err)
		}
		c.Goodbye(ws.Close{Code: 4321})
		caller := s.home.connections.find(keyOf(id)).conn.Receiver().(*caller)
		for deadline, leaving := time.Now().Add(patience), false; !leaving; runtime.Gosched() {
			caller.connection.mu.Lock()
			leaving = caller.leaving != nil
			caller.connection.mu.Unlock()
			if time.Now().After(deadline) {
				t.Fatal("the close frame does not arrive")
			}
		}
		return c, id
	}
	c, id := leaver()
	if got := manage(t, s, "POST", id, "posted"); got != 200 {
		t.Errorf("a post before the answers gets %d", got)
	}
	wantNext := func(want string) {
		t.Helper()
		if data, _, err := c.Next(); string(data) != want {
			t.Errorf("got %q, %v, want %q", data, err, want)
		}
	}
	wantNext("posted")
	h.hold <- struct{}{}
	wantNext("you said hold")
	var bye ws.Close
	if _, _, err := c.Next(); !errors.As(err, &bye) || bye.Code != 4321 {
		t.Errorf("got %v", err)
	}
	if got := h.next(t, "DISCONNECT").Context; got.Connection != id || got.Code != 4321 {
		t.Errorf("got %+v", got)
	}

	c, id = leaver() // and does not wait: it has said goodbye all the same
	c.HangUp()
	h.hold <- struct{}{}
	if got := h.next(t, "DISCONNECT").Context; got.Connection != id || got.Code != 4321 {
		t.Errorf("got %+v", got)
	}

	c, id = leaver() // deleted meanwhile
	if got := manage(t, s, "DELETE", id, ""); got != 204 {
		t.Errorf("got %d", got)
	}
	if _, _, err := c.Next(); !errors.As(err, &bye) || bye.Code != 1000 {
		t.Errorf("got %v", err)
	}
	h.hold <- struct{}{}
	if got := h.next(t, "DISCONNECT").Context; got.Connection != id || got.Code != 1000 {
		t.Errorf("got %+v", got)
	}
}

// TestLateAnswers: it does not wait for them for long.
func TestLateAnswers(t *testing.T) {
	s, h := openOwn(t, nil)
	c := dial(t, s, h, "")
	c.say("hold")
	start := time.Now()
	c.Close(4321, "") // waits for the answer
	if took := time.Since(start); took < answersGrace-100*time.Millisecond || took >= 5*time.Second {
		t.Errorf("it took %v", took)
	}
	close(h.hold)
	if got := h.next(t, "DISCONNECT").Context; got.Code != 4321 {
		t.Errorf("got %+v", got)
	}
}

// TestLimits: what API Gateway does not allow, and what it does.
func TestLimits(t *testing.T) {
	s, h := openOwn(t, func(c *Config) { c.Own.Limits = true })
	c := dial(t, s, h, "")
	c.say(strings.Repeat("x", 32<<10))
	if got := c.hear(); len(got) != len("you said ")+32<<10 {
		t.Errorf("the largest frame: got %d bytes", len(got))
	}
	whole := strings.Repeat("y", 30<<10)
	w, err := c.Writer(c.ctx, websocket.MessageText) // writes frames of its own size
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		io.WriteString(w, whole)
	}
	w.Close()
	if got := c.hear(); len(got) != len("you said ")+4*30<<10 {
		t.Errorf("a message in frames: got %d bytes", len(got))
	}
	for _, test := range []struct {
		name   string
		do     func(*client)
		code   websocket.StatusCode
		reason string
	}{
		{"a frame", func(c *client) { c.Write(c.ctx, websocket.MessageText, make([]byte, 32<<10+1)) }, 1009, "Max frame length of 32768 has been exceeded."},
		{"binary", func(c *client) { c.Write(c.ctx, websocket.MessageBinary, []byte("x")) }, 1003, "binary messages are not supported"},
	} {
		c := dial(t, s, h, "")
		test.do(c)
		if bye := c.end(); bye.Code != test.code || bye.Reason != test.reason {
			t.Errorf("%s: got %+v", test.name, bye)
		}
		if got := h.next(t, "DISCONNECT").Context; got.Code != int(test.code) || got.Reason != test.reason {
			t.Errorf("%s: the handler got %+v", test.name, got)
		}
	}
	s.home.calls.life = time.Millisecond
	if bye := dial(t, s, h, "").end(); bye.Code != 1001 || bye.Reason != "Going away" {
		t.Errorf("too old: got %+v", bye)
	}
	if got := h.next(t, "DISCONNECT").Context; got.Code != 1001 || got.Reason != "Going away" {
		t.Errorf("too old: the handler got %+v", got)
	}
}

// TestBinary: without the limits binary messages get through.
func TestBinary(t *testing.T) {
	s, h := openOwn(t, nil)
	c := dial(t, s, h, "")
	c.Write(c.ctx, websocket.MessageBinary, []byte{1, 2})
	if got := c.hear(); got != "you said AQI=" {
		t.Errorf("got %s", got)
	}
}

// TestBesideTheApps: the built-in apps are there, too, unless the API is served alone.
func TestBesideTheApps(t *testing.T) {
	s, h := openOwn(t, func(c *Config) { c.Own.Alone = false })
	dial(t, s, h, "")
	conn, _, err := websocket.Dial(context.Background(), s.URL()+"/chat", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if got := fmt.Sprint(s.home.connections.count()); got != "map[chat:1 gateway:1]" {
		t.Errorf("open: %s", got)
	}
	if got := len(s.home.connectionsHere("", nil)); got != 2 {
		t.Errorf("%d connections in the list", got)
	}
}

// TestEndTellsHandlers: a server that ends tells the handlers of every connection, and waits until they have heard it.
func TestEndTellsHandlers(t *testing.T) {
	h := newHandler(t)
	own := openAPI(t, "routes: {$connect: web, $disconnect: web}\nintegrations: {web: {http: %q}}", h.URL)
	config := Defaults()
	config.Listen, config.Drain, config.Own = "localhost:0", 0, &OwnAPI{API: own, Alone: true}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	for range 20 {
		c := dial(t, s, h, "")
		go c.Read(c.ctx) // to answer the close frame
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	checkHub(t, s)
	if len(h.events) != 20 {
		t.Errorf("%d of 20 connections were told of", len(h.events))
	}
	if got := h.next(t, "DISCONNECT").Context; got.Code != 1001 || got.Reason != door.GoingAway.Say {
		t.Errorf("got %+v", got)
	}
}
