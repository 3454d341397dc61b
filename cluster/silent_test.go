package cluster

import (
	"context"
	"log/slog"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// TestSilentLeader: a leader that does not answer in the time that the log gives
// it does not lead. A request that was given up says nothing about it.
func TestSilentLeader(t *testing.T) {
	t.Parallel()
	for name, listens := range map[string]bool{"nobody listens": false, "somebody listens": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := withoutLeader(t, listens)
			given, giveUp := context.WithCancel(t.Context())
			giveUp()
			if _, err := j.Store(given, []byte("x"), anyLast); err == nil || j.Health() != fine {
				t.Errorf("after a request that was given up: %v, health %d", err, j.Health())
			}
			ctx, cancel := context.WithTimeout(t.Context(), storeTime)
			defer cancel()
			if _, err := j.Store(ctx, []byte("x"), anyLast); err == nil || j.Health() != leaderless {
				t.Errorf("after a request without an answer: %v, health %d", err, j.Health())
			}
		})
	}
}

// withoutLeader returns a backend in a NATS in which nobody stores the log.
func withoutLeader(t *testing.T, listens bool) *jetStream {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(startup) {
		t.Fatal("NATS is not ready")
	}
	conn, err := nats.Connect("", append(connection(), nats.InProcessServer(s))...)
	if err != nil {
		t.Fatal(err)
	}
	other, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	if listens {
		if _, err := other.SubscribeSync(logSubject); err != nil {
			t.Fatal(err)
		}
		if err := other.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	j := newJetStream(conn, slog.New(slog.DiscardHandler), callbacks{}, func() bool { return true }, func() {})
	t.Cleanup(j.Close)
	return j
}
