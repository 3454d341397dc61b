// Package lambda has no code: its tests run the examples, and what is real around them, behind crier gateway.
package lambda

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a test waits for what must happen; it matters only when it does not.
const patience = 30 * time.Second

var (
	crier    string // the program
	dynamodb string // the address of one
	home     string // where crier keeps its authority
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds what the examples need, and starts a DynamoDB for all of them.
func run(m *testing.M) int {
	if crier = os.Getenv("ELSEWHERE"); crier != "" {
		home = os.Getenv("XDG_CONFIG_HOME")
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "crier-examples-")
	check(err)
	defer os.RemoveAll(dir)
	home, crier = filepath.Join(dir, "config"), filepath.Join(dir, "crier")
	if _, err := os.Stat("node_modules/dynalite"); err != nil {
		fmt.Fprintf(os.Stderr, "%v: run make test, or npm ci in examples/lambda\n", err)
		return 1
	}
	command("go", "build", "-o", crier, "crier/cmd/crier")
	command("go", "build", "-o", "go/bootstrap", "./go")
	command("node", "node_modules/typescript/bin/tsc", "-p", "broadcast")

	db := exec.Command(crier, "gateway", "chat/crier.yaml", "--dynamodb", "--listen", "localhost:0")
	db.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home)
	db.Stderr = os.Stderr
	db.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := db.StdoutPipe()
	check(err)
	check(db.Start())
	defer db.Wait()
	defer db.Process.Kill()
	for lines := bufio.NewScanner(out); dynamodb == "" && lines.Scan(); {
		dynamodb = regexp.MustCompile(`http://[0-9.]+:\d+$`).FindString(lines.Text())
	}
	if dynamodb == "" {
		fmt.Fprintln(os.Stderr, "crier gateway --dynamodb does not say where its DynamoDB is")
		return 1
	}
	return m.Run()
}

func command(name string, args ...string) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		check(fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A gateway is a running crier gateway.
type gateway struct {
	t   *testing.T
	cmd *exec.Cmd
	url string // of its API

	mu  sync.Mutex
	log strings.Builder
	end chan struct{} // closed when nothing more comes
}

// serve runs crier gateway on a file.
func serve(t *testing.T, file string, flags ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, end: make(chan struct{})}
	g.cmd = exec.Command(crier, append([]string{"gateway", file, "--dynamodb", "--listen", "localhost:0"}, flags...)...)
	g.cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home, "AWS_ENDPOINT_URL_DYNAMODB="+dynamodb, "NODE_NO_WARNINGS=1")
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := g.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(g.end)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			g.mu.Lock()
			g.log.WriteString(lines.Text() + "\n")
			g.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		g.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the gateway said\n%s", g.said())
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if g.url = regexp.MustCompile(`ws://\S+`).FindString(lines.Text()); g.url != "" {
			go func() { // what --events prints
				for lines.Scan() {
				}
			}()
			return g
		}
	}
	<-g.end
	t.Fatalf("crier gateway does not say where it listens:\n%s", g.said())
	return nil
}

func (g *gateway) stop(how syscall.Signal) {
	g.cmd.Process.Signal(how)
	<-g.end
	g.cmd.Wait()
}

func (g *gateway) said() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

// logs waits until the gateway has logged the text.
func (g *gateway) logs(text string) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(g.said(), text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("the gateway does not say %q", text)
		}
	}
}

// http returns the gateway's address for HTTP or HTTPS.
func (g *gateway) http(scheme string) string { return scheme + strings.TrimPrefix(g.url, "ws") }

type client struct {
	*websocket.Conn
	t *testing.T
}

func (g *gateway) dial(query string) *client {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, g.url+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close(websocket.StatusNormalClosure, "") })
	return &client{conn, g.t}
}

func (c *client) say(text string) {
	c.t.Helper()
	if err := c.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, data, err := c.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

func (c *client) hears(what, want string) {
	c.t.Helper()
	if got := c.hear(); !regexp.MustCompile("^" + want + "$").MatchString(got) {
		c.t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// forbidden is the frame for a message that nobody handles, and failed that for one whose handler failed.
const (
	forbidden = `\{"message": "Forbidden", "connectionId":"[\w-]{15}=", "requestId":"[\w-]{15}="\}`
	failed    = `\{"message": "Internal server error", "connectionId":"[\w-]{15}=", "requestId":"[\w-]{15}="\}`
)

// TestBroadcast: the handler's frames equal those that were recorded from the service it is modelled on.
func TestBroadcast(t *testing.T) {
	text, err := os.ReadFile("../../stamp/testdata/broadcast.json")
	if err != nil {
		t.Fatal(err)
	}
	var recording struct {
		Cases []struct{ Name, Input, Sender, Others string }
	}
	if err := json.Unmarshal(text, &recording); err != nil || len(recording.Cases) < 40 {
		t.Fatalf("%d cases, %v", len(recording.Cases), err)
	}
	g := serve(t, "broadcast/crier.yaml")
	ann, bob := g.dial(""), g.dial("")
	now := regexp.MustCompile(`"_now":\d{13}\b`)
	for _, c := range recording.Cases {
		ann.say(c.Input)
		for who, heard := range map[string]string{"sender": ann.hear(), "others": bob.hear()} {
			want := c.Sender
			if who == "others" {
				want = c.Others
			}
			if got := now.ReplaceAllString(heard, `"_now":"<NOW>"`); got != want {
				t.Errorf("%s, %s: got %s, want %s", c.Name, who, got, want)
			}
		}
	}
}

// TestStarter: three functions share what they know of connections.
func TestStarter(t *testing.T) {
	g := serve(t, "starter/crier.yaml")
	ann, bob := g.dial(""), g.dial("")
	id := `"[\w-]{15}="`
	ann.say("who is there?")
	ann.hears("two are there", `\{"you":`+id+`,"connections":\[.*`+id+`,`+id+`\]\}`)
	bob.Close(websocket.StatusNormalClosure, "")
	g.logs("route=$disconnect")
	ann.say("and now?")
	if got := ann.hear(); strings.Count(got, "=") != 2 {
		t.Errorf("one is left: got %s", got)
	}
}

// TestTopics: messages go to those who connected with the topic's name.
func TestTopics(t *testing.T) {
	g := serve(t, "topics/crier.yaml")
	ann, bob, eve := g.dial("?topicName=Something"), g.dial("?topicName=Something"), g.dial("?topicName=Else")
	ann.say(`{"topic":"Something", "n": 1.0}`)
	for _, c := range []*client{ann, bob} {
		if got := c.hear(); got != `{"topic":"Something", "n": 1.0}` {
			t.Errorf("got %s", got)
		}
	}
	bob.say(`{"topic":"Else"}`)
	if got := eve.hear(); got != `{"topic":"Else"}` {
		t.Errorf("got %s", got)
	}
	bob.say(`not JSON`)
	bob.hears("a handler that throws", failed)
	_, resp, err := websocket.Dial(context.Background(), g.url, nil)
	if err == nil || resp.StatusCode != 400 {
		t.Errorf("without a topic: %v", err)
	}
}

// TestChat: API Gateway's tutorial, with both SDKs.
func TestChat(t *testing.T) {
	for _, dir := range []string{"chat", "chat-v3"} {
		g := serve(t, dir+"/crier.yaml")
		ann, bob := g.dial(""), g.dial("")
		ann.say(`{"action":"sendMessage","data":"hello"}`)
		ann.hears("the sender hears it, too", "hello")
		bob.hears("the others hear it", "hello")
		ann.say(`{"action":"other"}`)
		ann.hears("an unknown action", forbidden)
		ann.say(`hello`)
		ann.hears("no action", forbidden)
		ann.say(`{"action":"sendMessage"`)
		ann.hears("no JSON", forbidden)
		ann.Close(websocket.StatusNormalClosure, "")
		bob.Close(websocket.StatusNormalClosure, "")
		g.stop(syscall.SIGTERM)
	}
}

func TestPythonAndGo(t *testing.T) {
	g := serve(t, "python/crier.yaml")
	ann := g.dial("")
	ann.say("hi \u00fc")
	ann.hears("it comes back", `\{"you": "[\w-]{15}=", "said": "hi \\u00fc"\}`)
	g.logs(`line="MESSAGE `)

	g = serve(t, "go/crier.yaml")
	ann = g.dial("")
	for i := range 100 {
		ann.say(fmt.Sprint(i))
		ann.hears("it comes back", fmt.Sprint(i))
	}
}

// TestSDKs: clients of the management API that others wrote, with TLS, signed.
func TestSDKs(t *testing.T) {
	g := serve(t, "go/crier.yaml", "--access-key", "AKIDEXAMPLE", "--secret-key", "wJalr/XUtn+FEMI=")
	for _, stage := range []string{"/dev", ""} { // without it as at a custom domain
		at := func(url string) string { return strings.TrimSuffix(url, "/dev") + stage }
		sdk := exec.Command("node", "sdk.mjs", at(g.http("https")), at(g.url))
		sdk.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+filepath.Join(home, "crier", "ca.pem"), "NODE_NO_WARNINGS=1")
		out, err := sdk.CombinedOutput()
		if err != nil || !strings.HasSuffix(string(out), "all of it\n") {
			t.Errorf("stage %q: %v\n%s", stage, err, out)
		}
	}
	for signed, want := range map[string]string{
		"":                             "403",
		"AKIDEXAMPLE:wrong":            "403",
		"AKIDOTHER:wJalr/XUtn+FEMI=":   "403",
		"AKIDEXAMPLE:wJalr/XUtn+FEMI=": "410",
	} {
		args := []string{"-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "hi", g.http("http") + "/@connections/AAAAAAAAAAAAAAA%3D"}
		if signed != "" {
			args = append(args, "--aws-sigv4", "aws:amz:us-east-1:execute-api", "-u", signed)
		}
		out, err := exec.Command("curl", args...).Output()
		if string(out) != want {
			t.Errorf("curl, signed %q: got %s, want %s: %v", signed, out, want, err)
		}
	}
}

// TestCurl: without keys, programs on this machine need no signature, and https is trusted with the file that is there.
func TestCurl(t *testing.T) {
	g := serve(t, "python/crier.yaml")
	ann := g.dial("")
	ann.say("who am I?")
	id := regexp.MustCompile(`[\w-]{15}=`).FindString(ann.hear())
	for _, scheme := range []string{"http", "https"} {
		for _, spelt := range []string{id, strings.Replace(id, "=", "%3D", 1)} {
			curl := exec.Command("curl", "-sS", "--fail", "--cacert", filepath.Join(home, "crier", "ca.pem"), "-d", "posted", g.http(scheme)+"/%40connections/"+spelt)
			if out, err := curl.CombinedOutput(); err != nil {
				t.Errorf("%s %s: %v\n%s", scheme, spelt, err, out)
				continue
			}
			ann.hears("what is posted", "posted")
		}
	}
	resp, err := http.Get(g.http("http") + "/@connections/" + id)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("got %s", resp.Status)
	}
}
