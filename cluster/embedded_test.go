package cluster

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func tryStart(t *testing.T, e Embedded) (*station, error) {
	m := newStation(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := openEmbedded(ctx, e, testLargest, m.log.logger(), m.callbacks())
	m.backend = b
	return m, err
}

// mustOpen opens a backend that is closed with the test.
func mustStart(t *testing.T, e Embedded) *station {
	t.Helper()
	m, err := tryStart(t, e)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.log)
	}
	t.Cleanup(m.Close)
	return m
}

// peers returns how each of n servers is opened.
func peers(t testing.TB, n int, files bool) (list []Embedded) {
	t.Helper()
	all := addresses(t, n)
	for _, address := range all {
		e := Embedded{Listen: address, Peers: all}
		if files {
			e.Dir = t.TempDir()
		}
		list = append(list, e)
	}
	return list
}

// openAll opens servers that wait for each other.
func startAll(t *testing.T, list []Embedded) []*station {
	t.Helper()
	members := make([]*station, len(list))
	faults := make([]error, len(list))
	var all sync.WaitGroup
	for i, e := range list {
		all.Go(func() { members[i], faults[i] = tryStart(t, e) })
	}
	all.Wait()
	for i, err := range faults {
		if err != nil {
			t.Errorf("server %d: %v\n%s", i, err, members[i].log)
		} else {
			t.Cleanup(members[i].Close)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return members
}

func TestSingleInMemory(t *testing.T) {
	testBackend(t, []*station{mustStart(t, Embedded{})})
}

func TestSingleInFiles(t *testing.T) {
	e := Embedded{Dir: t.TempDir()}
	if singleStore(e.Dir) {
		t.Error("an empty directory has a log")
	}
	m := mustStart(t, e)
	testBackend(t, []*station{m})
	next := m.store("kept")
	m.Close()
	if !singleStore(e.Dir) {
		t.Error("the log is not found again")
	}
	m = mustStart(t, e)
	if got, err := m.Load(t.Context(), next, true); err != nil || string(got[0].data) != "kept" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := tryStart(t, e); !errors.Is(err, errTaken) {
		t.Errorf("two servers have one directory: %v", err)
	}
	m.Close()
	if err := retireSingle(e.Dir); err != nil || singleStore(e.Dir) {
		t.Errorf("the log is not retired: %v", err)
	}
}

func TestThreeInMemory(t *testing.T) {
	slow(t)
	testBackend(t, startAll(t, peers(t, 3, false)))
}

func TestThreeInFiles(t *testing.T) {
	slow(t)
	testBackend(t, startAll(t, peers(t, 3, true)))
}

// TestBrokenStoreIsToldAtOnce: what NATS cannot start with is said when it says
// so, not when the time for a start is over.
func TestBrokenStoreIsToldAtOnce(t *testing.T) {
	e := peers(t, 2, true)[0]
	if err := os.WriteFile(filepath.Join(e.Dir, "cluster"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err := tryStart(t, e)
	if took := time.Since(began); err == nil || took > startup/2 {
		t.Errorf("%v after %v", err, took)
	}
}

// TestLargestMessage: who asks for too large messages is told which flag says so.
func TestLargestMessage(t *testing.T) {
	_, err := openEmbedded(t.Context(), Embedded{}, maxPayload, slog.New(slog.DiscardHandler), callbacks{})
	if err == nil || !strings.Contains(err.Error(), "--max-message is too large for a log") {
		t.Error(err)
	}
}
