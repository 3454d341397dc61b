package transport

import (
	"net"
	"sync"
	"syscall"
)

// A socket is a net.Conn that can, where the system allows it, write without waiting and wait without a buffer.
type socket struct {
	net.Conn
	raw syscall.RawConn // nil where it cannot
}

func newSocket(nc net.Conn) socket {
	s := socket{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok && canTry {
		s.raw, _ = sc.SyscallConn()
	}
	return s
}

// writeAll writes all of bufs, waiting as long as it takes.
func (s *socket) writeAll(bufs [][]byte) (int, error) {
	list := net.Buffers(bufs)
	n, err := list.WriteTo(s.Conn)
	return int(n), err
}

// closeWrite tells the peer that nothing more will come.
func (s *socket) closeWrite() {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// A buffer is what one read got.
type buffer struct {
	bytes []byte
	all   *[readSize]byte
}

// readSize is how many bytes one read takes at most.
const readSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

func newBuffer() buffer { return buffer{all: buffers.Get().(*[readSize]byte)} }

// free makes the buffer's memory available to others.
func (b buffer) free() { buffers.Put(b.all) }

// readWaiting holds a buffer while it waits.
func (s *socket) readWaiting() (buffer, error) {
	b := newBuffer()
	n, err := s.Conn.Read(b.all[:])
	if n == 0 && err != nil {
		b.free()
		return buffer{}, err
	}
	b.bytes = b.all[:n]
	return b, nil
}
