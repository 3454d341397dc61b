package client

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// proxied is where the proxy leads, whatever it is asked for; and asked is what for.
var proxied, asked atomic.Value

// TestMain has a proxy in the environment, as net/http reads that only once. It is not asked for this machine's addresses.
func TestMain(m *testing.M) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go relay(near)
		}
	}()
	os.Setenv("HTTPS_PROXY", "http://"+l.Addr().String())
	os.Setenv("HTTP_PROXY", "http://"+l.Addr().String())
	os.Unsetenv("NO_PROXY")
	os.Exit(m.Run())
}

func relay(near net.Conn) {
	defer near.Close()
	reader := bufio.NewReader(near)
	r, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	asked.Store(r.Method + " " + r.RequestURI)
	far, err := net.Dial("tcp", proxied.Load().(string))
	if err != nil {
		return
	}
	defer far.Close()
	if r.Method == http.MethodConnect {
		io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	} else {
		r.Write(far)
	}
	var both sync.WaitGroup
	both.Go(func() { io.Copy(far, reader); far.Close() })
	both.Go(func() { io.Copy(near, far); near.Close() })
	both.Wait()
}

// TestProxy: the environment's is asked, for wss with CONNECT.
func TestProxy(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, nil); err == nil {
			_, data, _ := c.Read(r.Context())
			c.Write(r.Context(), websocket.MessageText, data)
		}
	})
	plain, secret := httptest.NewServer(echo), httptest.NewTLSServer(echo)
	defer plain.Close()
	defer secret.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(secret.Certificate())
	for _, c := range []struct{ url, server, asked string }{
		{"wss://example.com/room", secret.URL, "CONNECT example.com:443"}, // as the certificate has it
		{"ws://crier.test/room", plain.URL, "GET http://crier.test/room"},
	} {
		_, address, _ := strings.Cut(c.server, "://")
		proxied.Store(address)
		conn := dial(t, c.url, Handshake{TLS: &tls.Config{RootCAs: trusted}})
		if got := asked.Load(); got != c.asked {
			t.Errorf("the proxy is asked to %s, want %s", got, c.asked)
		}
		if err := conn.Write([]byte("hi"), false); err != nil {
			t.Error(err)
		}
		if data, _, err := conn.Next(); err != nil || string(data) != "hi" {
			t.Errorf("heard %s, %v", data, err)
		}
		conn.HangUp()
	}
}
