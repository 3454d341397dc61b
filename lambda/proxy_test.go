package lambda

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// shout listens on a port of this machine and answers what it is told, all of
// it, in capitals.
func shout(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				text, _ := io.ReadAll(nc)
				nc.Write(bytes.ToUpper(text))
			}()
		}
	}()
	return l.Addr().String()
}

// ask sends a request to a proxy and returns the connection, and the answer.
func ask(t *testing.T, p *Proxy, request string) (*net.TCPConn, *bufio.Reader, *http.Response) {
	t.Helper()
	nc, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	io.WriteString(nc, strings.ReplaceAll(request, "\n", "\r\n"))
	r := bufio.NewReader(nc)
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return nc.(*net.TCPConn), r, resp
}

func newTestProxy(t *testing.T, to string) (*Proxy, string, *printer) {
	t.Helper()
	log := &printer{}
	p, err := NewProxy([]string{testAlias}, to, "http://localhost:8000", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	u, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequest("GET", "http://x", nil)
	password, _ := u.User.Password()
	r.SetBasicAuth(u.User.Username(), password)
	return p, "Proxy-Authorization: " + r.Header.Get("Authorization") + "\n", log
}

// TestProxy: where it leads, and whom.
func TestProxy(t *testing.T) {
	crier, other := shout(t), shout(t)
	p, key, log := newTestProxy(t, crier)
	connect := func(to string) string { return "CONNECT " + to + " HTTP/1.1\nHost: " + to + "\n" }
	for _, test := range []struct {
		name, request string
		want          int
	}{
		{"the alias", connect(testAlias+":443") + key, 200},
		{"the alias, spelt otherwise", connect("CrierCrier.execute-API.eu-west-1.amazonaws.com.:443") + key, 200},
		{"somebody else", connect(other) + key, 200},
		{"another port of the alias", connect(testAlias+":80") + key, 502},
		{"another region", connect("criercrier.execute-api.us-east-1.amazonaws.com:443") + key, 502},
		{"a DynamoDB at AWS", connect("DynamoDB.eu-west-1.amazonaws.com:443") + key, 502},
		{"nobody", connect("127.0.0.1:1") + key, 502},
		{"no port", connect("localhost") + key, 502},
		{"no password", connect(other), 407},
		{"a wrong password", connect(other) + "Proxy-Authorization: Basic Y3JpZXI6eA==\n", 407},
		{"what a page can ask", "GET / HTTP/1.1\nHost: x\nOrigin: http://evil.example\n", 407},
		{"no tunnel", "GET http://" + other + "/ HTTP/1.1\nHost: " + other + "\n" + key, 405},
	} {
		nc, r, resp := ask(t, p, test.request+"\n")
		if resp.StatusCode != test.want {
			t.Errorf("%s: got %s, want %d", test.name, resp.Status, test.want)
			continue
		}
		if test.want != 200 {
			continue
		}
		io.WriteString(nc, "hello")
		nc.CloseWrite()
		if text, err := io.ReadAll(r); err != nil || string(text) != "HELLO" {
			t.Errorf("%s: got %q, %v", test.name, text, err)
		}
	}
	for _, want := range []string{
		"criercrier.execute-api.us-east-1.amazonaws.com:443 is not there",
		"dynamodb.eu-west-1.amazonaws.com is not where AWS_ENDPOINT_URL_DYNAMODB leads, http://localhost:8000",
	} {
		if got := log.String(); !strings.Contains(got, want) {
			t.Errorf("the log has %s, not %s", got, want)
		}
	}
}

// TestProxyEarly: what a client says before it may is not lost.
func TestProxyEarly(t *testing.T) {
	p, key, _ := newTestProxy(t, "")
	nc, r, resp := ask(t, p, "CONNECT "+shout(t)+" HTTP/1.1\nHost: x\n"+key+"\nearly")
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	nc.CloseWrite()
	if text, err := io.ReadAll(r); err != nil || string(text) != "EARLY" {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestProxyBounds: there is an end to tunnels, in number and in time.
func TestProxyBounds(t *testing.T) {
	p, key, _ := newTestProxy(t, "")
	to := shout(t)
	request := "CONNECT " + to + " HTTP/1.1\nHost: x\n" + key + "\n"
	_, r, resp := ask(t, p, request)
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	for range maxTunnels - 1 {
		p.room <- struct{}{}
	}
	if _, _, resp := ask(t, p, request); resp.StatusCode != 503 {
		t.Errorf("one too many: got %s", resp.Status)
	}
	<-p.room
	if _, _, resp := ask(t, p, request); resp.StatusCode != 200 {
		t.Errorf("there is room again: got %s", resp.Status)
	}
	for range maxTunnels - 2 {
		<-p.room
	}
	p.Close()
	if _, err := r.ReadByte(); err == nil {
		t.Error("the tunnel is still open")
	}
	if _, err := net.Dial("tcp", p.listener.Addr().String()); err == nil {
		t.Error("the proxy is still open")
	}
}

// TestHasDynamoDB: functions that are told of AWS's own DynamoDB may reach it.
func TestHasDynamoDB(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": false, "no URL": false, "http://localhost:8000": true, "https://tables.example.com": true,
		"https://dynamodb.eu-west-1.amazonaws.com": false, "https://dynamodb.cn-north-1.amazonaws.com.cn/": false,
	} {
		if p := (&Proxy{dynamoDB: endpoint}); p.hasDynamoDB() != want {
			t.Errorf("%q: got %v", endpoint, !want)
		}
	}
}
