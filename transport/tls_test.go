package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// secret is how the servers of the tests use TLS.
var secret = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "test"},
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{
		Certificates:                []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		DynamicRecordSizingDisabled: true,
	}
})

// replaceable is what lies under TLS, as in package door.
type replaceable struct{ net.Conn }

func (r *replaceable) NetConn() net.Conn   { return r.Conn }
func (r *replaceable) Replace(nc net.Conn) { r.Conn = nc }

// handshake begins TLS on both ends of a connection.
func handshake(t testing.TB, ours, served net.Conn, version uint16, options ...func(*tls.Config)) (*tls.Conn, *tls.Conn) {
	server := tls.Server(&replaceable{served}, secret())
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, DynamicRecordSizingDisabled: true}
	for _, option := range options {
		option(config)
	}
	client := tls.Client(ours, config)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client, server
}
