package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A list is a machine that remembers its records.
type list struct {
	mu    sync.Mutex
	lines []string
}

func (l *list) Apply(e *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Kind == Record {
		l.lines = append(l.lines, string(e.Data))
	}
}

func (l *list) Save(dst []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(dst, strings.Join(l.lines, "\n")...)
}

func (l *list) Restore(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
	if len(data) > 0 {
		l.lines = strings.Split(string(data), "\n")
	}
	return nil
}

func (l *list) CutOff(error) {}

// openWith opens a log with a list, or returns why it cannot.
func openWith(t *testing.T, e Embedded) (*Log, *list, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	m := &list{}
	l, err := Open(ctx, Config{Machine: m, Embedded: &e, Name: e.Listen})
	return l, m, err
}

// say appends a line, and waits until it is applied.
func say(t *testing.T, l *Log, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		retry := l.Retry()
		if l.Append([]byte(line), nil) == nil {
			break
		}
		select {
		case <-retry:
		case <-ctx.Done():
			t.Fatalf("%s cannot be appended", line)
		}
	}
	if err := l.Sync(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestGrow: what a server has written alone is what three servers begin with,
// when it becomes one of them.
func TestGrow(t *testing.T) {
	slow(t)
	servers := peers(t, 3, true)
	alone, _, err := openWith(t, Embedded{Dir: servers[1].Dir})
	if err != nil {
		t.Fatal(err)
	}
	say(t, alone, "one")
	say(t, alone, "two")
	alone.Close(t.Context())

	logs, machines := make([]*Log, 3), make([]*list, 3)
	var opening sync.WaitGroup
	for i, e := range servers {
		opening.Go(func() {
			var err error
			if logs[i], machines[i], err = openWith(t, e); err != nil {
				t.Errorf("server %d: %v", i+1, err)
			}
		})
	}
	opening.Wait()
	if t.Failed() {
		return
	}
	say(t, logs[0], "three")
	for i, l := range logs {
		if err := l.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := string(machines[i].Save(nil)); got != "one\ntwo\nthree" {
			t.Errorf("server %d knows %q", i+1, got)
		}
	}
	if singleStore(servers[1].Dir) {
		t.Error("the log of the single server is not retired")
	}
	if kept, _ := filepath.Glob(filepath.Join(servers[1].Dir, "single.*")); len(kept) != 1 {
		t.Error("the log of the single server is not kept aside")
	}

	// A second one that was alone comes too late.
	logs[2].Close(t.Context())
	late := servers[2]
	late.Dir = t.TempDir()
	if alone, _, err = openWith(t, Embedded{Dir: late.Dir}); err != nil {
		t.Fatal(err)
	}
	say(t, alone, "other")
	alone.Close(t.Context())
	_, _, err = openWith(t, late)
	if err == nil || !strings.Contains(err.Error(), "to go on with it instead of their log, stop all servers, and remove "+
		filepath.Join(late.Dir, "cluster")) {
		t.Errorf("a server with a log of its own: %v", err)
	}
	os.RemoveAll(filepath.Join(late.Dir, "single"))
	l, m, err := openWith(t, late)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(m.Save(nil)); got != "one\ntwo\nthree" {
		t.Errorf("the server that came without its log knows %q", got)
	}
	for _, l := range []*Log{logs[0], logs[1], l} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the last has nobody to tell
		l.Close(ctx)
		cancel()
	}
}
