package serve

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes the system accepts for a client in addition to
// those that are on their way.
const maxUnsent = 128 << 10

// brief limits how much the sockets of a listener take beyond what they can
// send. The rest waits in the logs, where many clients share it, and where
// pings and close frames overtake it.
// https://man7.org/linux/man-pages/man7/tcp.7.html, TCP_NOTSENT_LOWAT
func brief(l net.Listener) net.Listener {
	if c, ok := l.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { // if it fails, sockets take more
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
			})
		}
	}
	return l
}
