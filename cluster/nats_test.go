package cluster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

var testPrograms string // a directory

func TestMain(m *testing.M) {
	var err error
	if testPrograms, err = os.MkdirTemp("", "crier-programs-"); err != nil {
		panic(err)
	}
	flag.Parse()
	flag.Set("test.parallel", "6") // those that are parallel wait for each other's servers most of the time
	code := m.Run()
	os.RemoveAll(testPrograms)
	os.Exit(code)
}

// slow is for tests that wait for elections and time-outs of NATS: they do so at
// the same time. Beside a full run, -short leaves them out.
func slow(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	t.Parallel()
}

// natsServer builds the program nats-server, once.
var natsServer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(testPrograms, "nats-server")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// A process is a nats-server.
type process struct {
	t       *testing.T
	address string
	file    string // of its configuration
	cmd     *exec.Cmd
	out     *lines
}

// startNATS starts a nats-server with a configuration. In it, STORE is an empty
// directory.
func startNATS(t *testing.T, config string) *process {
	t.Helper()
	return startNATSOn(t, addresses(t, 1)[0], config)
}

func startNATSOn(t *testing.T, address, config string) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, address: address, file: filepath.Join(dir, "nats.conf")}
	config = fmt.Sprintf("listen: %q\n%s", address, strings.ReplaceAll(config, "STORE", dir))
	if err := os.WriteFile(p.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *process) start() {
	p.t.Helper()
	path, err := natsServer()
	if err != nil {
		p.t.Fatal(err)
	}
	p.out = new(lines)
	p.cmd = exec.Command(path, "-c", p.file)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.out.waitForLine(p.t, "Server is ready")
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *process) URL() string { return "nats://" + p.address }

func dial(t *testing.T, n NATS) (*station, error) {
	m := newStation(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b, err := openNATS(ctx, n, testLargest, m.log.logger(), m.callbacks())
	m.backend = b
	return m, err
}

func mustDial(t *testing.T, n NATS) *station {
	t.Helper()
	m, err := dial(t, n)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.log)
	}
	t.Cleanup(m.Close)
	return m
}

const withJetStream = "jetstream { store_dir: \"STORE\" }\n"

// TestNATS: three servers share a NATS. It ends, and comes back.
func TestNATS(t *testing.T) {
	t.Parallel()
	p := startNATS(t, withJetStream)
	var members []*station
	for range 3 {
		members = append(members, mustDial(t, NATS{URL: p.URL()}))
	}
	testBackend(t, members)
	kept := members[0].store("kept")
	p.kill()
	for _, m := range members {
		m.healthy(isolated)
		if _, err := m.Store(t.Context(), []byte("nowhere"), anyLast); err == nil {
			t.Error("a message is stored nowhere")
		}
	}
	p.start()
	for _, m := range members {
		m.healthy(fine)
	}
	wantBatch(t, members[0], kept, "kept")
	next := members[1].store("next")
	for _, m := range members {
		eventually(t, func() error { // each subscribes again in its own time
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.delivered[next] == "" {
				next = members[1].store("next")
				return fmt.Errorf("nothing is delivered after NATS came back")
			}
			return nil
		})
	}
	members[0].log.waitForLine(t, "again")
}

// TestNATSCluster: three servers share a NATS of three servers, whose leader is
// killed.
func TestNATSCluster(t *testing.T) {
	slow(t)
	clients, routes := addresses(t, 3), addresses(t, 3)
	all := make([]string, 3)
	for i, r := range routes {
		all[i] = fmt.Sprintf("%q", "nats-route://"+r)
	}
	nodes := make(map[string]*process)
	var list []NATS
	for i, c := range clients {
		name := fmt.Sprint("n", i)
		config := fmt.Sprintf("server_name: %s\ncluster { name: c, listen: %q, routes: [%s] }\n",
			name, routes[i], strings.Join(all, ", "))
		nodes[name] = startNATSOn(t, c, withJetStream+config)
	}
	for i := range clients {
		list = append(list, NATS{URL: fmt.Sprintf("nats://%s,nats://%s", clients[i], clients[(i+1)%3])})
	}
	var members []*station
	for _, n := range list {
		members = append(members, mustDial(t, n))
	}
	testBackend(t, members)
	var info nats.StreamInfo
	if err := members[0].backend.(*jetStream).api(t.Context(), "STREAM.INFO", nil, &info); err != nil {
		t.Fatal(err)
	}
	if info.Config.Replicas != 3 || info.Config.Storage != nats.FileStorage {
		t.Errorf("%d replicas in %v", info.Config.Replicas, info.Config.Storage)
	}
	nodes[info.Cluster.Leader].kill()
	seq := members[0].store("after the leader")
	for _, m := range members {
		wantBatch(t, m, seq, "after the leader")
		m.healthy(fine)
	}
}

// TestNATSRefuses: what is wrong with a NATS is said in a sentence, soon.
func TestNATSRefuses(t *testing.T) {
	slow(t)
	users := `accounts { A { jetstream: enabled, users: [
		{ user: ann, password: secret }
		{ user: bob, password: secret, permissions: { publish: ["$JS.API.>", "crier.ask"], subscribe: ["_INBOX.>", "crier.>"] } }
		{ user: eve, password: secret, permissions: { publish: [">"], subscribe: ["_INBOX.>"] } } ] },
		B { users: [ { user: tom, password: secret } ] } }
	`
	secure := startNATS(t, withJetStream+users)
	at := func(user string) NATS { return NATS{URL: "nats://" + user + "@" + secure.address} }
	small := startNATS(t, withJetStream+"max_payload: 1000\n")
	bare := startNATS(t, "")
	taken := startNATS(t, withJetStream)
	createStream(t, taken, "other", "crier.>")
	foreign := startNATS(t, withJetStream)
	createStream(t, foreign, "crier", "criers")
	for name, c := range map[string]struct {
		n    NATS
		want string
	}{
		"empty":       {NATS{}, "the address of NATS is empty"},
		"password":    {at("ann:wrong"), "Authorization Violation"},
		"account":     {at("tom:secret"), "jetstream not enabled for account"},
		"none":        {NATS{URL: bare.URL()}, "the NATS at " + bare.URL() + " has no JetStream: start it with -js"},
		"small":       {NATS{URL: small.URL()}, fmt.Sprintf("takes messages of 1000 bytes, crier needs %d: set max_payload", testLargest+headerRoom)},
		"taken":       {NATS{URL: taken.URL()}, "NATS has another stream with the subject crier.log"},
		"foreign":     {NATS{URL: foreign.URL()}, "NATS has a stream crier that is not crier's"},
		"replicas":    {NATS{URL: bare.URL(), Replicas: 6}, "6 replicas are asked for; NATS has between 1 and 5"},
		"certificate": {NATS{URL: bare.URL(), Cert: "x"}, "a certificate for NATS needs its key"},
		"credentials": {NATS{URL: bare.URL(), Credentials: "/is/not/there"}, "/is/not/there"},
		"subscribe":   {at("eve:secret"), "NATS denies crier what it needs"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := dial(t, c.n)
			if err == nil {
				m.Close()
				t.Fatal("it is opened")
			}
			if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.want)) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v; not %q", err, c.want)
			}
		})
	}
	mustDial(t, at("ann:secret")).store("1")
	t.Run("publish", func(t *testing.T) {
		_, err := mustDial(t, at("bob:secret")).Store(t.Context(), nil, anyLast)
		if err == nil || !strings.Contains(err.Error(), `Permissions Violation for Publish to "crier.log"`) {
			t.Errorf("who may not publish is told %v", err)
		}
	})
}

func createStream(t *testing.T, p *process, name, subject string) {
	t.Helper()
	conn, err := nats.Connect(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	config := fmt.Appendf(nil, `{"name":%q,"subjects":[%q]}`, name, subject)
	answer, err := conn.Request("$JS.API.STREAM.CREATE."+name, config, 5*time.Second)
	if err != nil || bytes.Contains(answer.Data, []byte(`"error"`)) {
		t.Fatal(answer, err)
	}
}

// TestNATSOverTLS: a certificate of crier's is asked for, and NATS's verified.
func TestNATSOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, cert, key := writeCertificates(t, dir)
	p := startNATS(t, withJetStream+fmt.Sprintf("tls { ca_file: %q, cert_file: %q, key_file: %q, verify: true }\n", ca, cert, key))
	mustDial(t, NATS{URL: "tls://" + p.address, CA: ca, Cert: cert, Key: key}).store("1")
	_, err := dial(t, NATS{URL: "tls://" + p.address, Cert: cert, Key: key})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("NATS is trusted without its authority: %v", err)
	}
}

// writeCertificates writes an authority, and a certificate for both sides.
func writeCertificates(t *testing.T, dir string) (ca, cert, key string) {
	t.Helper()
	authority, authorityKey, err := keyAuthority("0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := sign(&x509.Certificate{
		SerialNumber: authority.SerialNumber, NotBefore: always, NotAfter: forever,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, authority, public, authorityKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca = write("ca.pem", "CERTIFICATE", authority.Raw)
	cert = write("cert.pem", "CERTIFICATE", leaf.Raw)
	return ca, cert, write("key.pem", "PRIVATE KEY", pkcs)
}

// TestMissingFilesArePermanent: a start does not wait for files that are not
// there, as it waits for NATS.
func TestMissingFilesArePermanent(t *testing.T) {
	bare := startNATS(t, "")
	for _, n := range []NATS{
		{URL: bare.URL(), Credentials: "/is/not/there"},
		{URL: bare.URL(), CA: "/is/not/there"},
		{URL: bare.URL(), Cert: "/is/not/there", Key: "/is/not/there"},
	} {
		m, err := dial(t, n)
		if err == nil || strings.Contains(m.log.String(), "Waiting") {
			t.Errorf("%+v: %v\n%s", n, err, m.log)
		}
	}
}

// TestNATSComesLater: crier may be started before NATS.
func TestNATSComesLater(t *testing.T) {
	t.Parallel()
	address := addresses(t, 1)[0]
	m := newStation(t)
	opened := make(chan error)
	go func() {
		var err error
		n := NATS{URL: "nats://ann:secret@" + address}
		m.backend, err = openNATS(t.Context(), n, testLargest, m.log.logger(), m.callbacks())
		opened <- err
	}()
	m.log.waitForLine(t, "Waiting for the NATS at nats://"+address)
	startNATSOn(t, address, withJetStream+"authorization { user: ann, password: secret }\n")
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.waitFor(m.store("1"), "1")
}

// TestStreamIsAdapted: a stream that is not as it should be becomes so, as far
// as that is possible.
func TestStreamIsAdapted(t *testing.T) {
	t.Parallel()
	p := startNATS(t, withJetStream)
	createStream(t, p, "crier", "crier.log")
	m := mustDial(t, NATS{URL: p.URL()})
	m.waitFor(m.store("1"), "1")
	if got, err := m.Load(t.Context(), 1, false); err != nil || string(got[0].data) != "1" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := dial(t, NATS{URL: p.URL(), Replicas: 3}); err == nil || !strings.Contains(err.Error(), "cannot have 3 replicas") {
		t.Errorf("a single server has three replicas: %v", err)
	}
}

// TestNATSCredentials: the account of a credentials file is used.
func TestNATSCredentials(t *testing.T) {
	slow(t)
	operator, user := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateUser)
	system, account := newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateAccount)
	o := jwt.NewOperatorClaims(operator.public)
	o.SystemAccount = system.public
	a := jwt.NewAccountClaims(account.public)
	a.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	p := startNATS(t, withJetStream+fmt.Sprintf("operator: %s\nresolver: MEMORY\nsystem_account: %s\n"+
		"resolver_preload: { %s: %s, %s: %s }\n", encode(t, o, operator), system.public,
		system.public, encode(t, jwt.NewAccountClaims(system.public), operator),
		account.public, encode(t, a, operator)))
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(encode(t, jwt.NewUserClaims(user.public), account), seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "crier.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	m := mustDial(t, NATS{URL: p.URL(), Credentials: file})
	m.waitFor(m.store("1"), "1")
	if _, err := dial(t, NATS{URL: p.URL()}); err == nil || !strings.Contains(err.Error(), "Authorization") {
		t.Errorf("without credentials: %v", err)
	}
}

type key struct {
	nkeys.KeyPair
	public string
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) key {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key{pair, public}
}

func encode(t *testing.T, claims interface {
	Encode(nkeys.KeyPair) (string, error)
}, by key) string {
	t.Helper()
	token, err := claims.Encode(by.KeyPair)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
