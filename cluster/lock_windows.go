package cluster

import (
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks a file for this process, as long as it is open.
func tryLock(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if err == windows.ERROR_LOCK_VIOLATION {
		return errTaken
	}
	return os.NewSyscallError("LockFileEx", err)
}
