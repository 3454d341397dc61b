package door

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"crier/access"
)

// TestWhoMayManage: without a key only programs of this machine, and crier's
// own page there; with one, who has it.
func TestWhoMayManage(t *testing.T) {
	const right, elsewhere = "Authorization: Bearer s3cret", "Peer: 192.0.2.1:99"
	for _, c := range []struct {
		headers     []string
		open, keyed int // the status without a key, and with one
	}{
		{nil, 200, 401},
		{[]string{"Peer: [::1]:99", "Host: [::1]:8080"}, 200, 401},
		{[]string{"Host: anything.localhost"}, 200, 401},
		{[]string{elsewhere}, 401, 401},
		{[]string{right}, 401, 200}, // where there is no key none is right
		{[]string{elsewhere, right}, 401, 200},
		{[]string{elsewhere, "Authorization: bearer  s3cret"}, 401, 200},
		{[]string{elsewhere, "Authorization: Basic s3cret"}, 401, 401},
		{[]string{"Host: game.example.com"}, 401, 401},     // a name that was made to point here
		{[]string{"X-Forwarded-For: 192.0.2.1"}, 401, 401}, // a proxy on this machine speaks for others
		{[]string{"X-Forwarded-For: "}, 401, 401},
		{[]string{"X-Forwarded-For: ", "X-Forwarded-For: 127.0.0.1"}, 401, 401},
		{[]string{"Protocol: HTTP/1.0"}, 401, 401}, // and so does nginx
		{[]string{"Via: x", right}, 401, 200},
		{[]string{"Origin: http://localhost:8080"}, 200, 401}, // our own page
		{[]string{"Origin: http://localhost:3000"}, 403, 401}, // another program's
		{[]string{"Origin: http://evil.example.com"}, 403, 401},
		{[]string{"Origin: https://friend.example.com"}, 403, 401}, // it may connect
		{[]string{"Origin: null"}, 403, 401},                       // it may, too
		{[]string{"Sec-Fetch-Site: cross-site"}, 403, 401},
		{[]string{"Origin: http://evil.example.com", "X-Forwarded-For: 127.0.0.1"}, 401, 401},
		{[]string{"Origin: http://game.example.com", "Host: game.example.com", "X-Forwarded-For: 127.0.0.1"}, 401, 401},
		{[]string{"Origin: http://evil.example.com", right}, 401, 200},
	} {
		for key, want := range map[string]int{"": c.open, "s3cret": c.keyed} {
			h := &home{}
			g := New(Config{Topics: h, MaxMessage: 10, Guard: guard(t, key), AllowOrigins: []string{"https://friend.example.com", "null"}, Log: slog.New(slog.DiscardHandler)})
			resp, body := ask(t, g, "POST /publish\nhi", c.headers...)
			if resp.StatusCode != want {
				t.Errorf("%q with the key %q: got %d %s, want %d", c.headers, key, resp.StatusCode, body, want)
			}
			if (len(h.asked) > 0) != (want == 200) {
				t.Errorf("%q with the key %q: status %d, but published: %q", c.headers, key, want, h.asked)
			}
			if want != 200 && key == "" && !strings.Contains(body, ":") {
				t.Errorf("%q: it is not told why: %s", c.headers, body)
			}
		}
	}
	// * lets every page connect, and none manage.
	g := New(Config{Topics: &home{}, MaxMessage: 10, AllowOrigins: []string{"*"}, Log: slog.New(slog.DiscardHandler)})
	for _, origin := range []string{"null", "http://localhost:3000", "https://evil.example.com"} {
		if resp, _ := ask(t, g, "POST /publish\nhi", "Origin: "+origin); resp.StatusCode != 403 {
			t.Errorf("with --allow-origin '*' a page of %s gets %s", origin, resp.Status)
		}
	}
}

// TestGuesses: a wrong key is answered late, but not once nobody waits for the
// answer, or the server goes; the right one at once, and so is every other
// refusal.
func TestGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{Topics: &home{}, MaxMessage: 10, Guard: guard(t, "s3cret"), Log: slog.New(slog.DiscardHandler)})
		took := func(ctx context.Context, authorization string) time.Duration {
			began := time.Now()
			r := httptest.NewRequestWithContext(ctx, "POST", "/publish", strings.NewReader("hi"))
			r.Header.Set("Authorization", authorization)
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if want := map[bool]int{true: 200, false: 401}[authorization == "Bearer s3cret"]; w.Code != want {
				t.Errorf("%q: got %d %s, want %d", authorization, w.Code, w.Body, want)
			}
			return time.Since(began)
		}
		wants := func(ctx context.Context, authorization string, want time.Duration) {
			t.Helper()
			if got := took(ctx, authorization); got != want {
				t.Errorf("the answer to %q took %v, want %v", authorization, got, want)
			}
		}
		wants(t.Context(), "Bearer guess", time.Second)
		wants(t.Context(), "Bearer", 0) // no credential is no guess
		wants(t.Context(), "Bearer s3cret", 0)
		wants(t.Context(), "Basic guess", 0)
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		wants(short, "Bearer guess", time.Millisecond)

		var guesses sync.WaitGroup
		for range maxGuesses {
			guesses.Go(func() { took(t.Context(), "Bearer guess") })
		}
		synctest.Wait()
		wants(t.Context(), "Bearer guess", 0) // as many wait as may
		wants(t.Context(), "Bearer s3cret", 0)
		guesses.Wait()
		wants(t.Context(), "Bearer guess", time.Second)

		guesses.Go(func() { wants(t.Context(), "Bearer guess", time.Millisecond) })
		time.Sleep(time.Millisecond)
		g.Shutdown()
		g.Shutdown()
		guesses.Wait()
		wants(t.Context(), "Bearer guess", 0)
	})
}

// TestAlias: over TLS handlers of this machine may call it by an alias, and
// nobody else may call it by any name.
func TestAlias(t *testing.T) {
	const alias = "criercrier.execute-api.us-east-1.amazonaws.com"
	h := &home{}
	g := New(Config{
		Mounts: []Mount{{Path: "/dev", Name: "gateway"}}, Sockets: h, Connections: h, Topics: h, MaxMessage: 100, Log: slog.New(slog.DiscardHandler),
		Stage: "dev", Credentials: keys, Aliases: []string{alias},
	})
	address, trusting := newDoor(t, false, g.ServeHTTP)
	trusting.ServerName = "example.com" // as the certificate has it
	for _, test := range []struct {
		scheme, host, header string
		want                 int
	}{
		{"https", alias, "", 200},
		{"https", alias + ":443", "", 200},
		{"https", "CrierCrier.Execute-API.us-east-1.amazonaws.com", "", 200},
		{"https", "localhost", "", 200},
		{"http", alias, "", 401}, // a page could be there
		{"https", "x." + alias, "", 401},
		{"https", "criercrier.execute-api.eu-west-1.amazonaws.com", "", 401},
		{"https", alias, "Origin: https://" + alias, 403},
		{"https", alias, "Sec-Fetch-Site: cross-site", 403},
		{"https", alias, "X-Forwarded-For: 192.0.2.1", 401},
	} {
		r, err := http.NewRequest("POST", test.scheme+"://"+address+"/dev/@connections/"+anID, strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = test.host
		if name, value, ok := strings.Cut(test.header, ": "); ok {
			r.Header.Set(name, value)
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: trusting, DisableKeepAlives: true}}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s://%s %s: got %s, want %d", test.scheme, test.host, test.header, resp.Status, test.want)
		}
	}
}

// guard knows an admin key, if it is not empty.
func guard(t *testing.T, key string) *access.Guard {
	t.Helper()
	g := new(access.Guard)
	if key != "" {
		var err error
		if g.AdminKeys, err = access.NewSecrets([]string{key}, "", slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	return g
}
