//go:build unix

package lambda

import "syscall"

// readAll takes what comes through the pipe.
func (o *output) readAll() {
	pipe, err := o.reader.SyscallConn()
	if err != nil {
		return
	}
	for ended := false; !ended && err == nil; {
		err = pipe.Read(func(fd uintptr) bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			var empty bool
			empty, ended = o.read(fd)
			return !empty
		})
	}
}

// readRest takes what is in the pipe. All reads hold o.mu and take what they
// read at once, so nothing is on its way afterwards. It requires o.mu.
func (o *output) readRest() {
	pipe, err := o.reader.SyscallConn()
	if err != nil {
		return
	}
	pipe.Control(func(fd uintptr) {
		for range mostReads {
			if empty, ended := o.read(fd); empty || ended {
				return
			}
		}
	})
}

// mostReads bounds how long an answer waits for a process that does not stop to
// print. A pipe holds less.
const mostReads = 16

// read reads once, without waiting. It requires o.mu.
func (o *output) read(fd uintptr) (empty, ended bool) {
	n, err := syscall.Read(int(fd), o.buffer)
	switch {
	case n > 0:
		o.take(o.buffer[:n])
	case err == syscall.EAGAIN:
		return true, false
	case err == syscall.EINTR:
	default:
		return false, true
	}
	return false, false
}
