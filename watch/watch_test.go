package watch

import (
	"errors"
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
		Run(files, dir, func(ev fsnotify.Event) bool { return filepath.Base(ev.Name) == "code" }, func() { changes <- struct{}{} }, stop)
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

// TestRootAnew: a root that goes and comes, or whose link leads elsewhere, has
// changed, and what changes in it does.
func TestRootAnew(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "real"), 0o777))
	must(os.MkdirAll(filepath.Join(dir, "other"), 0o777))
	must(os.Symlink("real", root))
	files, err := fsnotify.NewWatcher()
	must(err)
	must(files.Add(root))
	changes, stop, done := make(chan struct{}, 100), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		Run(files, root, func(fsnotify.Event) bool { return true }, func() {
			files.Add(root)
			changes <- struct{}{}
		}, stop)
	}()
	// There may be one more change than those that are looked for.
	expect := func(what string, change func() error) {
		t.Helper()
		for len(changes) > 0 {
			<-changes
		}
		must(change())
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is no change", what)
		}
	}
	expect("a file", func() error { return os.WriteFile(filepath.Join(root, "a"), nil, 0o666) })
	expect("another link", func() error { return errors.Join(os.Remove(root), os.Symlink("other", root)) })
	expect("a file of that", func() error { return os.WriteFile(filepath.Join(dir, "other", "b"), nil, 0o666) })
	expect("that it is away", func() error { return os.RemoveAll(filepath.Join(dir, "other")) })
	expect("that it is back", func() error { return os.Mkdir(filepath.Join(dir, "other"), 0o777) })
	expect("a file of the new one", func() error { return os.WriteFile(filepath.Join(root, "c"), nil, 0o666) })
	expect("that it is another", func() error {
		return errors.Join(os.RemoveAll(filepath.Join(dir, "other")), os.Mkdir(filepath.Join(dir, "other"), 0o777))
	})
	expect("a file of that one", func() error { return os.WriteFile(filepath.Join(root, "d"), nil, 0o666) })
	close(stop)
	<-done
}
