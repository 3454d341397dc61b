package transport

import "golang.org/x/sys/unix"

// unacked returns how many bytes the peer of a socket has yet to receive of
// what was written to it; 0 if that is not known.
// https://man7.org/linux/man-pages/man7/tcp.7.html, SIOCOUTQ
func unacked(fd int) int32 {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return int32(n)
}
