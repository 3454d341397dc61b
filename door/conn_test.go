package door

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// newDoor serves a handler behind a Listener and returns its address, and what trusts its certificate.
func newDoor(t *testing.T, only bool, handler http.HandlerFunc) (address string, trust *tls.Config) {
	t.Helper()
	certified := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(certified.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler, ConnContext: ConnContext, ReadHeaderTimeout: time.Second}
	done := make(chan error)
	go func() {
		done <- s.Serve(Listener{Listener: l, TLS: &tls.Config{Certificates: certified.TLS.Certificates}, Only: only, Lobby: NewLobby(func() int { return 1000 }, slog.New(slog.DiscardHandler))})
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	pool := x509.NewCertPool()
	pool.AddCert(certified.Certificate())
	return l.Addr().String(), &tls.Config{RootCAs: pool}
}

// TestTLSAndPlain: both are served on one port, one after the other and beside each other.
func TestTLSAndPlain(t *testing.T) {
	address, trust := newDoor(t, false, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%v %s", secure(r), body)
	})
	client := http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer client.CloseIdleConnections()
	for range 3 {
		for scheme, want := range map[string]string{"http": "false hi", "https": "true hi"} {
			resp, err := client.Post(scheme+"://"+address, "", strings.NewReader("hi"))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(got) != want {
				t.Errorf("%s: got %s, want %s", scheme, got, want)
			}
		}
	}
}

// TestNotHTTP: what is neither ends with its own connection, at once or when it is too slow.
func TestNotHTTP(t *testing.T) {
	address, _ := newDoor(t, false, func(http.ResponseWriter, *http.Request) {})
	for _, sent := range []string{"\x16", "\x16\x03\x01\x00\x02\x01\x00", "\x00\x00", "G", ""} {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, sent)
		nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		if answer, err := io.ReadAll(nc); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%q: %q, %v", sent, answer, err)
		}
		nc.Close()
	}
}

// TestOnlyTLS: who does not speak TLS where there is nothing else is told, once.
func TestOnlyTLS(t *testing.T) {
	address, trust := newDoor(t, true, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, secure(r)) })
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 10_000), "G", "\r\n\r\n",
	} {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(nc, request)
		in := bufio.NewReader(nc)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%.20q: %v", request, err)
		}
		got, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 400 || string(got) != "this is https and wss, not http and ws\n" || err != nil {
			t.Errorf("%.20q: got %s %q, %v", request, resp.Status, got, err)
		}
		if more, err := io.ReadAll(in); len(more) > 0 || err != nil {
			t.Errorf("%.20q: then comes %q, %v", request, more, err)
		}
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	page, err := http.NewRequest("GET", "http://"+address+"/a%2Fb?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	page.Header.Set("Accept", "text/html, */*")
	answer, err := client.Transport.RoundTrip(page)
	if err != nil || answer.StatusCode != 307 || answer.Header.Get("Location") != "https://"+address+"/a%2Fb?x=1" {
		t.Errorf("a browser gets %v, %v", answer, err)
	}
	resp, err := client.Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); string(got) != "true" {
		t.Errorf("got %q", got)
	}
}

// TestUnwrapped: after the handshake a plain connection is the socket itself, which event loops can poll.
func TestUnwrapped(t *testing.T) {
	got := make(chan net.Conn, 2)
	address, trust := newDoor(t, false, func(w http.ResponseWriter, r *http.Request) {
		nc, early, err := switchProtocols(w.(http.Hijacker), r, "chat")
		if err != nil || string(early) != "early" {
			t.Errorf("early %q, %v", early, err)
		}
		got <- nc
	})
	for _, secure := range []bool{false, true} {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if secure {
			trust.ServerName = "127.0.0.1"
			nc = tls.Client(nc, trust)
		}
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly")
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Protocol") != "chat" {
			t.Fatalf("%+v, %v", resp, err)
		}
		server := <-got
		defer server.Close()
		_, isTCP := server.(*net.TCPConn)
		_, isTLS := server.(*tls.Conn)
		if isTCP == secure || isTLS != secure {
			t.Errorf("TLS %v: the connection is a %T", secure, server)
		}
	}
}

// TestSpell: headers are spelt as the client did, and in the usual way where that is not known.
func TestSpell(t *testing.T) {
	address, _ := newDoor(t, false, func(w http.ResponseWriter, r *http.Request) {
		spell := Spell(r)
		var names []string
		for name := range r.Header {
			names = append(names, spell(name))
		}
		slices.Sort(names)
		fmt.Fprint(w, strings.Join(names, " "))
	})
	for head, want := range map[string]string{
		"x-lower: 1\r\nX-UPPER: 2\r\nsec-WebSocket-key: 3\r\n\r\n": "X-UPPER sec-WebSocket-key x-lower",
		"x-lower: 1\n\n": "x-lower",
		"x-early: 1\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nx-late: y\r\n\r\n": "x-early",
		"content-LENGTH: 18\r\n\r\nx-Body: 1\r\n\r\nx: y\r\n":              "content-LENGTH",
	} {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n"+head)
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(resp.Body); string(got) != want {
			t.Errorf("%q: got %s, want %s", head, got, want)
		}
	}
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	for _, name := range []string{"x-first", "X-SECOND", "x-Third"} { // of one connection
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n"+name+": 1\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(resp.Body); string(got) != name {
			t.Errorf("%s: got %s", name, got)
		}
	}
	spell := Spell(httptest.NewRequest("GET", "/", nil))
	if got := spell("Sec-Websocket-Protocol") + " " + spell("User-Agent"); got != "Sec-WebSocket-Protocol User-Agent" {
		t.Errorf("got %s", got)
	}
}
