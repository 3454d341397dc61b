package lambda

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

const (
	alias     = "criercrier.execute-api.us-east-1.amazonaws.com"
	elsewhere = "127.66.66.66" // where the name would lead: testdata/endpoints knows this address
)

// byAlias are ways in which handlers post to the alias of their API.
var byAlias = []struct {
	by, way string
	cause   string // why it fails, if it should
}{
	{"node", "v2", ""},
	{"node", "v2bare", ""},
	{"node", "v3", ""},
	{"node", "v3environment", ""},
	{"node", "v2environment", ""},
	{"node", "https", ""},
	{"node", "lookup", ""},
	{"node", "resolver", ""},
	{"node", "looked", ""},
	{"node", "calledBack", ""},
	{"node", "resolved", ""},
	{"node", "tls", ""},
	{"node", "stranger", ""},
	{"node", "fetch", ""},
	{"node", "dispatcher", ""},
	{"node", "worker", ""},
	{"node", "bareWorker", ""},
	{"node", "child", ""},
	{"node", "otherRegion", "s API is " + alias},
	{"node", "plain", "it has port 443 only"},
	{"python", "boto3", ""},
	{"python", "environment", ""},
	{"python", "requests", ""},
	{"python", "urllib", ""},
	{"python", "client", ""},
	{"python", "raw", ""},
	{"python", "looked", ""},
	{"python", "early", ""},
	{"python", "stranger", ""},
	{"python", "coroutine", ""},
	{"python", "child", ""},
	{"python", "otherRegion", "s API is " + alias},
	{"go", "nethttp", ""},
	{"go", "sdk", ""},
	{"go", "environment", ""},
	{"go", "otherRegion", "s API is " + alias},
}

// byHand are the ways without an SDK, for handlers that post to domainName.
var byHand = [][2]string{{"node", "https"}, {"node", "fetch"}, {"python", "requests"}, {"python", "urllib"}, {"go", "nethttp"}}

// posts asks a handler to post to the client, and checks that it does.
func (c *client) posts(at, by, way string) {
	c.t.Helper()
	c.say(fmt.Sprintf(`{"at":%q,"by":%q,"way":%q}`, at, by, way))
	c.hears(fmt.Sprintf("%s, %s, %s", at, by, way), by+" "+way)
}

// endpoints makes what testdata/endpoints needs, once.
var endpoints = sync.OnceFunc(func() {
	command("python3", "-c", "import boto3, requests") // make deps installs them
	command("go", "build", "-o", "testdata/endpoints/bootstrap", "testdata/endpoints/main.go")
})

// TestAlias: handlers reach crier by the name that their API has at AWS, in
// every way, and nothing that is for that name, not even a question for its
// address, gets anywhere else. The test has a machine of its own, in which the
// name leads elsewhere, if this system has namespaces for that.
func TestAlias(t *testing.T) {
	endpoints()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestElsewhere$", "-test.v")
	cmd.Env = append(os.Environ(), "ELSEWHERE="+crier, "XDG_CONFIG_HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC), strings.Contains(string(out), noNamespaces):
		t.Logf("%s: %v", noNamespaces, err)
		everyWay(t)
	case err != nil || !strings.Contains(string(out), "--- PASS: TestElsewhere"):
		t.Errorf("%v\n%s", err, out)
	}
}

// TestEndpoints: handlers reach crier by both forms of domainName and by the
// alias, at any address, with an admin key, and with signatures.
func TestEndpoints(t *testing.T) {
	endpoints()
	key := write(t, t.TempDir(), "key", "s3cret\n")
	addresses := []string{"127.0.0.5:0"}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			addresses = append(addresses, net.JoinHostPort(n.IP.String(), "0")) // which loopback does not reach
			break
		}
	}
	flags := [][]string{{"--access-key", "AKIDEXAMPLE", "--secret-key", "wJalr/XUtn+FEMI="}, {"--admin-key-file", key}}
	for _, address := range addresses {
		flags = append(flags, []string{"--listen", address})
	}
	for _, flags := range flags {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			g := serve(t, "testdata/endpoints/crier.yaml", flags...)
			staged := g.dial("")
			g.url = strings.TrimSuffix(g.url, "dev") // as at a custom domain
			for _, ann := range []*client{staged, g.dial("?a=b")} {
				for _, at := range []string{"alias", "domain", "stage"} {
					ann.posts(at, "node", "v2")
					ann.posts(at, "node", "v3")
					ann.posts(at, "python", "boto3")
					ann.posts(at, "go", "sdk")
				}
			}
		})
	}
}

// TestInvokeByAlias: a function that is tried by hand posts to the connections
// of the gateway that runs.
func TestInvokeByAlias(t *testing.T) {
	endpoints()
	g := serve(t, "go/crier.yaml")
	ann := g.dial("")
	ann.say("fail")
	id := regexp.MustCompile(`[\w-]{15}=`).FindString(ann.hear())
	host, _, _ := strings.Cut(strings.TrimPrefix(g.url, "ws://"), "/")
	for by, way := range map[string]string{"node": "v3", "python": "boto3", "go": "sdk"} {
		body := fmt.Sprintf(`{"at":"alias","by":%q,"way":%q}`, by, way)
		invoke := exec.Command(crier, "gateway", "invoke", "testdata/endpoints/crier.yaml", "--domain", host, "--connection", id, "--body", body)
		invoke.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home, "NODE_NO_WARNINGS=1")
		if out, err := invoke.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", by, err, out)
			continue
		}
		ann.hears(by, by+" "+way)
	}
}

const noNamespaces = "this system has no namespaces for this test"

// TestElsewhere is TestAlias in its machine.
func TestElsewhere(t *testing.T) {
	if os.Getenv("ELSEWHERE") == "" {
		t.Skip("TestAlias runs it")
	}
	trap := elsewhereMachine(t)
	everyWay(t)
	// A proxy of the user's own is no place for the name.
	t.Setenv("HTTPS_PROXY", "http://"+elsewhere+":443")
	t.Setenv("NO_PROXY", "example.com")
	g := serve(t, "testdata/endpoints/crier.yaml")
	g.logs("the environment has a proxy")
	ann := g.dial("")
	for _, way := range []string{"boto3", "requests", "urllib", "child"} {
		ann.posts("alias", "python", way)
	}
	if got := trap.seen(); got != "" {
		t.Errorf("went elsewhere: %s", got)
	}
	// Without crier the name leads elsewhere.
	exec.Command("curl", "-sk", "--noproxy", "*", "--max-time", "5", "https://"+alias).Run()
	if got := trap.seen(); !strings.Contains(got, "question "+alias) || !strings.Contains(got, "connection") {
		t.Errorf("without crier: %s", got)
	}
}

// everyWay asks handlers to post in every way.
func everyWay(t *testing.T) {
	t.Helper()
	g := serve(t, "testdata/endpoints/crier.yaml")
	ann := g.dial("")
	for _, test := range byAlias {
		if test.cause == "" {
			ann.posts("alias", test.by, test.way)
			continue
		}
		ann.say(fmt.Sprintf(`{"at":"alias","by":%q,"way":%q}`, test.by, test.way))
		ann.hears(test.by+" "+test.way, failed)
		g.logs(test.cause)
	}
	for _, hand := range byHand {
		ann.posts("domain", hand[0], hand[1])
		ann.posts("stage", hand[0], hand[1])
	}
}

// A trap remembers what reached it.
type trap struct {
	mu  sync.Mutex
	log []string
}

func (t *trap) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = append(t.log, what)
}

func (t *trap) seen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.log, ", ")
}

// elsewhereMachine makes this process's machine one whose name server answers
// every question with the address of a trap.
func elsewhereMachine(t *testing.T) *trap {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
			t.Skip(noNamespaces, err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	lo, err := unix.NewIfreq("lo")
	must(err)
	lo.SetUint16(unix.IFF_UP)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	defer unix.Close(fd)
	must(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
	must(unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	must(os.WriteFile(conf, []byte("nameserver "+elsewhere+"\n"), 0o644))
	must(unix.Mount(conf, "/etc/resolv.conf", "", unix.MS_BIND, ""))

	trap := &trap{}
	for _, port := range []string{"443", "80"} {
		l, err := net.Listen("tcp", net.JoinHostPort(elsewhere, port))
		must(err)
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				trap.add("connection to " + nc.LocalAddr().String())
				nc.Close()
			}
		}()
	}
	packets, err := net.ListenPacket("udp", net.JoinHostPort(elsewhere, "53"))
	must(err)
	names := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		question := r.Question[0]
		if name := strings.TrimSuffix(question.Name, "."); name != "localhost" {
			trap.add("question " + name)
		}
		m := new(dns.Msg).SetReply(r)
		if question.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(elsewhere)}}
		}
		w.WriteMsg(m)
	})}
	go names.ActivateAndServe()
	t.Cleanup(func() { names.Shutdown() })
	return trap
}
