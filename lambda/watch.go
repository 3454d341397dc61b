package lambda

import (
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"crier/watch"
)

// A watcher reports when a function's code changes.
type watcher struct {
	code    code
	files   *fsnotify.Watcher
	changes chan struct{}
}

func newWatcher(c code) (*watcher, error) {
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := c.directories(files.Add); err != nil {
		files.Close()
		return nil, err
	}
	return &watcher{code: c, files: files, changes: make(chan struct{}, 1)}, nil
}

// WatchFile watches one file. The channel is closed soon after stop is.
func WatchFile(path string, stop <-chan struct{}) (changes <-chan struct{}, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	w, err := newWatcher(code{program: path})
	if err != nil {
		return nil, err
	}
	go w.run(stop) // the reader of changes waits for it
	return w.changes, nil
}

// run returns when stop is closed. Then it closes w.changes.
func (w *watcher) run(stop <-chan struct{}) {
	defer close(w.changes)
	watch.Run(w.files, w.code.home(), w.matters, func() {
		w.code.directories(w.files.Add) // those that are not there will come
		select {
		case w.changes <- struct{}{}:
		default: // it is known
		}
	}, stop)
}

// matters reports whether an event is about the code.
func (w *watcher) matters(ev fsnotify.Event) bool {
	if !ev.Has(fsnotify.Write | fsnotify.Create | fsnotify.Rename | fsnotify.Remove) {
		return false
	}
	if info, err := os.Stat(ev.Name); err == nil && info.IsDir() && ev.Has(fsnotify.Create) {
		return !passed(filepath.Base(ev.Name))
	}
	return w.code.owns(ev.Name)
}
