//go:build unix

package cluster

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks a file for this process, as long as it is open.
func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return errTaken
	}
	return os.NewSyscallError("flock", err)
}
