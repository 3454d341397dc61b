package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// An authority is Pebble, the ACME server that Let's Encrypt has for tests. It asks for proof at a port of this machine.
type authority struct {
	certmagic.ACMEIssuer                // how to reach it
	root                 *x509.CertPool // has signed what it signs
}

func newAuthority(t *testing.T, port int) authority {
	t.Helper()
	program := filepath.Join(t.TempDir(), "pebble")
	if out, err := exec.Command("go", "build", "-C", "../internal/pebble", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("building Pebble: %v\n%s", err, out)
	}
	cmd := exec.Command(program, strconv.Itoa(port))
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // which ends it
		cmd.Wait()
	})
	var told struct{ Directory, Server, Root string }
	if err := json.NewDecoder(out).Decode(&told); err != nil {
		t.Fatalf("Pebble tells no address: %v", err)
	}
	trusted, root := x509.NewCertPool(), x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(told.Server)) || !root.AppendCertsFromPEM([]byte(told.Root)) {
		t.Fatalf("no certificates: %+v", told)
	}
	return authority{certmagic.ACMEIssuer{CA: told.Directory, TrustedRoots: trusted}, root}
}

// A notebook is a log that a test can wait for.
type notebook chan string

func (n notebook) Write(line []byte) (int, error) {
	n <- string(line)
	return len(line), nil
}

// wait returns the next line, which must have something in it.
func (n notebook) wait(t *testing.T, something string) {
	t.Helper()
	select {
	case line := <-n:
		if !strings.Contains(line, something) {
			t.Fatalf("logs %s, want %s", line, something)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("does not log %q", something)
	}
}

// serve serves HTTP with a keeper's certificates, to the end of the test.
func serve(t *testing.T, l net.Listener, k *Keeper) {
	server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(tls.NewListener(l, k.TLS())) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().(*net.TCPAddr).Port
}

// TestKeeper: an authority signs certificates once it has seen the proof, though the server does not listen to port 443. Who
// starts again has them still, and needs no authority.
func TestKeeper(t *testing.T) {
	l, port := listen(t)
	authority := newAuthority(t, port)
	dir, notes := t.TempDir(), make(notebook, 10)
	logger := slog.New(slog.NewTextHandler(notes, nil))
	keeper := newKeeper(t.Context(), l.Addr().String(), dir, logger, authority.ACMEIssuer)
	serve(t, l, keeper)
	names := []string{"game.example.com", "chat.example.com"}
	if err := keeper.Keep(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	for range names {
		notes.wait(t, "has a certificate")
	}
	show := func(address, name string) []byte {
		t.Helper()
		conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: name, RootCAs: authority.root, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("speaks %q", got)
		}
		return conn.ConnectionState().PeerCertificates[0].Raw
	}
	first := show(l.Addr().String(), names[0])
	show(l.Addr().String(), names[1])

	l, _ = listen(t)
	again := newKeeper(t.Context(), l.Addr().String(), dir, logger, certmagic.ACMEIssuer{CA: authority.CA})
	serve(t, l, again)
	if err := again.Keep(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	for range names {
		notes.wait(t, "has a certificate")
	}
	if !slices.Equal(first, show(l.Addr().String(), names[0])) {
		t.Error("has another certificate after a restart")
	}
}

// TestNotKept: who cannot be given a certificate is told at once, and why.
func TestNotKept(t *testing.T) {
	taken := filepath.Join(t.TempDir(), "certificates")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dir, domain, want string }{
		{filepath.Dir(taken), "game.example.com", "keep certificates: "},
		{t.TempDir(), "*.example.com", "public names"},
		{t.TempDir(), "localhost", "public names"},
		{t.TempDir(), "192.0.2.1", "public names"},
		{t.TempDir(), "https://game.example.com", "public names"},
		{t.TempDir(), "game.example.com:443", "public names"},
		{t.TempDir(), "", "public names"},
	} {
		keeper := NewKeeper(t.Context(), ":443", c.dir, slog.New(slog.DiscardHandler))
		if err := keeper.Keep(t.Context(), []string{c.domain}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in %s: %v, want %s", c.domain, c.dir, err, c.want)
		}
	}
}

// TestNoProof: the reason why there is no certificate is logged.
func TestNoProof(t *testing.T) {
	elsewhere, port := listen(t)
	elsewhere.Close()
	authority := newAuthority(t, port)
	l, _ := listen(t)
	notes := make(notebook, 10)
	keeper := newKeeper(t.Context(), l.Addr().String(), t.TempDir(), slog.New(slog.NewTextHandler(notes, nil)), authority.ACMEIssuer)
	serve(t, l, keeper)
	if err := keeper.Keep(t.Context(), []string{"game.example.com"}); err != nil {
		t.Fatal(err)
	}
	notes.wait(t, "Failed to connect to 127.0.0.1")
}

// TestNotOurs: there is no certificate for a name that nobody has asked for.
func TestNotOurs(t *testing.T) {
	config := NewKeeper(t.Context(), "localhost:443", t.TempDir(), slog.New(slog.DiscardHandler)).TLS()
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		tls.Client(there, &tls.Config{ServerName: "other.example.com"}).Handshake()
		there.Close()
	}()
	if err := tls.Server(here, config).Handshake(); err == nil {
		t.Error("shows a certificate for a name that is not its own")
	}
}
