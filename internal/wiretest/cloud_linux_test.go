package wiretest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"crier/internal/dynalite"
)

// TestCloud runs what holds in every home against the third: the program as a Lambda function behind crier gateway, which
// plays API Gateway, with dynalite as DynamoDB. A stack serves one app; a proxy makes one server of five.
func TestCloud(t *testing.T) {
	if *running != "" {
		t.Skip("this is about a server that runs already")
	}
	database := dynalite.Start(t)
	p := proxy{}
	for _, app := range []string{"broadcast", "bridge", "chat", "rooms", "directory"} {
		dynalite.CreateTable(t, database, app)
		p[app], _ = startStack(t, function{app: app, table: database, concurrency: 1})
	}
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	RunEverywhere(t, "ws"+strings.TrimPrefix(front.URL, "http"))
}

// A function is the program as the Lambda function of a stack.
type function struct {
	app         string
	table       string // the address of the table store
	concurrency int    // runs at once; with one, messages keep their order, which AWS does not promise
	timeout     time.Duration
	variables   []string // more of them, each as NAME: VALUE
	bootstrap   string   // what is started in place of the program; empty: the program
}

// startStack starts crier gateway with one app as its function and returns its address. log returns what it has logged so far,
// and the function, too. Pages are let through to it.
func startStack(t *testing.T, f function) (at *url.URL, log func() string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "crier.yaml")
	variables := append(f.variables, "CRIER_APP: "+f.app, "CRIER_TABLE: "+f.app)
	err = os.WriteFile(file, fmt.Appendf(nil, `
stage: prod
routes: {$connect: crier, $disconnect: crier, $default: crier}
integrations:
  crier:
    lambda:
      bootstrap: %s
      concurrency: %d
      timeout: %v
      environment: {%s}
`, cmp.Or(f.bootstrap, path), f.concurrency, cmp.Or(f.timeout, 30*time.Second), strings.Join(variables, ", ")), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "gateway", file, "--listen", "localhost:0", "--allow-origin", "*")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "AWS_ENDPOINT_URL_DYNAMODB="+f.table)
	errors, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = errors
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	log = func() string {
		said, _ := os.ReadFile(errors.Name())
		return strings.ReplaceAll(string(said), `\"`, `"`) // what the function logs is quoted there
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%.20000s", f.app, log())
		}
		errors.Close()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if at := address.FindString(lines.Text()); at != "" {
			go io.Copy(io.Discard, out)
			return &url.URL{Scheme: "http", Host: strings.TrimPrefix(at, "ws://")}, log
		}
	}
	t.Fatalf("crier gateway tells no address:\n%s", log())
	return nil, nil
}

// A proxy makes one server of many: it knows the address of each app's.
type proxy map[string]*url.URL

func (p proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	app := first
	switch {
	case first == "":
		app = "broadcast"
	case strings.HasSuffix(first, "connections") && rest == "":
		p.list(w)
		return
	case strings.HasSuffix(first, "connections"):
		app = p.owner(rest)
	}
	if p[app] == nil {
		http.NotFound(w, r)
		return
	}
	forward := httputil.ReverseProxy{Rewrite: func(out *httputil.ProxyRequest) {
		out.Out.URL.Scheme, out.Out.URL.Host, out.Out.Host = "http", p[app].Host, p[app].Host
		out.Out.URL.Path, out.Out.URL.RawPath = "/prod", ""
		if app != first && first != "" {
			out.Out.URL.Path = "/prod/@connections/" + rest
		}
	}}
	forward.ServeHTTP(w, r)
}

// list lists the connections of all.
func (p proxy) list(w http.ResponseWriter) {
	all := []json.RawMessage{}
	for _, at := range p {
		var some []json.RawMessage
		if resp, err := http.Get(at.String() + "/prod/@connections"); err == nil {
			json.NewDecoder(resp.Body).Decode(&some)
			resp.Body.Close()
		}
		all = append(all, some...)
	}
	json.NewEncoder(w).Encode(all)
}

// owner returns the app that has a connection; any if none has.
func (p proxy) owner(id string) string {
	for app, at := range p {
		if resp, err := http.Get(at.String() + "/prod/@connections/" + id); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return app
			}
		}
	}
	return "broadcast"
}
