//go:build unix

package cloud

import "syscall"

// isQuiet reports whether nothing has come on a connection, not even its end.
func isQuiet(conn syscall.RawConn) (quiet bool) {
	err := conn.Control(func(fd uintptr) { // Read would heed the last deadline
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
	})
	return quiet && err == nil
}
