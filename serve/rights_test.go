package serve

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crier/access"
	"crier/app"
)

const tokenSecret = "a secret of at least thirty-two bytes"

// openGuarded starts a server with all kinds of keys, and with tokens.
func openGuarded(t *testing.T) *Server {
	t.Helper()
	return open(t, func(c *Config) { c.Guard = guard(t, c) })
}

func guard(t *testing.T, c *Config) *access.Guard {
	t.Helper()
	secrets := func(key string) *access.Secrets {
		s, err := access.NewSecrets([]string{key}, "", c.Log)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tokens, err := access.NewTokens(access.TokenConfig{Secrets: []string{tokenSecret}, Log: c.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tokens.Close)
	return &access.Guard{Keys: secrets("key"), PublishKeys: secrets("publish"), AdminKeys: secrets("admin"), Tokens: tokens}
}

// inEachHome runs a test with one server, and with one of two that share a log.
func inEachHome(t *testing.T, test func(t *testing.T, s *Server)) {
	t.Run("one", func(t *testing.T) { test(t, openGuarded(t)) })
	t.Run("two", func(t *testing.T) {
		_, servers := openShared(t, 2, func(c *Config) { c.Guard = guard(t, c) })
		test(t, servers[0])
	})
}

// token makes a token.
func token(t *testing.T, w access.Wish) string {
	t.Helper()
	text, err := access.SecretSigner(tokenSecret).Sign(w, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A way is how a credential is shown.
type way func(r *http.Request, credential string)

var ways = map[string]way{
	"header": func(r *http.Request, c string) { r.Header.Set("Authorization", "Bearer "+c) },
	"query": func(r *http.Request, c string) {
		q := r.URL.Query()
		q.Set("token", c)
		r.URL.RawQuery = q.Encode()
	},
	"subprotocol": func(r *http.Request, c string) {
		r.Header.Set("Sec-WebSocket-Protocol", "crier.token."+base64.RawURLEncoding.EncodeToString([]byte(c))) // with crier, too, it would get the 101, and a close frame
	},
}

// status returns the status of the answer to a request, or to a handshake if the
// method is WS.
func status(t *testing.T, s *Server, method, path, credential string, by way) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	handshake := method == "WS"
	if handshake {
		method = "GET"
	}
	r, err := http.NewRequestWithContext(ctx, method, "http"+strings.TrimPrefix(s.URL(), "ws")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if method == "POST" || method == "PUT" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("1")), 1
	}
	if credential != "" {
		by(r, credential)
	}
	if handshake {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestMatrix: every way in, and every right.
func TestMatrix(t *testing.T) {
	s := openGuarded(t)
	credentials := map[string]string{
		"nobody":   "",
		"stranger": "wrong",
		"key":      "key",
		"publish":  "publish",
		"admin":    "admin",
		"all":      token(t, access.Wish{}),
		"a":        token(t, access.Wish{Topics: []string{"a*"}}),
		"hears a":  token(t, access.Wish{Topics: []string{"a"}, Can: []string{"hear"}}),
		"says a":   token(t, access.Wish{Topics: []string{"a"}, Can: []string{"say"}}),
		"nothing":  token(t, access.Wish{Can: []string{}}),
		"expired":  token(t, access.Wish{Expires: time.Now().Add(-time.Hour)}),
	}
	const all = "admin key all"
	for _, c := range []struct {
		request string
		may     string // who
		partly  string // who else, with a token
	}{
		{"WS /", all, ""},
		{"WS /?topic=a", all, "a hears-a says-a"},
		{"WS /?topic=a&topic=b", all, ""},
		{"WS /chat", all, ""},
		{"WS /directory", all, ""},
		{"WS /bridge?topicName=a", all, "a hears-a says-a"},
		{"WS /rooms", all, "a hears-a says-a nothing"},
		{"WS /live?topic=a", all, "a hears-a"},
		{"WS /live?topic=b", all, ""},
		{"WS /live?topic=a&topic=b", all, ""},
		{"POST /publish", all + " publish", ""},
		{"POST /publish?topic=a", all + " publish", "a says-a"},
		{"POST /publish?topic=a&topic=b", all + " publish", ""},
		{"POST /publish?app=live&topic=a", all + " publish", "a says-a"},
		{"POST /live?topic=a", all + " publish", "a says-a"},
		{"POST /live?topic=b", all + " publish", ""},
		{"PUT /topics/a/state/k?app=live", all + " publish", "a says-a"},
		{"DELETE /topics/a/state/k?app=live", all + " publish", "a says-a"},
		{"GET /topics/a/state?app=live", all, "a hears-a"},
		{"GET /topics/a/messages?app=live", all, "a hears-a"},
		{"DELETE /topics/a/messages?app=live", "admin", ""},
		{"GET /stats", "admin", ""},
		{"GET /topics", "admin", ""},
		{"GET /@connections", "admin", ""},
		{"DELETE /topics/x", "admin", ""},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		t.Run(c.request, func(t *testing.T) {
			t.Parallel() // each guess takes a second
			for name, credential := range credentials {
				for how, by := range ways {
					if how == "subprotocol" && method != "WS" || name == "stranger" && how != "header" {
						continue
					}
					want := 200
					switch {
					case name == "nobody" || name == "stranger" || name == "expired":
						want = 401
					case !strings.Contains(" "+c.may+" "+c.partly+" ", " "+strings.ReplaceAll(name, " ", "-")+" "):
						want = 403
					case method == "WS":
						want = 101
					}
					if got := status(t, s, method, path, credential, by); got != want {
						t.Errorf("%s by %s: %d, want %d", name, how, got, want)
					}
				}
			}
		})
	}
}

// dialAs connects with a token.
func dialAs(t *testing.T, s *Server, path, credential string) *websocket.Conn {
	t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	c, _, err := websocket.Dial(t.Context(), s.URL()+path+sep+"token="+credential, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func read(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, data, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// TestForbiddenMessages: what may not be said is refused to its sender alone.
func TestForbiddenMessages(t *testing.T) { inEachHome(t, testForbiddenMessages) }

func testForbiddenMessages(t *testing.T, s *Server) {
	ann := dialAs(t, s, "/?topic=a", token(t, access.Wish{}))
	bob := dialAs(t, s, "/?topic=a", token(t, access.Wish{Topics: []string{"a"}, Can: []string{"hear"}}))
	cat := dialAs(t, s, "/?topic=a", token(t, access.Wish{Topics: []string{"a"}, Can: []string{"say"}}))
	write(t, bob, "from bob")
	if text := read(t, bob); !strings.Contains(text, `you may not say anything in the topic \"a\"`) {
		t.Errorf("bob is told %s", text)
	}
	write(t, cat, "from cat")
	for _, c := range []*websocket.Conn{ann, bob} {
		if text := read(t, c); !strings.Contains(text, "from cat") {
			t.Errorf("they hear %s", text)
		}
	}
	write(t, ann, "from ann")
	read(t, ann)
	write(t, cat, "again")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, data, err := cat.Read(ctx); err == nil {
		t.Errorf("cat hears %s", data)
	}
}

// TestForbiddenInLive: the same, and the error has a name.
func TestForbiddenInLive(t *testing.T) { inEachHome(t, testForbiddenInLive) }

func testForbiddenInLive(t *testing.T, s *Server) {
	ada := dialAs(t, s, "/live?topic=a", token(t, access.Wish{User: "ada", Topics: []string{"a"}, Can: []string{"hear"}}))
	if hello := read(t, ada); !strings.Contains(hello, `"user":"ada"`) {
		t.Errorf("the greeting is %s", hello)
	}
	read(t, ada)
	for _, text := range []string{`{"x":1}`, `{"_key":"k","x":1}`, `{"_to":"ada","x":1}`, `{"_join":"b"}`} {
		write(t, ada, text)
		if got := read(t, ada); !strings.Contains(got, `"name":"forbidden"`) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// TestGuests: with --guests, whoever shows no credential hears everything, says
// nothing, and has no name.
func TestGuests(t *testing.T) {
	s := open(t, func(c *Config) { c.Guard = guard(t, c); c.Guard.Guests = true })
	for _, c := range []struct {
		request, credential string
		want                int
	}{
		{"WS /", "", 101},
		{"WS /live?topic=a", "", 101},
		{"WS /live?topic=a&user=ada", "", 401},
		{"WS /rooms?user=ada", "", 401},
		{"WS /live?topic=a&user=ada", "key", 101},
		{"WS /", "wrong", 401},
		{"GET /topics/a/messages", "", 200},
		{"GET /topics/a/state", "", 200},
		{"PUT /topics/a/state/k", "", 401},
		{"DELETE /topics/a/state/k", "", 401},
		{"PUT /topics/a/state/k", "publish", 200},
		{"POST /live?topic=a", "", 401},
		{"POST /live?topic=a", "publish", 200},
		{"POST /publish", "", 401},
		{"POST /publish", "publish", 200},
		{"GET /@connections", "", 401},
		{"DELETE /topics/a/messages", "", 401},
		{"DELETE /users/ada", "", 401},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		if got := status(t, s, method, path, c.credential, ways["header"]); got != c.want {
			t.Errorf("%s with %q: %d, want %d", c.request, c.credential, got, c.want)
		}
	}
	guest := dialAs(t, s, "/live?topic=b&last=0", "")
	read(t, guest) // _hello
	read(t, guest) // _ready
	for _, text := range []string{`{"x":1}`, `{"_key":"k","x":1}`} {
		write(t, guest, text)
		if got := read(t, guest); !strings.Contains(got, `"name":"forbidden"`) {
			t.Errorf("%s: %s", text, got)
		}
	}
	status(t, s, "POST", "/live?topic=b", "publish", ways["header"])
	if got := read(t, guest); !strings.Contains(got, `"data":1`) {
		t.Errorf("a guest hears %s", got)
	}
}

// TestTokenUser: nobody takes another name than that of the token.
func TestTokenUser(t *testing.T) { inEachHome(t, testTokenUser) }

func testTokenUser(t *testing.T, s *Server) {
	ada := token(t, access.Wish{User: "ada"})
	for path, want := range map[string]int{
		"/live?topic=a&user=bob": 403, "/live?topic=a&user=ada": 101, "/live?topic=a&user=": 403,
		"/rooms?user=bob": 403, "/rooms": 101, "/?user=bob": 403, "/": 101,
	} {
		if got := status(t, s, "WS", path, ada, ways["header"]); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	c := dialAs(t, s, "/live?topic=a", ada)
	read(t, c)
	read(t, c)
	if got := status(t, s, "POST", "/live?topic=a", ada, ways["header"]); got != 200 {
		t.Fatal(got)
	}
	if text := read(t, c); !strings.Contains(text, `"_user":"ada"`) {
		t.Errorf("over HTTP: %s", text)
	}
}

// TestTokenOfNobody: a token whose user has no name that live takes is refused, over
// HTTP as well.
func TestTokenOfNobody(t *testing.T) { inEachHome(t, testTokenOfNobody) }

func testTokenOfNobody(t *testing.T, s *Server) {
	for _, name := range []string{strings.Repeat("x", app.MaxUser+1), "a\x00b", "JC1dgf9yoAMCK-g="} {
		credential := token(t, access.Wish{User: name})
		for _, request := range []string{"WS /live?topic=a", "POST /live?topic=a", "PUT /topics/a/state/k", "DELETE /topics/a/state/k"} {
			method, path, _ := strings.Cut(request, " ")
			if got := status(t, s, method, path, credential, ways["header"]); got != http.StatusBadRequest {
				t.Errorf("%q: %s: %d", name, request, got)
			}
		}
	}
}

// TestExpiry: a connection ends when its token does, in every app.
func TestExpiry(t *testing.T) { inEachHome(t, testExpiry) }

func testExpiry(t *testing.T, s *Server) {
	for _, path := range []string{"/", "/rooms", "/live?topic=a"} {
		expires := time.Now().Add(1500 * time.Millisecond).Truncate(time.Second).Add(time.Second)
		c := dialAs(t, s, path, token(t, access.Wish{Expires: expires}))
		var err error
		for err == nil {
			_, _, err = c.Read(t.Context())
		}
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != 1008 || closed.Reason != "expired: the token has expired" {
			t.Errorf("%s: %v", path, err)
		}
		if late := time.Since(expires); late < 0 || late > time.Second {
			t.Errorf("%s: it ends %v after the token", path, late)
		}
	}
}

// TestExpiries: a client that has gone is not waited for, and the first token to
// end is not the first that came.
func TestExpiries(t *testing.T) {
	x := newExpiries()
	now := time.Now()
	var list []*connection
	for i := range 100 {
		s := &connection{who: &who{may: &access.Grant{Expires: now.Add(time.Duration((i*37)%100) * time.Second)}}}
		x.add(s)
		list = append(list, s)
	}
	x.add(&connection{})
	x.add(&connection{who: &who{}})
	for i, s := range list {
		if i%2 == 0 {
			x.remove(s)
			x.remove(s)
		}
	}
	var last time.Time
	for n := 0; ; n++ {
		s, wait := x.next(now.Add(time.Hour))
		if s == nil {
			if n != 50 || wait != time.Hour {
				t.Errorf("%d have ended, and then it waits %v", n, wait)
			}
			return
		}
		if s.who.may.Expires.Before(last) {
			t.Fatal("the order is wrong")
		}
		last = s.who.may.Expires
	}
}

// TestResumeWithLess: a session does not go on where the new token may not hear.
func TestResumeWithLess(t *testing.T) { inEachHome(t, testResumeWithLess) }

func testResumeWithLess(t *testing.T, s *Server) {
	c := dialAs(t, s, "/live?topic=a&topic=b", token(t, access.Wish{User: "ada"}))
	hello := read(t, c)
	_, rest, _ := strings.Cut(hello, `"resume":"`)
	resume, _, _ := strings.Cut(rest, `"`)
	c.Close(1001, "")
	less := dialAs(t, s, "/live?topic=a&resume="+resume, token(t, access.Wish{User: "ada", Topics: []string{"a"}}))
	if again := read(t, less); strings.Contains(again, resume) {
		t.Errorf("it goes on: %s", again)
	}
	bob := dialAs(t, s, "/live?topic=a&topic=b&resume="+resume, token(t, access.Wish{User: "bob"}))
	if again := read(t, bob); strings.Contains(again, resume) {
		t.Errorf("bob is ada: %s", again)
	}
	ada := dialAs(t, s, "/live?topic=a&topic=b&resume="+resume, token(t, access.Wish{User: "ada"}))
	if again := read(t, ada); !strings.Contains(again, resume) {
		t.Errorf("it does not go on: %s", again)
	}
}

// TestToldWhy: a client that offers crier as a subprotocol is told why it is
// refused, and one that may come later is refused as others are.
func TestToldWhy(t *testing.T) {
	s := open(t, func(c *Config) { c.Guard, c.MaxConnections = guard(t, c), 1 })
	none := base64.RawURLEncoding.EncodeToString([]byte("guess"))
	for _, path := range []string{"/", "/rooms", "/live?topic=a"} {
		c, resp, err := websocket.Dial(t.Context(), s.URL()+path, &websocket.DialOptions{Subprotocols: []string{"crier.token." + none, "crier"}})
		if err != nil {
			t.Fatal(err)
		}
		var closed websocket.CloseError
		if _, _, err := c.Read(t.Context()); !errors.As(err, &closed) || closed.Code != 4401 || closed.Reason != "wrong-key: this is no key of the server" {
			t.Errorf("%s: %v", path, err)
		}
		if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "crier" {
			t.Errorf("%s: the subprotocol is %q", path, got)
		}
	}
	dialAs(t, s, "/", "key")
	if _, resp, err := websocket.Dial(t.Context(), s.URL()+"/?token=key", &websocket.DialOptions{Subprotocols: []string{"crier"}}); err == nil || resp.StatusCode != 503 {
		t.Errorf("there is no place: %v", err)
	}
}
