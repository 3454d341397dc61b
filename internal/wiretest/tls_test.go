package wiretest

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// certFile and keyFile are a certificate for 127.0.0.1 that this process trusts.
var certFile, keyFile string

// certify makes them, and must come before anything else asks whom this system trusts. A server that runs already has a
// certificate of its own.
func certify(dir string) error {
	if *running != "" {
		return nil
	}
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	pair := certified.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return os.Setenv("SSL_CERT_FILE", certFile)
}

// startTLS is start with TLS.
func startTLS(t *testing.T, flags ...string) *process {
	t.Helper()
	return start(t, append([]string{"--tls-cert", certFile, "--tls-key", keyFile}, flags...)...)
}

// TestServeTLS runs the suite over wss.
func TestServeTLS(t *testing.T) {
	p := startTLS(t)
	Run(t, string(p.server))
	p.stop()
	p.exits()
}
