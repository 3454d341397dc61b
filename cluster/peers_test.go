package cluster

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPeersAreChecked(t *testing.T) {
	const key = "0123456789abcdef"
	for _, c := range []struct {
		e    Embedded
		want string // part of the error; empty: none
	}{
		{Embedded{}, ""},
		{Embedded{Listen: "127.0.0.1:1", Peers: []string{"localhost:1", "[::1]:2"}}, ""},
		{Embedded{Listen: ":6222", Peers: []string{"a:6222", "b:6222"}, Key: key}, ""},
		{Embedded{Peers: []string{"a:6222", "b:6222"}}, "--cluster-peers needs --cluster-listen"},
		{Embedded{Listen: ":1"}, "--cluster-listen needs --cluster-peers"},
		{Embedded{Listen: ":1", Peers: []string{"a:1"}}, "--cluster-peers has one server only"},
		{Embedded{Replicas: 3}, "3 replicas of the log are not possible: there are 1 servers"},
		{Embedded{Listen: ":6222", Peers: []string{"127.0.0.1:6222", "127.0.0.2:6222"}}, "anybody who reaches :6222 could write into the log: set --cluster-key"},
		{Embedded{Listen: "127.0.0.1:1", Peers: []string{"a:6222", "b:1"}}, "a:6222 could write into the log: set --cluster-key"},
		{Embedded{Listen: "127.0.0.1", Peers: []string{"a:6222", "b:1"}, Key: key}, `"127.0.0.1" is no address`},
		{Embedded{Listen: ":1", Peers: []string{":6222", "b:1"}, Key: key}, `":6222" is no address`},
		{Embedded{Listen: ":1", Peers: []string{"a:nats", "b:1"}, Key: key}, `"a:nats" is no address`},
		{Embedded{Listen: ":1", Peers: []string{"http://a:1", "b:1"}, Key: key}, `"http://a:1" is no address`},
		{Embedded{Listen: ":1", Peers: []string{"a:1", "a:1"}, Key: key}, "a:1 is twice"},
		{Embedded{Listen: ":1", Peers: []string{"a:1", "b:1"}, Key: key, Replicas: 3}, "3 replicas of the log are not possible: there are 2 servers"},
		{Embedded{Listen: ":1", Peers: []string{"a:1", "b:1"}, Key: "short"}, "the cluster key has 5 bytes; at least 16 are needed"},
	} {
		err := c.e.checkPeers()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, not %q", c.e, err, c.want)
		}
	}
}

func TestServerName(t *testing.T) {
	ctx := t.Context()
	peers := []string{"127.0.0.1:1", "127.0.0.2:1", "127.0.0.2:2"}
	name := func(e Embedded) string {
		t.Helper()
		e.Peers = peers
		name, err := e.serverName(ctx)
		if err != nil {
			t.Error(err)
		}
		return name
	}
	host, _ := os.Hostname()
	for _, c := range []struct{ listen, want string }{
		{"127.0.0.1:1", "127.0.0.1:1"}, // 127.0.0.2 is this machine's, too
		{"127.0.0.2:1", "127.0.0.2:1"},
		{":2", "127.0.0.2:2"},
		{":1", host + ":1"},        // there are two
		{"0.0.0.0:3", host + ":3"}, // there is none
	} {
		if got := name(Embedded{Listen: c.listen}); got != strings.ReplaceAll(c.want, " ", "-") {
			t.Errorf("who listens on %s is %s, not %s", c.listen, got, c.want)
		}
	}

	dir := t.TempDir()
	random := name(Embedded{Listen: ":1", Dir: dir})
	if again := name(Embedded{Listen: ":1", Dir: dir}); again != random || !strings.HasPrefix(random, "crier-") {
		t.Errorf("%s becomes %s", random, again)
	}
	if again := name(Embedded{Listen: "127.0.0.1:1", Dir: dir}); again != random {
		t.Errorf("a server that was %s is %s once its address is known", random, again)
	}

	dir = t.TempDir()
	name(Embedded{Listen: "127.0.0.1:1", Dir: dir})
	if kept, err := os.ReadFile(filepath.Join(dir, "name")); err != nil || string(kept) != "127.0.0.1:1\n" {
		t.Errorf("%q is kept, %v", kept, err)
	}
	_, err := Embedded{Listen: "127.0.0.2:1", Dir: dir, Peers: peers}.serverName(ctx)
	if err == nil || !strings.Contains(err.Error(), "must not share a copy") {
		t.Errorf("a copy of a directory: %v", err)
	}
	if again := name(Embedded{Listen: ":9", Dir: dir}); again != "127.0.0.1:1" {
		t.Errorf("a server that moved is %s", again)
	}
}

func TestOwnAddresses(t *testing.T) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	own := ownAddresses(t.Context(), "")
	for _, a := range addresses {
		ip, _, _ := net.ParseCIDR(a.String())
		for _, found := range lookup(t.Context(), ip.String()) {
			if !own(found) {
				t.Errorf("%s is not this machine's", found)
			}
		}
	}
	if own(lookup(t.Context(), "192.0.2.1")[0]) {
		t.Error("an address of nobody is this machine's")
	}
}

func TestWaiting(t *testing.T) {
	for want, missing := range map[string][]string{
		"Waiting for the servers of the cluster to agree on a leader":                            nil,
		"Waiting for b:1: the first start needs all servers, later ones a majority":              {"b:1"},
		"Waiting for b:1, c:1 and d:1: the first start needs all servers, later ones a majority": {"b:1", "c:1", "d:1"},
	} {
		if got := waiting(missing); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// TestOneServerTwice: a server that would wait for itself under another name says
// so.
func TestOneServerTwice(t *testing.T) {
	address := addresses(t, 1)[0]
	_, port, _ := net.SplitHostPort(address)
	m := newStation(t)
	e := Embedded{Listen: address, Peers: []string{address, "localhost:" + port}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = openEmbedded(ctx, e, testLargest, m.log.logger(), m.callbacks())
	}()
	m.log.waitForLine(t, "Several of --cluster-peers are this server")
	cancel()
	<-ended
}
