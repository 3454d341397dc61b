//go:build unix

package transport

import (
	"io"

	"golang.org/x/sys/unix"
)

const triable = true

// read returns what the client sent. It waits for that without holding a
// buffer. The caller must free the buffer.
func (s *socket) read() (buffer, error) {
	if s.raw == nil {
		return s.readWaiting()
	}
	var b buffer
	var n int
	var failed error
	err := s.raw.Read(func(fd uintptr) bool {
		b = newBuffer()
		for {
			n, failed = unix.Read(int(fd), b.all[:])
			if failed != unix.EINTR {
				break
			}
		}
		if failed == unix.EAGAIN {
			b.free()
			return false
		}
		return true
	})
	switch {
	case err != nil: // closed, or the deadline has passed: no buffer is held
		return buffer{}, err
	case failed != nil:
		b.free()
		return buffer{}, failed
	case n <= 0:
		b.free()
		return buffer{}, io.EOF
	}
	b.bytes = b.all[:n]
	return b, nil
}

// try writes what the socket takes at once. If that is not everything, it
// returns errFull. It requires canTry.
func (s *socket) try(bufs [][]byte) (n int, err error) {
	outer := s.raw.Write(func(fd uintptr) bool {
		n, err = writeNow(int(fd), bufs)
		return true
	})
	if outer != nil {
		return n, outer
	}
	return n, err
}

// gather is up to how many bytes several frames are copied into one write. That
// costs less than a system call for each.
const gather = 64 << 10

func writeNow(fd int, bufs [][]byte) (written int, err error) {
	var scratch []byte
	for len(bufs) > 0 {
		b := bufs[0]
		bufs = bufs[1:]
		if len(bufs) > 0 && len(b)+len(bufs[0]) <= gather {
			scratch = append(scratch[:0], b...)
			for len(bufs) > 0 && len(scratch)+len(bufs[0]) <= gather {
				scratch = append(scratch, bufs[0]...)
				bufs = bufs[1:]
			}
			b = scratch
		}
		n, err := unix.Write(fd, b)
		for err == unix.EINTR {
			n, err = unix.Write(fd, b)
		}
		written += max(n, 0)
		if err == unix.EAGAIN || err == nil && n < len(b) {
			return written, errFull
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
