package lambda

import (
	"errors"
	"os/exec"
	"runtime"
)

// A launcher starts processes from one thread, which lives as long as they do:
// on Linux the kernel ends them when that thread ends, so that they are gone
// even if we are killed.
type launcher struct{ requests chan launch }

type launch struct {
	cmd     *exec.Cmd
	started chan error // has room for one
}

func newLauncher() *launcher { return &launcher{requests: make(chan launch)} }

// run returns when stop is closed.
func (l *launcher) run(stop <-chan struct{}) {
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	for {
		select {
		case r := <-l.requests:
			r.started <- r.cmd.Start()
		case <-stop:
			return
		}
	}
}

// start must not be called after stop was closed.
func (l *launcher) start(cmd *exec.Cmd) error {
	r := launch{cmd, make(chan error, 1)}
	l.requests <- r
	err := <-r.started
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New(cmd.Path + " is not installed")
	}
	return err
}
