// Package certs finds the certificate with which a server shows who it is: in files that somebody else keeps fresh, or by
// asking a certificate authority for it.
package certs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// FromFiles serves the certificate in two PEM files, and the new one when they have changed: within a second, without a
// restart. If the new ones are of no use it keeps the old one, and logs why.
func FromFiles(cert, key string, log *slog.Logger) (*tls.Config, error) {
	f := &files{cert: cert, key: key, log: log}
	if err := f.load(); err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil },
	}, nil
}

// lookAgain is how often the files are looked at, at most.
const lookAgain = time.Second

// files is a certificate and where it comes from.
type files struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	state  [2]state // of the files, when they were looked at
	looked time.Time
}

// A state is what changes when a file does.
type state struct {
	changed time.Time
	size    int64
}

func (f *files) states() (both [2]state) {
	for i, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err == nil {
			both[i] = state{info.ModTime(), info.Size()}
		}
	}
	return both
}

func (f *files) load() error {
	f.state = f.states()
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return f.explain(err)
	}
	f.loaded = &pair
	switch leaf := pair.Leaf; {
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		f.log.Warn("the certificate names no address (subjectAltName), so no client will take it", "file", f.cert)
	case time.Now().After(leaf.NotAfter):
		f.log.Warn("the certificate has expired", "file", f.cert, "at", leaf.NotAfter)
	}
	return nil
}

// explain names the files in an error that does not, and a key that has a
// passphrase.
func (f *files) explain(err error) error {
	if _, unread := errors.AsType[*fs.PathError](err); unread {
		return err
	}
	if key, _ := os.ReadFile(f.key); bytes.Contains(key, []byte("ENCRYPTED")) {
		err = errors.New("the key has a passphrase; openssl pkey -in FILE -out OTHER takes it away")
	}
	return fmt.Errorf("%s, %s: %w", f.cert, f.key, err)
}

func (f *files) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < lookAgain {
		return f.loaded
	}
	f.looked = time.Now()
	if f.states() != f.state {
		if err := f.load(); err != nil {
			f.log.Warn("the new certificate is of no use; the old one stays", "error", err)
		} else {
			f.log.Info("loaded the new certificate", "until", f.loaded.Leaf.NotAfter)
		}
	}
	return f.loaded
}
