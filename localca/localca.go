// Package localca makes certificates for this machine's own use.
//
// SDKs insist on https. So that handlers on this machine can post to crier, it has a certificate authority of its own,
// made on first use and known to nobody but the processes that crier starts: it is given to them in variables such as
// NODE_EXTRA_CA_CERTS. It is not installed in the system, and no browser trusts it.
//
// # What it may sign for
//
// Whoever gets hold of the authority's key must not be able to pretend to be
// anybody else to those processes. So the authority's certificate has name
// constraints (RFC 5280, section 4.2.1.10): it counts for what a client can
// call this machine, which is what handlers see as domainName: localhost and
// names that end so, the machine's own name, addresses that are loopback,
// private or link-local, and this machine's other addresses. It counts for no
// public name but the aliases that it was opened with, and for no name below
// these.
//
// # What it does not do
//
// It signs nothing for a name just because a client asks for it. Who asks for a
// name that is not this machine's gets the certificate for localhost, and finds
// out that it is for somebody else.
package localca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	authorityYears = 10
	leafDays       = 30
	// maxLeaves is how many certificates are kept: clients can choose many
	// names that end with .localhost.
	maxLeaves = 100
)

// An Authority signs certificates for this machine.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*tls.Certificate // by name
}

// Dir returns where a user's authority is kept by default.
func Dir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the local certificate authority: %w; XDG_CONFIG_HOME can name one", err)
	}
	return filepath.Join(dir, "crier"), nil
}

// Open returns the authority that is kept in dir. If there is none, or one that
// is about to expire, or one of a crier that knew no constraints, it makes one.
// If this machine has got another name or address, the authority gets another
// certificate, with the same key: so processes that trust either trust what is
// signed with it.
//
// aliases are names that lead to crier in processes that trust the authority,
// and nowhere else. The authority counts for exactly these, too.
func Open(dir string, aliases ...string) (*Authority, error) {
	a := &Authority{dir: dir, leaves: make(map[string]*tls.Certificate)}
	wanted := thisMachine()
	wanted.dns = append(wanted.dns, aliases...)
	err := a.load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = a.make(wanted, create)
	case err != nil:
	case time.Until(a.cert.NotAfter) < leafDays*24*time.Hour || !a.cert.PermittedDNSDomainsCritical:
		a.cert, a.key = nil, nil
		err = a.make(wanted, replace)
	}
	// Another process may do so at the same time, with aliases of its own.
	for tries := 0; err == nil && tries < 5 && !wanted.within(a.cert); tries++ {
		wanted.keep(a.cert, aliases)
		err = a.make(wanted, replace)
	}
	if err == nil {
		err = a.publish()
	}
	if err != nil {
		return nil, fmt.Errorf("local certificate authority in %s: %w", dir, err)
	}
	return a, nil
}

// CertFile returns the path of the authority's certificate, in PEM.
func (a *Authority) CertFile() string { return filepath.Join(a.dir, "ca.pem") }

// BundleFile returns the path of a file that has this authority, those that the user's environment names, and those that the
// system trusts: for programs that can be given a file only instead of what they trust already.
func (a *Authority) BundleFile() string { return filepath.Join(a.dir, "bundle.pem") }

// file has the key and the certificate, in PEM. All processes on this machine have the same, also if they make it at the same
// time.
func (a *Authority) file() string { return filepath.Join(a.dir, "authority.pem") }

// Variables returns the environment that has programs trust the authority, as KEY=value.
func (a *Authority) Variables() []string {
	extra := a.CertFile() // Node.js reads it at every start: the less, the faster
	if os.Getenv("NODE_EXTRA_CA_CERTS") != "" {
		extra = a.BundleFile()
	}
	return []string{
		"NODE_EXTRA_CA_CERTS=" + extra,
		"AWS_CA_BUNDLE=" + a.BundleFile(),      // AWS SDKs for Python, Go and others, and the AWS CLI
		"SSL_CERT_FILE=" + a.BundleFile(),      // OpenSSL, and what is built on it; Go
		"REQUESTS_CA_BUNDLE=" + a.BundleFile(), // requests, for Python
	}
}

// Config returns how to serve TLS: with a certificate for the name of this
// machine that the client asks for, or for the address that it has connected
// to.
func (a *Authority) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.leaf(a.nameFor(hello.ServerName, hello.Conn.LocalAddr()))
		},
	}
}

// nameFor returns the name or address whose certificate a client gets that asks
// for a name, or for none: "Literal IPv4 and IPv6 addresses are not permitted"
// there. RFC 6066, section 3
func (a *Authority) nameFor(asked string, local net.Addr) string {
	asked = strings.ToLower(asked)
	if strings.HasSuffix(asked, ".localhost") || slices.Contains(a.cert.PermittedDNSDomains, asked) {
		return asked
	}
	at, err := netip.ParseAddrPort(local.String())
	addr := at.Addr().Unmap().WithZone("")
	if asked == "" && err == nil && permits(a.cert, addr) {
		return addr.String()
	}
	return "localhost"
}

// leaf returns a certificate for a name or an address.
func (a *Authority) leaf(name string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf, ok := a.leaves[name]; ok && time.Until(leaf.Leaf.NotAfter) > 24*time.Hour {
		return leaf, nil
	}
	leaf, err := a.sign(name)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %q: %w", name, err)
	}
	if len(a.leaves) >= maxLeaves {
		clear(a.leaves)
	}
	a.leaves[name] = leaf
	return leaf, nil
}

func (a *Authority) sign(name string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := newTemplate(leafDays * 24 * time.Hour)
	template.Subject = pkix.Name{Organization: []string{"crier on this machine"}}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// newTemplate returns what all certificates have in common.
func newTemplate(lifetime time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // rand.Reader never fails
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             now.Add(-time.Hour), // clocks differ
		NotAfter:              now.Add(lifetime),
		BasicConstraintsValid: true,
	}
}

func (a *Authority) load() error {
	pair, err := tls.LoadX509KeyPair(a.file(), a.file())
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return errors.New("authority.pem is not an authority of crier's; remove it and it will be made anew")
	}
	a.cert, a.key = pair.Leaf, key
	return nil
}

// make makes an authority, or a new certificate for the one that there is, and
// puts it into its file. If another process was faster to create the file, it
// takes what is there.
func (a *Authority) make(wanted names, put func(path string, text []byte, mode fs.FileMode) error) (err error) {
	template := newTemplate(authorityYears * 365 * 24 * time.Hour)
	template.KeyUsage = x509.KeyUsageCertSign
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.IsCA = true
	template.MaxPathLenZero = true
	wanted.constrain(template)
	key := a.key
	if key != nil {
		template.RawSubject, template.NotAfter = a.cert.RawSubject, a.cert.NotAfter
	} else {
		host, _ := os.Hostname()
		template.Subject = pkix.Name{Organization: []string{"crier"}, CommonName: "crier on " + host}
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	var text bytes.Buffer
	pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err = put(a.file(), text.Bytes(), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return a.load()
}

// publish writes what others trust: the certificate, and a bundle of it with the authorities that the system trusts.
func (a *Authority) publish() error {
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	return errors.Join(
		replace(a.CertFile(), own, 0o644),
		replace(a.BundleFile(), bytes.Join([][]byte{own, a.userRoots(), systemRoots()}, nil), 0o644),
	)
}

// userRoots returns what the user's environment has programs trust, in PEM: a company's proxy, for example.
func (a *Authority) userRoots() (roots []byte) {
	for _, name := range []string{"NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"} {
		file := os.Getenv(name)
		if file == "" || file == a.CertFile() || file == a.BundleFile() {
			continue
		}
		if text, err := os.ReadFile(file); err == nil {
			roots = append(append(roots, text...), '\n')
		}
	}
	return roots
}

// systemRoots returns what the system trusts, in PEM, if it keeps that in a file.
func systemRoots() []byte {
	for _, file := range []string{
		os.Getenv("SSL_CERT_FILE"),
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch
		"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",             // openSUSE
		"/etc/ssl/cert.pem",                  // Alpine, macOS, BSD
	} {
		if text, err := os.ReadFile(file); err == nil && file != "" {
			return text
		}
	}
	return nil
}

// replace writes a file so that others see the old text or the new one, whole.
func replace(path string, text []byte, mode fs.FileMode) error {
	return put(path, text, mode, os.Rename)
}

// create writes a file so that others see none or all of it. It fails with fs.ErrExist if there is one.
func create(path string, text []byte, mode fs.FileMode) error {
	return put(path, text, mode, os.Link)
}

func put(path string, text []byte, mode fs.FileMode, move func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // if it is still there
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	return move(f.Name(), path)
}
