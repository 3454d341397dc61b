package cluster

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	minKey = 16 // bytes
	// Whoever connects sees a certificate that the key has signed, and can try
	// keys at home. So a try has to be dear.
	keyRounds = 600_000
	keySalt   = "crier cluster key, version 1"
)

// The certificates of a cluster have no times: a key has none, and a server
// with a wrong clock must not be cut off.
var (
	always  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	forever = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// errKey is what a server is told that does not have the cluster's key.
var errKey = errors.New("cluster: the other side's certificate does not come from this --cluster-key")

// keyTLS returns a TLS configuration for servers that have the same key, and
// for nobody else. From the key comes an authority, the same on all servers. It
// signs a certificate for this server, which says nothing but that its owner
// knows the key. So the chain is verified, and no name.
func keyTLS(key string) (*tls.Config, error) {
	authority, authorityKey, err := keyAuthority(key)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's authority: %w", err)
	}
	leaf, err := keyLeaf(authority, authorityKey)
	if err != nil {
		return nil, fmt.Errorf("make a certificate with the cluster key: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{leaf},
		ClientAuth:   tls.RequireAnyClientCert,
		// Both sides verify the chain in VerifyConnection, which this does not
		// skip; only the name is not asked for.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return verifyChain(pool, s.PeerCertificates)
		},
		SessionTicketsDisabled: true,
	}, nil
}

func verifyChain(pool *x509.CertPool, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errKey
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return errKey
	}
	return nil
}

// derive returns bytes that follow from the key, for one purpose.
func derive(key, purpose string, length int) ([]byte, error) {
	stretched, err := pbkdf2.Key(sha256.New, key, []byte(keySalt), keyRounds, sha256.Size)
	if err != nil {
		return nil, err
	}
	return hkdf.Expand(sha256.New, stretched, purpose, length)
}

// keyAuthority returns the authority of a key: the same bytes on all servers,
// because Ed25519 signs without chance.
func keyAuthority(key string) (*x509.Certificate, ed25519.PrivateKey, error) {
	seed, err := derive(key, "crier cluster authority", ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "crier cluster"},
		NotBefore:             always,
		NotAfter:              forever,
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	cert, err := sign(template, template, private.Public(), private)
	return cert, private, err
}

// keyLeaf returns a certificate with a key that only this process knows.
func keyLeaf(authority *x509.Certificate, authorityKey ed25519.PrivateKey) (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := sign(&x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "crier server"},
		NotBefore:    always,
		NotAfter:     forever,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, authority, public, authorityKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: private, Leaf: leaf}, nil
}

func sign(template, parent *x509.Certificate, public any, private ed25519.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, private)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
