package localca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"crier/trust"
)

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestKept: the authority is made once and read afterwards; its key is nobody else's to read.
func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "crier")
	a, b := open(t, dir), open(t, dir)
	if !bytes.Equal(a.cert.Raw, b.cert.Raw) || !a.key.Equal(b.key) {
		t.Error("the second is another one")
	}
	for file, want := range map[string]os.FileMode{a.file(): 0o600, a.CertFile(): 0o644, dir: 0o700} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v: %v", file, info.Mode().Perm(), want, err)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 3 {
		t.Errorf("%d files, want 3", len(entries))
	}
	if other := open(t, t.TempDir()); bytes.Equal(a.cert.Raw, other.cert.Raw) {
		t.Error("another directory has the same authority")
	}
}

// TestTogether: all who begin at the same time have the same authority.
func TestTogether(t *testing.T) {
	for range 20 {
		dir := filepath.Join(t.TempDir(), "new")
		all := make([]*Authority, 8)
		var opening sync.WaitGroup
		for i := range all {
			opening.Go(func() { all[i] = open(t, dir) })
		}
		opening.Wait()
		published, err := os.ReadFile(all[0].CertFile())
		for _, a := range all {
			block, _ := pem.Decode(published)
			if err != nil || block == nil || !bytes.Equal(a.cert.Raw, all[0].cert.Raw) || !bytes.Equal(block.Bytes, a.cert.Raw) {
				t.Fatalf("they have different authorities; %v", err)
			}
		}
	}
}

// TestServes: whoever trusts the authority can talk to it by the names and
// addresses of this machine, and others cannot.
func TestServes(t *testing.T) {
	a := open(t, t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") }), ErrorLog: log.New(io.Discard, "", 0)}
	go s.Serve(tls.NewListener(l, a.Config()))
	defer s.Close()
	for _, file := range []string{a.CertFile(), a.BundleFile()} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		get := func(name string) error {
			client := http.Client{Transport: &http.Transport{
				DisableKeepAlives: true,
				TLSClientConfig:   &tls.Config{RootCAs: pool},
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
				},
			}}
			resp, err := client.Get("https://" + name + "/")
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		for _, name := range append(trust.Names(), "localhost", "app.localhost", "127.0.0.1") {
			if err := get(name); err != nil {
				t.Errorf("%s with %s: %v", name, filepath.Base(file), err)
			}
		}
		for _, name := range []string{"other.local", "game.example.com", "abc123.execute-api.us-east-1.amazonaws.com"} {
			if err := get(name); err == nil || !strings.Contains(err.Error(), "certificate is valid for localhost, not "+name) {
				t.Errorf("%s with %s: %v", name, filepath.Base(file), err)
			}
		}
	}
	if _, err := http.Get("https://" + l.Addr().String()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without trust: %v", err)
	}
}

// TestNameFor: whatever a client asks for, it gets a certificate for a name or
// an address of this machine.
func TestNameFor(t *testing.T) {
	a := open(t, t.TempDir())
	own := trust.Names()[0]
	for _, c := range []struct{ asked, local, want string }{
		{"", "127.0.0.1:8080", "127.0.0.1"},
		{"", "[::1]:8080", "::1"},
		{"", "192.168.1.5:8080", "192.168.1.5"},
		{"", "[::ffff:192.168.1.5]:8080", "192.168.1.5"},
		{"", "[fe80::1%lo]:8080", "fe80::1"},
		{"", "8.8.8.8:8080", "localhost"},
		{"", "@", "localhost"},
		{"localhost", "192.168.1.5:8080", "localhost"},
		{"LOCALHOST", "127.0.0.1:8080", "localhost"},
		{"a.b.localhost", "127.0.0.1:8080", "a.b.localhost"},
		{strings.ToUpper(own), "127.0.0.1:8080", own},
		{"x." + own, "127.0.0.1:8080", "localhost"},
		{"example.com", "127.0.0.1:8080", "localhost"},
		{"localhost.example.com", "192.168.1.5:8080", "localhost"},
		{"192.168.1.9", "192.168.1.5:8080", "localhost"},
		{"8.8.8.8", "127.0.0.1:8080", "localhost"},
	} {
		if got := a.nameFor(c.asked, address(c.local)); got != c.want {
			t.Errorf("who asks %s for %q gets %s, want %s", c.local, c.asked, got, c.want)
		}
	}
}

// An address is one of a connection.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// TestLeaves: a certificate is made once for a name, and however many names clients think of, few are kept.
func TestLeaves(t *testing.T) {
	a := open(t, t.TempDir())
	first, err := a.leaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := a.leaf("localhost"); again != first {
		t.Error("made again")
	}
	for i := range maxLeaves + 10 {
		a.leaves[strings.Repeat("x", i+1)] = first
		if _, err := a.leaf("localhost"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.localhost", "b.localhost"} {
		if _, err := a.leaf(name); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.leaves) > maxLeaves {
		t.Errorf("%d are kept", len(a.leaves))
	}
}

// TestRenewed: an authority that is about to expire is replaced; one that is not crier's is left alone.
func TestRenewed(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	a.cert.NotAfter = time.Now()
	if again := open(t, dir); !bytes.Equal(again.cert.Raw, a.cert.Raw) {
		t.Error("replaced without need")
	}
	os.WriteFile(a.file(), []byte("nonsense"), 0o600)
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("nonsense: %v", err)
	}
	os.Remove(a.file())
	if again := open(t, dir); bytes.Equal(again.cert.Raw, a.cert.Raw) {
		t.Error("not replaced")
	}
}

// TestUserRoots: what the user's environment trusts stays trusted.
func TestUserRoots(t *testing.T) {
	company := open(t, t.TempDir())
	t.Setenv("NODE_EXTRA_CA_CERTS", company.CertFile())
	a := open(t, t.TempDir())
	if want := "NODE_EXTRA_CA_CERTS=" + a.BundleFile(); !slices.Contains(a.Variables(), want) {
		t.Errorf("no %s", want)
	}
	bundle, _ := os.ReadFile(a.BundleFile())
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for _, cert := range []*x509.Certificate{a.cert, company.cert} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots}); err != nil {
			t.Errorf("%s: %v", cert.Subject, err)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Setenv("NODE_EXTRA_CA_CERTS", "")
	a := open(t, t.TempDir())
	got := a.Variables()
	for _, want := range []string{"NODE_EXTRA_CA_CERTS=" + a.CertFile(), "AWS_CA_BUNDLE=" + a.BundleFile(), "SSL_CERT_FILE=" + a.BundleFile()} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	bundle, _ := os.ReadFile(a.BundleFile())
	own, _ := os.ReadFile(a.CertFile())
	if !bytes.HasPrefix(bundle, own) || len(systemRoots()) > 0 && len(bundle) == len(own) {
		t.Errorf("the bundle has %d bytes", len(bundle))
	}
}
