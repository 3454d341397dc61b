package autobahn

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// programs is where the program is built.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "autobahn")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// program builds the program, once, and returns its path.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "crier")
	if out, err := exec.Command("go", "build", "-o", path, "crier/cmd/crier").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, lookAtSources()
})

// lookAtSources: go test answers with an old result as long as all that a test looked at is the same, and does not see
// what a compiler that the test calls looks at. So look at the directories that the program is built from.
func lookAtSources() error {
	ours := "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}"
	dirs, err := exec.Command("go", "list", "-deps", "-f", ours, "crier/cmd/crier").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	for dir := range strings.Lines(string(dirs)) {
		if _, err := os.ReadDir(strings.TrimSpace(dir)); err != nil {
			return err
		}
	}
	return nil
}

var address = regexp.MustCompile(`wss?://[^\s/]+`)

// start runs crier serve with more flags until the end of the test.
func start(t *testing.T, flags ...string) Server {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--max-message", fmt.Sprint(16 << 20), "--drain", "0s"}, flags...)
	cmd := exec.Command(path, args...)
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "CRIER_") {
			cmd.Env = append(cmd.Env, line)
		}
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if text := log.String(); strings.Contains(text, "panic") || strings.Contains(text, "goroutine ") {
			t.Errorf("in the log: %.5000s", text)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url := address.FindString(lines.Text()); url != "" {
			return Server{URL: url}
		}
	}
	t.Fatal("crier serve does not say where it listens")
	return Server{}
}

// startTLS is start with a certificate.
func startTLS(t *testing.T) Server {
	t.Helper()
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	pair := certified.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, "--tls-cert", certFile, "--tls-key", keyFile)
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	s.TLS = &tls.Config{RootCAs: roots}
	return s
}
