//go:build unix

package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// inputEnds is what a person types after the last line.
const inputEnds = "ctrl-D"

// interruptibleFile is a standard input whose Close unblocks a Read. An
// *os.File cannot do that for a terminal, and a Read nobody can unblock is a
// goroutine nobody can wait for.
type interruptibleFile struct {
	file          *os.File
	wake, wakeEnd *os.File // closing wakeEnd makes wake readable
	close         sync.Once
}

func interruptible(file *os.File) (io.ReadCloser, error) {
	wake, wakeEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &interruptibleFile{file: file, wake: wake, wakeEnd: wakeEnd}, nil
}

func (f *interruptibleFile) Read(p []byte) (int, error) {
	in, wake := int(f.file.Fd()), int(f.wake.Fd())
	for {
		var ready unix.FdSet
		ready.Set(in)
		ready.Set(wake)
		// Select and not Poll, because macOS's poll does not take terminals.
		_, err := unix.Select(max(in, wake)+1, &ready, nil, nil, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, os.NewSyscallError("select", err)
		case ready.IsSet(wake):
			return 0, os.ErrClosed
		}
		return f.file.Read(p)
	}
}

// Close leaves the file itself open: the terminal's state is still to be
// restored through it. The reading end of the pipe goes with the garbage,
// because a Read may be looking at it.
func (f *interruptibleFile) Close() error {
	f.close.Do(func() { f.wakeEnd.Close() })
	return nil
}
