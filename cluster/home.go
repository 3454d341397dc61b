package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A home is the directory of a server. Only one process has it.
//
//	lock     is locked while a process has it
//	name     what the other servers know this one by
//	single/  the log that it wrote alone
//	cluster/ the log that it wrote with others
type home struct {
	dir  string
	lock *os.File
	temp bool // it is removed when it is closed
}

// Homes of servers that keep the log in memory: NATS needs a directory all the
// same. One that nobody has any more is removed by whoever comes later.
const tempHomes = "crier-memory-"

// errTaken says that another process has the home.
var errTaken = errors.New("another crier is using it")

// openHome opens dir, or a temporary directory if dir is empty.
func openHome(dir string) (h *home, err error) {
	h = &home{dir: dir}
	if dir == "" {
		sweepHomes()
		if h.dir, err = os.MkdirTemp("", tempHomes); err != nil {
			return nil, fmt.Errorf("make a directory for NATS: %w", err)
		}
		h.temp = true
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if err := h.take(); err != nil {
		if h.temp {
			os.RemoveAll(h.dir)
		}
		return nil, fmt.Errorf("use the data directory %s: %w", h.dir, err)
	}
	return h, nil
}

// take locks the home.
func (h *home) take() (err error) {
	h.lock, err = os.OpenFile(filepath.Join(h.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := tryLock(h.lock); err != nil {
		h.lock.Close()
		return err
	}
	return nil
}

func (h *home) close() {
	if h.temp {
		// On Windows a file that is open cannot be removed.
		defer os.RemoveAll(h.dir)
	}
	h.lock.Close()
}

// sweepHomes removes what processes left behind that were killed.
func sweepHomes() {
	const young = time.Hour // whoever made it may be about to lock it
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), tempHomes+"*"))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < young {
			continue
		}
		if h := (&home{dir: dir, temp: true}); h.take() == nil {
			h.close()
		}
	}
}

// retireSingle keeps the log that a server wrote alone, under a name by which
// singleStore does not know it.
func retireSingle(dir string) error {
	old := filepath.Join(dir, "single")
	retired := old + "." + time.Now().UTC().Format("20060102T150405.000000000")
	if err := os.Rename(old, retired); err != nil {
		return fmt.Errorf("retire the log of the single server: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
