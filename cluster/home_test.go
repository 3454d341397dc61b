package cluster

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSweepHomes: what killed processes left in the temporary directory is
// removed; what belongs to somebody, or is young, is not.
func TestSweepHomes(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	mine, err := openHome("")
	if err != nil {
		t.Fatal(err)
	}
	defer mine.close()
	left := filepath.Join(os.TempDir(), tempHomes+"1")
	young := filepath.Join(os.TempDir(), tempHomes+"2")
	for _, dir := range []string{left, young} {
		if err := os.MkdirAll(filepath.Join(dir, "single"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	for _, dir := range []string{left, mine.dir} {
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	other, err := openHome("")
	if err != nil {
		t.Fatal(err)
	}
	other.close()
	for dir, want := range map[string]bool{left: false, young: true, mine.dir: true, other.dir: false} {
		if exists(dir) != want {
			t.Errorf("%s is there: %v", dir, !want)
		}
	}
}

// TestSingleLogSurvivesCluster: the log that a server wrote alone is there after
// the server has been in a cluster.
func TestSingleLogSurvivesCluster(t *testing.T) {
	slow(t)
	list := peers(t, 3, true)
	alone := mustStart(t, Embedded{Dir: list[0].Dir})
	alone.store("alone")
	alone.Close()
	together := startAll(t, list)
	wantBounds(t, together[0], 1, 0)
	for _, m := range together {
		m.Close()
	}
	if !singleStore(list[0].Dir) || singleStore(list[1].Dir) {
		t.Error("the directory is not known as one of a single server")
	}
	old := newStation(t)
	b, err := openSingle(t.Context(), list[0].Dir, testLargest, old.log.logger(), old.callbacks())
	if err != nil {
		t.Fatal(err)
	}
	old.backend = b
	defer old.Close()
	wantBatch(t, old, 1, "alone")
}

// TestReplicasGrow: a log gets the replicas that it is asked for later.
func TestReplicasGrow(t *testing.T) {
	slow(t)
	list := peers(t, 3, true)
	replicas := func(n int) []*station {
		for i := range list {
			list[i].Replicas = n
		}
		members := startAll(t, list)
		if got := members[1].backend.(*jetStream).config(t).Replicas; got != n {
			t.Errorf("%d replicas, not %d", got, n)
		}
		return members
	}
	members := replicas(1)
	seq := members[0].store("kept")
	for _, m := range members {
		m.Close()
	}
	for _, m := range replicas(3) {
		wantBatch(t, m, seq, "kept")
	}
}

// TestNATSLogger: of what NATS logs there is one line for each kind, in words
// that need no NATS.
func TestNATSLogger(t *testing.T) {
	var out lines
	l := newNATSLogger(slog.New(slog.NewTextHandler(&out, nil)))
	for n := range 10 {
		l.Noticef("Starting %d", n)
		l.Errorf("127.0.0.1:%d - rid:%d - TLS route handshake error: %s", 6222+n, n, "EOF")
		l.Errorf("127.0.0.1:%d - rid:%d - authentication error", 6222+n, n)
		l.Warnf("disk %d is full", n)
	}
	l.Fatalf("no %s", "port")
	l.Fatalf("nothing else")
	want := []string{
		"level=WARN msg=\"A server or a stranger cannot join the cluster: it has another --cluster-key or none (EOF)\"",
		"level=WARN msg=\"A server or a stranger cannot join the cluster: it may have a --cluster-key, " +
			"which this server has not (127.0.0.1:6222 - rid:0 - authentication error)\"",
		"level=WARN msg=\"NATS: disk 0 is full\"",
	}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines:\n%s", len(got), &out)
	}
	for i, line := range got {
		if _, line, _ = strings.Cut(line, " "); line != want[i] {
			t.Errorf("%s\nnot %s", line, want[i])
		}
	}
	if err := l.broken(); fmt.Sprint(err) != "no port" {
		t.Errorf("it is broken by %v", err)
	}
	for n := range 3 * natsKinds {
		l.Warnf("%s", strings.Repeat("x", n))
	}
	if len(l.last) > natsKinds {
		t.Errorf("%d lines are remembered", len(l.last))
	}
}
