package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// leader returns the index of the server that leads the stream.
func leader(t *testing.T, list []Embedded, members []*station) (found int) {
	t.Helper()
	eventually(t, func() error {
		for _, m := range members {
			var info nats.StreamInfo
			if err := m.backend.(*jetStream).api(t.Context(), "STREAM.INFO", nil, &info); err != nil {
				continue
			}
			for i, e := range list {
				if info.Cluster.Leader == e.Listen {
					found = i
					return nil
				}
			}
		}
		return fmt.Errorf("nobody leads")
	})
	return found
}

// TestLeaderEnds: a log goes on without its leader, without a directory that is
// lost, and after all servers have been away.
func TestLeaderEnds(t *testing.T) {
	slow(t)
	list := peers(t, 3, true)
	members := startAll(t, list)
	members[0].store("1")
	first := leader(t, list, members)
	members[first].Close()
	rest := append(append([]*station{}, members[:first]...), members[first+1:]...)
	two := rest[0].store("2")
	for _, m := range rest {
		m.waitFor(two, "2")
		m.healthy(fine)
	}

	t.Log("it comes back with its directory")
	members[first] = mustStart(t, list[first])
	three := members[first].store("3")
	for _, m := range members {
		m.waitFor(three, "3")
	}
	wantBatch(t, members[first], two, "2")

	t.Log("it comes back without")
	lost := (first + 1) % 3
	members[lost].Close()
	if err := os.RemoveAll(list[lost].Dir); err != nil {
		t.Fatal(err)
	}
	members[lost] = mustStart(t, list[lost])
	wantBatch(t, members[lost], two, "2")

	t.Log("one is alone")
	other := (first + 2) % 3
	members[lost].Close()
	members[first].Close()
	members[other].healthy(isolated)
	if _, err := members[other].Store(t.Context(), []byte("alone"), anyLast); err == nil {
		t.Error("one of three has stored something")
	}
	members[other].Close()

	t.Log("all come back")
	members = startAll(t, list)
	for _, m := range members {
		m.healthy(fine)
		wantBatch(t, m, two, "2")
		wantBatch(t, m, three, "3")
	}
}

// TestMemoryServerRestarts: a server that keeps the log in memory gets it from
// the others.
func TestMemoryServerRestarts(t *testing.T) {
	slow(t)
	list := peers(t, 3, false)
	members := startAll(t, list)
	seq := members[0].store("1")
	for i := range members {
		members[i].Close()
		members[(i+1)%3].store("while one is away")
		members[i] = mustStart(t, list[i])
		members[i].store("again")
		wantBatch(t, members[i], seq, "1")
		// A majority must have it before the next one loses it.
		eventually(t, func() error { return caughtUp(t, members[i]) })
	}
}

// config returns the configuration of the stream.
func (j *jetStream) config(t *testing.T) nats.StreamConfig {
	t.Helper()
	var info nats.StreamInfo
	if err := j.api(t.Context(), "STREAM.INFO", nil, &info); err != nil {
		t.Fatal(err)
	}
	return info.Config
}

func caughtUp(t *testing.T, m *station) error {
	var info nats.StreamInfo
	if err := m.backend.(*jetStream).api(t.Context(), "STREAM.INFO", nil, &info); err != nil {
		return err
	}
	for _, p := range info.Cluster.Replicas {
		if !p.Current || p.Offline {
			return fmt.Errorf("%s is not current", p.Name)
		}
	}
	return nil
}

// TestStartInAnyOrder: a server that is there before the others says for whom it
// waits.
func TestStartInAnyOrder(t *testing.T) {
	slow(t)
	list := peers(t, 3, true)
	var all sync.WaitGroup
	begin := func(i int) *station {
		m := newStation(t)
		all.Go(func() {
			var err error
			if m.backend, err = openEmbedded(t.Context(), list[i], testLargest, m.log.logger(), m.callbacks()); err != nil {
				t.Error(err)
			}
		})
		return m
	}
	members := []*station{begin(2)}
	members[0].log.waitForLine(t, fmt.Sprintf("Waiting for %s and %s: the first start needs all servers",
		list[0].Listen, list[1].Listen))
	members = append(members, begin(0))
	members[1].log.waitForLine(t, fmt.Sprintf("Waiting for %s: the first start", list[1].Listen))
	members = append(members, begin(1))
	all.Wait()
	for _, m := range members {
		if m.backend != nil {
			defer m.Close()
		}
	}
	if !t.Failed() {
		seq := members[0].store("1")
		members[2].waitFor(seq, "1")
	}
	for _, m := range members {
		if strings.Contains(m.log.String(), "goroutine ") {
			t.Errorf("a stack is logged:\n%s", m.log)
		}
	}
}

func TestPortTaken(t *testing.T) {
	list := peers(t, 3, true)
	l, err := net.Listen("tcp", list[0].Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = tryStart(t, list[0])
	if err == nil || !strings.HasPrefix(err.Error(), "listen for the other servers on "+list[0].Listen) {
		t.Errorf("the port is taken, and Open says %v", err)
	}
	if h, err := openHome(list[0].Dir); err != nil {
		t.Errorf("the directory is still in use: %v", err)
	} else {
		h.close()
	}
}

// TestKey: servers with the same key have a log; one with another key, or
// without, and a stranger are refused. That is logged once.
func TestKey(t *testing.T) {
	slow(t)
	const key = "the key of this cluster"
	list := peers(t, 3, true)
	for i := range list {
		list[i].Key = key
	}
	members := startAll(t, list)
	seq := members[0].store("1")
	for _, m := range members {
		m.waitFor(seq, "1")
	}
	members[2].Close()
	for _, wrong := range []string{"the key of another cluster", ""} {
		stranger := list[2]
		stranger.Key = wrong
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		m := newStation(t)
		_, err := openEmbedded(ctx, stranger, testLargest, m.log.logger(), m.callbacks())
		cancel()
		if err == nil {
			t.Fatalf("a server with key %q has joined", wrong)
		}
		t.Log(err)
		if n := strings.Count(m.log.String(), "cannot join the cluster"); n > 4 {
			t.Errorf("%d lines:\n%s", n, m.log)
		}
	}
	for _, m := range members[:2] {
		m.log.waitForLine(t, "it has another --cluster-key or none")
		if n := strings.Count(m.log.String(), "cannot join the cluster"); n > 4 {
			t.Errorf("%d lines:\n%s", n, m.log)
		}
	}
	for _, config := range []*tls.Config{{InsecureSkipVerify: true}, trusting(t, "a stranger's key, long enough")} {
		if answer := stranger(t, list[0].Listen, config); answer != "" {
			t.Errorf("a stranger is told %q", answer)
		}
	}
	if answer := stranger(t, list[0].Listen, trusting(t, key)); !strings.HasPrefix(answer, "INFO {") {
		t.Errorf("who has the key is told %q", answer)
	}
}

// trusting returns the TLS of somebody with a key, who lets anybody have
// another.
func trusting(t *testing.T, key string) *tls.Config {
	t.Helper()
	config, err := keyTLS(key)
	if err != nil {
		t.Fatal(err)
	}
	config.VerifyConnection = nil
	return config
}

// stranger returns what somebody hears who connects to the port of a cluster.
func stranger(t *testing.T, address string, config *tls.Config) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	secure := tls.Client(conn, config)
	fmt.Fprint(secure, "CONNECT {\"verbose\":false,\"name\":\"stranger\",\"cluster\":\"crier\"}\r\nPING\r\n")
	answer := make([]byte, 4096)
	n, _ := secure.Read(answer)
	return string(answer[:n])
}
