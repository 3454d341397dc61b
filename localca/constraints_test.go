package localca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"crier/trust"
)

// trusted says which certificates count that are signed with the authority's
// key, whoever has signed them.
func trusted() map[string]bool {
	own := trust.Names()[0]
	return map[string]bool{
		"localhost": true, "app.localhost": true, "a.b.localhost": true, own: true,
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.1.5": true, "169.254.1.1": true,
		"100.64.0.1": true, "fd00::1": true, "fe80::1": true,
		"example.com": false, "localhost.example.com": false, "notlocalhost": false, "x." + own: false, "x" + own: false, "other.local": false, "local": false,
		"abc123.execute-api.us-east-1.amazonaws.com": false, "dynamodb.us-east-1.amazonaws.com": false,
		"8.8.8.8": false, "172.32.0.1": false, "2606:4700::1111": false,
	}
}

// TestConstraintsInGo: Go's verifier keeps to them.
func TestConstraintsInGo(t *testing.T) {
	a := open(t, t.TempDir())
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for name, want := range trusted() {
		leaf, err := a.sign(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		if (err == nil) != want {
			t.Errorf("a certificate for %s: %v", name, err)
		}
	}
	leaf, err := a.sign("localhost")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("it counts for clients")
	}
}

// Clients that connect to each port and print what became of it.
const (
	nodeClient = `
const tls = require('tls'), net = require('net');
const [ca, list] = [require('fs').readFileSync(process.argv[1]), JSON.parse(process.argv[2])];
const result = {};
const next = () => {
  const found = list.pop();
  if (!found) return console.log(JSON.stringify(result));
  const [name, port] = found;
  const socket = tls.connect({ host: '127.0.0.1', port, ca, servername: net.isIP(name) ? '' : name, checkServerIdentity: (_, cert) => tls.checkServerIdentity(name, cert) });
  const end = (how) => { result[name] = how; socket.destroy(); next(); };
  socket.on('secureConnect', () => end('')).on('error', (e) => end(e.code + ' ' + e.message));
};
next();`
	pythonClient = `
import json, socket, ssl, sys
result = {}
for name, port in json.loads(sys.argv[2]):
    context = ssl.create_default_context(cafile=sys.argv[1])
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain, server_hostname=name):
            result[name] = ""
    except ssl.SSLError as e:
        result[name] = str(e)
print(json.dumps(result))`
)

// TestConstraintsElsewhere: OpenSSL, as Node and Python have it, keeps to them,
// too.
func TestConstraintsElsewhere(t *testing.T) {
	a := open(t, t.TempDir())
	want := trusted()
	var list [][2]any // name, port
	for name := range want {
		leaf, err := a.sign(name)
		if err != nil {
			t.Fatal(err)
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*leaf}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				nc.(*tls.Conn).Handshake()
				nc.Close()
			}
		}()
		list = append(list, [2]any{name, l.Addr().(*net.TCPAddr).Port})
	}
	ports, _ := json.Marshal(list)
	for program, args := range map[string][]string{"node": {"-e", nodeClient}, "python3": {"-c", pythonClient}} {
		cmd := exec.Command(program, append(args, a.CertFile(), string(ports))...)
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		var got map[string]string
		if err != nil || json.Unmarshal(out, &got) != nil || len(got) != len(want) {
			t.Fatalf("%s: %v\n%s%s", program, err, out, &complaints)
		}
		for name, good := range want {
			if (got[name] == "") != good || !good && !strings.Contains(strings.ToLower(got[name]), "permitted subtree violation") && !strings.Contains(got[name], "excluded subtree violation") {
				t.Errorf("%s, a certificate for %s: %q", program, name, got[name])
			}
		}
	}
}

// TestConstraints: what the certificate of the authority says.
func TestConstraints(t *testing.T) {
	n := names{dns: []string{"localhost", "dev", "dev.local"}, networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")}}
	a := &Authority{dir: filepath.Join(t.TempDir(), "new"), leaves: make(map[string]*tls.Certificate)}
	if err := a.make(n, create); err != nil {
		t.Fatal(err)
	}
	if got := a.cert; !got.PermittedDNSDomainsCritical || !slices.Equal(got.PermittedDNSDomains, n.dns) || len(got.PermittedIPRanges) != 2 {
		t.Errorf("got %q %v, critical %v", got.PermittedDNSDomains, got.PermittedIPRanges, got.PermittedDNSDomainsCritical)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	// The name dev is this machine's; what ends so is Google's to give away.
	for name, want := range map[string]bool{"dev": true, "dev.local": true, "example.dev": false, "x.dev.local": false, "10.9.9.9": true, "11.0.0.1": false, "2001:db8::1": true, "2001:db8::2": false} {
		leaf, err := a.sign(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		wanted names
		within bool
	}{
		{n, true},
		{names{dns: []string{"localhost"}}, true},
		{names{networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}, true},
		{names{dns: []string{"laptop"}}, false},
		{names{networks: []netip.Prefix{netip.MustParsePrefix("11.0.0.1/32")}}, false},
	} {
		if got := c.wanted.within(a.cert); got != c.within {
			t.Errorf("%v is permitted: %v", c.wanted, got)
		}
	}
}

// TestOldAuthority: one without constraints, as older criers made them, is
// replaced, and nothing that it has signed counts any more.
func TestOldAuthority(t *testing.T) {
	dir := t.TempDir()
	old := &Authority{dir: dir, leaves: make(map[string]*tls.Certificate)}
	if err := old.make(names{}, create); err != nil {
		t.Fatal(err)
	}
	if old.cert.PermittedDNSDomainsCritical || len(old.cert.PermittedDNSDomains) > 0 {
		t.Fatal("it has constraints")
	}
	leaf, err := old.sign("localhost")
	if err != nil {
		t.Fatal(err)
	}
	a := open(t, dir)
	if bytes.Equal(a.cert.Raw, old.cert.Raw) || a.key.Equal(old.key) || !a.cert.PermittedDNSDomainsCritical {
		t.Error("not replaced")
	}
	bundle, err := os.ReadFile(a.CertFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost"}); err == nil {
		t.Error("what the old one has signed counts")
	}
	if again := open(t, dir); !bytes.Equal(again.cert.Raw, a.cert.Raw) {
		t.Error("replaced twice")
	}
}

// TestNewName: a machine that has got another name gets another certificate for
// its authority. What runs goes on to be trusted, by processes that know the
// old certificate, and by those that know the new one.
func TestNewName(t *testing.T) {
	dir := t.TempDir()
	before := &Authority{dir: dir, leaves: make(map[string]*tls.Certificate)}
	wanted := thisMachine()
	wanted.dns = []string{"localhost", "former-name"}
	if err := before.make(wanted, create); err != nil {
		t.Fatal(err)
	}
	after := open(t, dir)
	if bytes.Equal(before.cert.Raw, after.cert.Raw) || !before.key.Equal(after.key) || !bytes.Equal(before.cert.RawSubject, after.cert.RawSubject) {
		t.Error("want another certificate of the same authority")
	}
	for _, signer := range []*Authority{before, after} {
		leaf, err := signer.sign("localhost")
		if err != nil {
			t.Fatal(err)
		}
		for _, truster := range []*Authority{before, after} {
			roots, sent := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(truster.cert)
			sent.AddCert(signer.cert)
			if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: sent, DNSName: "localhost"}); err != nil {
				t.Errorf("signed before %v, trusted before %v: %v", signer == before, truster == before, err)
			}
		}
	}
	if again := open(t, dir); !bytes.Equal(again.cert.Raw, after.cert.Raw) {
		t.Error("made once more")
	}
}

// TestAliases: the authority counts for exactly the aliases that it is opened
// with, and for those of other processes that run.
func TestAliases(t *testing.T) {
	const (
		here  = "criercrier.execute-api.us-east-1.amazonaws.com"
		there = "criercrier.execute-api.eu-west-1.amazonaws.com"
	)
	dir := t.TempDir()
	open(t, dir) // as an older crier makes it
	before, err := Open(dir, here)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Open(dir, there)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		here: true, there: true, "localhost": true,
		"x." + here: false, "x" + here: false, "criercrier.execute-api.us-west-1.amazonaws.com": false,
		"abcdefghij.execute-api.us-east-1.amazonaws.com": false, "execute-api.us-east-1.amazonaws.com": false, "amazonaws.com": false,
	} {
		// With the key anything can be signed.
		leaf, err := after.sign(name)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(after.cert)
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
		if got := after.nameFor(name, address("127.0.0.1:1")); (got == name) != want {
			t.Errorf("a client that asks for %s gets a certificate for %s", name, got)
		}
	}
	if !before.key.Equal(after.key) {
		t.Error("the key is another")
	}
	again, err := Open(dir, here)
	if err != nil || !bytes.Equal(again.cert.Raw, after.cert.Raw) {
		t.Errorf("made once more, %v", err)
	}
	// Another machine's name does not stay, and there is an end to aliases.
	n := names{dns: []string{here}}
	other := &x509.Certificate{PermittedDNSDomains: []string{"localhost", "former-name", here}}
	for i := range 2 * maxKept {
		other.PermittedDNSDomains = append(other.PermittedDNSDomains, fmt.Sprintf("criercrier.execute-api.region-%d.amazonaws.com", i))
	}
	n.keep(other, []string{here})
	if len(n.dns) != 1+maxKept || slices.Contains(n.dns, "former-name") {
		t.Errorf("kept %q", n.dns)
	}
}
