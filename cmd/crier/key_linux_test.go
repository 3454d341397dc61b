package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
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

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
