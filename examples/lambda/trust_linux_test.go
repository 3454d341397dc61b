package lambda

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestByEveryName: handlers post to what the client has called this machine,
// and trust the certificate that they find there.
func TestByEveryName(t *testing.T) {
	g := serve(t, "chat-v3/crier.yaml", "--listen", ":0")
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(g.url, "ws://"), "/dev"))
	hosts := []string{"localhost", "127.0.0.1", "127.1.2.3"}
	if name, err := os.Hostname(); err == nil {
		if _, err := net.LookupHost(name); err == nil {
			hosts = append(hosts, name)
		}
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
			hosts = append(hosts, ip.IP.String())
		}
	}
	for _, host := range hosts {
		g.url = "ws://" + net.JoinHostPort(host, port) + "/dev"
		ann := g.dial("")
		ann.say(`{"action":"sendMessage","data":"hello"}`)
		ann.hears("by the name "+host, "hello")
		ann.Close(websocket.StatusNormalClosure, "")
	}
}

// TestHandlersWithAdminKey: where there is an admin key, handlers go on with
// the keys that they are given, and others need it.
func TestHandlersWithAdminKey(t *testing.T) {
	key := write(t, t.TempDir(), "key", "s3cret\n")
	g := serve(t, "chat-v3/crier.yaml", "--admin-key-file", key)
	ann := g.dial("")
	ann.say(`{"action":"sendMessage","data":"hello"}`)
	ann.hears("what a handler posts", "hello")
	for authorization, want := range map[string]int{"": 401, "Bearer s3cret": 410, "Bearer guess": 401} {
		r, err := http.NewRequest("POST", g.http("http")+"/@connections/AAAAAAAAAAAAAAA=", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: got %s, want %d", authorization, resp.Status, want)
		}
	}
	if said := g.said(); strings.Contains(said, "s3cret") {
		t.Errorf("the key is in the log: %s", said)
	}
}

// TestDynamoDBForPrograms: the DynamoDB of these examples answers no page.
func TestDynamoDBForPrograms(t *testing.T) {
	for header, want := range map[string]string{
		"X: y": "404", "Origin: http://evil.example": "403", "Origin: http://localhost:3000": "403", "Host: evil.example": "403", "Sec-Fetch-Site: cross-site": "403",
	} {
		out, err := exec.Command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "{}", "-H", header, dynamodb).Output()
		if string(out) != want {
			t.Errorf("%s: got %s, want %s: %v", header, out, want, err)
		}
	}
}

// TestInvokeIsForPrograms: a page that finds the port where functions invoke
// each other runs none of them.
func TestInvokeIsForPrograms(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "index.mjs", `
export const tell = async () => ({ statusCode: 200, body: process.env.AWS_ENDPOINT_URL_LAMBDA + ' ' + process.env.AWS_LAMBDA_RUNTIME_API });
`)
	file := write(t, dir, "crier.yaml", `
routes: {$default: {integration: tell, routeResponse: true}}
integrations: {tell: {lambda: index.tell}}
`)
	g := serve(t, file)
	ann := g.dial("")
	ann.say("where?")
	invoke, runtime, _ := strings.Cut(ann.hear(), " ")
	for url, known := range map[string]string{
		invoke + "/2015-03-31/functions/tell/invocations":                 "200",
		"http://" + runtime + "/2018-06-01/runtime/invocation/x/response": "400",
	} {
		for header, want := range map[string]string{
			"X: y": known, "Origin: http://evil.example": "403", "Host: evil.example": "403", "Sec-Fetch-Site: cross-site": "403", "X-Forwarded-For;": "403",
		} {
			out, err := exec.Command("curl", "-s", "-o", filepath.Join(dir, "answer"), "-w", "%{http_code}", "-d", "{}", "-H", header, url).Output()
			if string(out) != want {
				text, _ := os.ReadFile(filepath.Join(dir, "answer"))
				t.Errorf("%s with %s: got %s, want %s: %v\n%s", url, header, out, want, err, text)
			}
		}
	}
}
