package serve

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"crier/cluster"
)

// startNATS starts a NATS that keeps streams.
func startNATS(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, MaxPayload: 8 << 20,
		JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("NATS is not ready")
	}
	return s
}

// runShared runs a server that shares a log in a NATS, and waits until it takes
// clients.
func runShared(t *testing.T, url string, secure *tls.Config) *Server {
	t.Helper()
	config := Defaults()
	config.Listen, config.Drain = "localhost:0", 0
	config.TLS = secure
	config.Cluster = &cluster.Config{NATS: &cluster.NATS{URL: url}}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	becomes(t, "ready", s.home.ready)
	return s
}

// becomes waits until something is true.
func becomes(t *testing.T, what string, is func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(time.Minute); !is(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatalf("never %s", what)
		}
	}
}

// firstEpoch returns the first epoch of live's offsets; ok is false if the log
// has not said which.
func firstEpoch(t *testing.T, h *home) (first uint32, ok bool) {
	t.Helper()
	err := h.link.log.Load().Do(t.Context(), func() { first, ok = h.rooms.first, h.rooms.seeded })
	if err != nil {
		t.Fatal(err)
	}
	return first, ok
}

// TestAnotherLog: when the log is gone, another one begins with what its server
// knows, and the servers agree once more. A server that starts then knows it, too.
func TestAnotherLog(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	old := runShared(t, n.ClientURL(), nil).home
	before, _ := firstEpoch(t, old)
	if _, no := (memory{old}).Say(t.Context(), "a", "", []byte("hello"), nil); no != nil {
		t.Fatal(no.Say)
	}
	conn, err := nats.Connect(n.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	begun := old.link.begun.Load()
	if err := js.DeleteStream("crier"); err != nil {
		t.Fatal(err)
	}
	becomes(t, "another log", func() bool { return old.link.begun.Load() > begun })
	becomes(t, "ready", old.ready)
	fresh := runShared(t, n.ClientURL(), nil).home
	for _, h := range []*home{old, fresh} {
		if first, ok := firstEpoch(t, h); !ok || first != before {
			t.Errorf("the first epoch is %d, and not %d", first, before)
		}
		if texts := (memory{h}).Read("a", 10); len(texts) != 1 {
			t.Errorf("the history is %q", texts)
		}
	}
}

// TestTicketsOverNATS: a client of wss comes back to another server without a full
// handshake.
func TestTicketsOverNATS(t *testing.T) {
	t.Parallel()
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	n := startNATS(t)
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "example.com", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i, want := range []bool{false, true, true} {
		s := runShared(t, n.ClientURL(), &tls.Config{Certificates: certified.TLS.Certificates})
		ask := http.Client{Transport: &http.Transport{TLSClientConfig: client}}
		resp, err := ask.Get("https" + strings.TrimPrefix(s.URL(), "wss") + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		ask.CloseIdleConnections()
		if resp.TLS.DidResume != want {
			t.Errorf("server %d: resumed is %v", i+1, resp.TLS.DidResume)
		}
	}
}
