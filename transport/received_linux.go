package transport

import "golang.org/x/sys/unix"

// received returns how many bytes the peer of a socket has received so far (the
// lowest 32 bits), and whether it has not received everything that was written.
// https://man7.org/linux/man-pages/man7/tcp.7.html, TCP_INFO
func received(fd int) (bytes uint32, waiting bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	return uint32(info.Bytes_acked), info.Unacked > 0 || info.Notsent_bytes > 0
}
