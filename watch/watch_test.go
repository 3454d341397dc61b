package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestRun: several writes are one change, what does not matter is none, and the end
// closes the files.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	files, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	if err := files.Add(dir); err != nil {
		t.Fatal(err)
	}
	changes, stop, done := make(chan struct{}, 10), make(chan struct{}), make(chan struct{})
	go func() {
		Run(files, func(ev fsnotify.Event) bool { return filepath.Base(ev.Name) == "code" }, func() { changes <- struct{}{} }, stop)
		close(done)
	}()
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("other")
	for range 10 {
		write("code")
	}
	select {
	case <-changes:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing has changed")
	}
	close(stop)
	<-done
	if n := len(changes); n > 3 {
		t.Errorf("ten writes were %d changes more", n)
	}
	if err := files.Add(dir); err == nil {
		t.Error("the files are still watched")
	}
}
