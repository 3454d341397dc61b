package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// guarded is a server that wants the key s3cret, and tells what it was asked to
// publish.
func guarded(t *testing.T) (url string, published chan string) {
	published = make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.Header().Set("X-Amzn-Errortype", "UnauthorizedException")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"message":"this needs the admin key"}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		published <- string(body)
	}))
	t.Cleanup(server.Close)
	return server.URL, published
}

// publishes starts crier publish at the terminal, and gives the error it ends with.
func (p *person) publishes(c publish, args ...string) <-chan error {
	p.t.Helper()
	in, err := interruptible(p.terminal)
	if err != nil {
		p.t.Fatal(err)
	}
	c.streams = streams{in: in, out: p.terminal, errOut: p.terminal, keyboard: p.terminal, screen: p.terminal}
	ended := make(chan error, 1)
	go func() { ended <- c.run(context.Background(), args) }()
	return ended
}

// TestAskedForTheKey: a person is asked for the key, which does not appear on
// the screen, and which is not asked for twice.
func TestAskedForTheKey(t *testing.T) {
	url, published := guarded(t)
	for typed, want := range map[string]string{
		"s3cret\r":                          "",
		" s3cret \r":                        "",
		"\x1b[200~s3cret\r\x1b[201~":        "", // pasted
		"guess\r":                           "refused: 401 Unauthorized: this needs the admin key",
		"\r":                                "no key was given",
		"s3cr\x03":                          "no key was given",
		"\x04":                              "no key was given",
		"s3cre\x08\x08\x08\x08\x08s3cret\r": "",
	} {
		p := sitDown(t)
		before := p.state()
		ended := p.publishes(publish{url: url, key: clientKey()}, "hello")
		p.sees("key of " + strings.TrimPrefix(url, "http://") + ": ")
		p.types(typed)
		err := <-ended
		if got := errorText(err); got != want {
			t.Errorf("%q: ended with %q, want %q", typed, got, want)
		}
		if want == "" {
			if got := <-published; got != "hello" {
				t.Errorf("%q: published %q", typed, got)
			}
		}
		if !reflect.DeepEqual(p.state(), before) {
			t.Errorf("%q: the terminal is not as it was", typed)
		}
		io.WriteString(p.terminal, "the end\r\n")
		p.sees("the end")
		for _, part := range []string{"s3c", "gue"} {
			if strings.Contains(p.passed, part) {
				t.Errorf("%q: the key is on the screen: %q", typed, p.passed)
			}
		}
	}
}

// TestMessageIsTyped: a person who has given no message is told how to.
func TestMessageIsTyped(t *testing.T) {
	url, published := guarded(t)
	p := sitDown(t)
	ended := p.publishes(publish{url: url, key: secret{text: "s3cret"}})
	p.sees("type the message; ctrl-D at the beginning of a line ends it\r\n")
	p.types("hello\n\x04")
	if err := <-ended; err != nil || <-published != "hello" {
		t.Error("not published as typed:", err)
	}
}

// TestNotAskedForAKey: who has given a key is told that it is wrong, and who
// has no terminal that one is missing.
func TestNotAskedForAKey(t *testing.T) {
	url, _ := guarded(t)
	p := sitDown(t)
	if err := <-p.publishes(publish{url: url, key: secret{text: "wrong"}}, "hello"); errorText(err) != "refused: 401 Unauthorized: this needs the admin key" {
		t.Error(err)
	}
	if _, err := published(t, "", "--url", url, "hello"); errorText(err) != "refused: 401 Unauthorized: this needs the admin key; try --key-file FILE, or --admin-key-file FILE" {
		t.Error(err)
	}
	open := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-Errortype", "NoAdminKeyException")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer open.Close()
	if err := <-p.publishes(publish{url: open.URL}, "hello"); errorText(err) != "refused: 401 Unauthorized" {
		t.Error("asked for the key of a server that has none:", err)
	}
}

// TestInfoAsksForTheKey: a person at a terminal is asked for the key once, and
// only if none was given.
func TestInfoAsksForTheKey(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stats" && r.Header.Get("Authorization") != "Bearer s3cret" {
			w.Header().Set("X-Amzn-Errortype", "UnauthorizedException")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, oneServer)
	}))
	defer server.Close()
	for typed, want := range map[string]string{
		"s3cret\r": "",
		"guess\r":  "refused: 401 Unauthorized",
		"\r":       "no admin key was given",
	} {
		p := sitDown(t)
		ended := p.looks(server.URL, "")
		p.sees("admin key of " + strings.TrimPrefix(server.URL, "http://") + ": ")
		p.types(typed)
		if err := <-ended; errorText(err) != want {
			t.Errorf("%q: ended with %q, want %q", typed, errorText(err), want)
		}
		if want == "" {
			p.sees("state         ready")
		}
	}
	if err := <-sitDown(t).looks(server.URL, "guess"); errorText(err) != "refused: 401 Unauthorized" {
		t.Error("with a wrong key:", err)
	}
}

// looks starts crier info at the terminal, and gives the error it ends with.
func (p *person) looks(url, key string) <-chan error {
	p.t.Helper()
	in, err := interruptible(p.terminal)
	if err != nil {
		p.t.Fatal(err)
	}
	i := info{key: adminKey()}
	i.key.text = key
	i.streams = streams{in: in, out: p.terminal, errOut: p.terminal, keyboard: p.terminal, screen: p.terminal}
	ended := make(chan error, 1)
	go func() { ended <- i.showServer(context.Background(), url) }()
	return ended
}

// guardedSocket is a server of WebSockets that wants the key s3cret. It tells
// pages why it refuses them, as live does.
func guardedSocket(t *testing.T) (url string) {
	talk := echo(make(chan error, 10))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		right, page := r.Header.Get("Authorization") == "Bearer s3cret", r.Header.Get("Origin") != ""
		if !right && !page {
			http.Error(w, "this server wants a key", http.StatusUnauthorized)
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		if !right {
			conn.Close(4401, "no-credential: this server wants a key")
			return
		}
		if page {
			conn.Write(r.Context(), websocket.MessageText, []byte(`{"_hello":{"id":"A","resume":"x","offset":"o-1","count":1,"here":[]},"_topic":"lobby","_now":1}`))
		}
		talk(r, conn)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestConnectAsksForTheKey: as other commands do, once, and then the
// conversation begins.
func TestConnectAsksForTheKey(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	url := guardedSocket(t)
	live := connect{app: "live", topics: []string{"lobby"}, origin: "http://localhost"}
	for _, c := range []struct {
		how         connect
		typed, want string
	}{
		{connect{}, "s3cret\r", ""},
		{connect{reconnect: true}, "s3cret\r", ""},
		{connect{}, "guess\r", "refused: 401 Unauthorized: this server wants a key"},
		{connect{}, "\x03", "no key was given"},
		{live, "s3cret\r", ""},
		{live, "guess\r", "closed: 4401 no-credential: this server wants a key"},
	} {
		p := sitDown(t)
		before := p.state()
		c.how.url, c.how.key = url, clientKey()
		ended := p.starts(c.how)
		p.sees("key of " + strings.TrimPrefix(url, "http://") + ": ")
		p.types(c.typed)
		if c.want == "" {
			p.sees("connected to ws://")
			p.sees("> ")
			if c.how.app == "" { // of live it would wait for more than an echo
				p.types("hello\r")
				p.sees("< hello\r\n")
			}
			p.types("\x03")
		}
		if err := <-ended; errorText(err) != c.want {
			t.Errorf("%q: ended with %q, want %q", c.typed, errorText(err), c.want)
		}
		if strings.Contains(p.passed, "s3c") || !reflect.DeepEqual(p.state(), before) {
			t.Errorf("%q: the key is on the screen, or the terminal is not as it was: %q", c.typed, p.passed)
		}
	}
	for name, how := range map[string]connect{
		"a wrong key":     {key: secret{name: "key", text: "guess"}},
		"a wrong token":   {user: "ada", url: url + "?token=guess"},
		"a wrong header":  {headers: []string{"authorization: Bearer guess"}},
		"and comes again": {reconnect: true, key: secret{name: "key", text: "guess"}},
	} {
		if how.url == "" {
			how.url = url
		}
		if err := <-sitDown(t).starts(how); err == nil || !strings.HasPrefix(err.Error(), "refused: 401 Unauthorized: this server wants a key") {
			t.Errorf("%s: ended with %v", name, err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
