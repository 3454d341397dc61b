// Package watch tells when files have changed.
//
// # What it does not do
//
// It does not choose the files: its users say which directories are watched, and
// which of the events in them matter.
package watch

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long files must be left alone before they count as changed:
	// editors and compilers write in several steps.
	settle = 30 * time.Millisecond
	// visit is how often Run looks for the root, which may have gone and come
	// again: nothing tells that it has come.
	visit = 500 * time.Millisecond
)

// Run calls changed when files in the directory root, or below it, have changed,
// and closes them when stop is closed. matters reports whether an event is about
// the files. Both are called by the caller's goroutine.
//
// Directories come and go, also the root: a build makes it anew, or a link leads to
// another one by now. So changed must add all of them to files, again and again.
func Run(files *fsnotify.Watcher, root string, matters func(fsnotify.Event) bool, changed func(), stop <-chan struct{}) {
	defer files.Close()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	visits := time.NewTicker(visit)
	defer visits.Stop()
	found := find(root)
	for {
		select {
		case ev := <-files.Events:
			if ev.Has(fsnotify.Remove|fsnotify.Rename) && (ev.Name == root || ev.Name == found.path) {
				found = directory{} // one that takes its place is not watched
			}
			if matters(ev) {
				quiet.Reset(settle)
			}
		case <-files.Errors: // too many events at once: something has changed
			quiet.Reset(settle)
		case <-visits.C:
			if !found.same(find(root)) {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			found = find(root)
			changed()
		case <-stop:
			return
		}
	}
}

// A directory is what was found at a path; its zero value is nothing.
type directory struct {
	path string // without links
	info fs.FileInfo
}

func find(root string) (d directory) {
	if path, err := filepath.EvalSymlinks(root); err == nil {
		if info, err := os.Stat(path); err == nil {
			return directory{path, info}
		}
	}
	return directory{}
}

func (d directory) same(other directory) bool {
	if d.info == nil || other.info == nil {
		return d.info == nil && other.info == nil
	}
	return d.path == other.path && os.SameFile(d.info, other.info)
}
