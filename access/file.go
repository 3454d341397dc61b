package access

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	maxFile = 1 << 20         // bytes
	look    = 1 * time.Second // how often a file is looked at, if it is needed
)

// A file is what a file says. It is read again after it has changed; as long as
// that fails, what it said before holds.
type file[T any] struct {
	path  string
	parse func(text []byte) (T, error)
	log   *slog.Logger

	mu     sync.Mutex
	value  T
	looked time.Time // last
	seen   stamp     // of what was read last, or could not be
	told   string    // why it could not be, as it was logged; empty if it was read
}

// A stamp changes when a file does.
type stamp struct {
	changed time.Time
	size    int64
}

// open reads the file for the first time.
func (f *file[T]) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = time.Now()
	return f.read()
}

// get returns what the file says.
func (f *file[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < look {
		return f.value
	}
	f.looked = time.Now()
	if info, err := os.Stat(f.path); err == nil && f.seen == stampOf(info) {
		return f.value
	}
	switch err := f.readAgain(); {
	case err == nil:
		f.told = ""
		f.log.Info("a file of keys has changed", "file", f.path)
	case err.Error() != f.told:
		f.told = err.Error()
		f.log.Error("a file of keys has changed and cannot be used; what it said before holds", "file", f.path, "error", err)
	}
	return f.value
}

func stampOf(info os.FileInfo) stamp { return stamp{info.ModTime(), info.Size()} }

// readAgain is called with mu locked. Everybody waits for it, so it opens nothing
// that may make it wait: a pipe has no more to say until somebody writes to it.
func (f *file[T]) readAgain() error {
	if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
		f.seen = stampOf(info)
		return fmt.Errorf("%s is no regular file any more", f.path)
	}
	return f.read()
}

// read is called with mu locked.
func (f *file[T]) read() error {
	f.seen = stamp{}
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	f.seen = stampOf(info)
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return fmt.Errorf("%s is too large: at most %d bytes are read", f.path, maxFile)
	}
	value, err := f.parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.value = value
	return nil
}
