package door

import "golang.org/x/sys/unix"

// unread reports whether there is something to read from a socket.
func unread(fd uintptr) bool {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	return err == nil && n > 0
}
