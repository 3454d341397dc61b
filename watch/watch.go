// Package watch tells when files have changed.
//
// # What it does not do
//
// It does not choose the files: its users say which directories are watched, and
// which of the events in them matter.
package watch

import (
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files must be left alone before they count as changed:
// editors and compilers write in several steps.
const settle = 30 * time.Millisecond

// Run calls changed when files have changed, and closes them when stop is closed.
// matters reports whether an event is about the files. Both are called by the
// caller's goroutine.
func Run(files *fsnotify.Watcher, matters func(fsnotify.Event) bool, changed func(), stop <-chan struct{}) {
	defer files.Close()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case ev := <-files.Events:
			if matters(ev) {
				quiet.Reset(settle)
			}
		case <-files.Errors: // too many events at once: something has changed
			quiet.Reset(settle)
		case <-quiet.C:
			changed()
		case <-stop:
			return
		}
	}
}
