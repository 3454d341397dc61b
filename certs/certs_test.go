package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write writes a certificate that nobody has signed, and its key.
func write(t *testing.T, cert, key, name string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	if name != "" {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFromFiles: a changed certificate counts without a restart; one that is of no use does not.
func TestFromFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := FromFiles(cert, key, nil); err == nil || !strings.Contains(err.Error(), "load the certificate: open "+cert) {
		t.Errorf("got %v", err)
	}
	write(t, cert, key, "one.example")
	var log strings.Builder
	f := &files{cert: cert, key: key, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		f.looked = time.Time{} // long ago
		return f.current().Leaf.Subject.CommonName
	}
	if got := shown(); got != "one.example" {
		t.Errorf("shows %s", got)
	}
	write(t, cert, key, "two.example.com") // of another size, if the clock is coarse
	if got := shown(); got != "two.example.com" || !strings.Contains(log.String(), "loaded the new certificate") {
		t.Errorf("shows %s\n%s", got, &log)
	}
	os.WriteFile(cert, []byte("nonsense"), 0o600)
	if got := shown(); got != "two.example.com" || !strings.Contains(log.String(), "the old one stays") {
		t.Errorf("shows %s\n%s", got, &log)
	}
	log.Reset()
	if shown(); log.Len() != 0 {
		t.Errorf("complains again: %s", &log)
	}
}

// TestOfNoUse: what is wrong with a certificate is said at the start, with the names of the files.
func TestOfNoUse(t *testing.T) {
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	write(t, filepath.Join(dir, "x"), other, "x")
	write(t, cert, key, "one.example")
	locked := filepath.Join(dir, "locked.pem")
	os.WriteFile(locked, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), 0o600)
	for file, want := range map[string]string{other: "private key does not match public key", locked: "the key has a passphrase", cert: "found a certificate rather than a key"} {
		_, err := FromFiles(cert, file, slog.New(slog.DiscardHandler))
		if err == nil || !strings.HasPrefix(err.Error(), "load the certificate: "+cert+", "+file+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	var log strings.Builder
	write(t, cert, key, "")
	if _, err := FromFiles(cert, key, slog.New(slog.NewTextHandler(&log, nil))); err != nil || !strings.Contains(log.String(), "names no address") {
		t.Errorf("%v, %s", err, &log)
	}
}
