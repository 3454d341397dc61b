package transport

import (
	"net"
	"slices"
	"sync"
	"syscall"
)

// A socket is a net.Conn that can also, where the system allows it, write
// without waiting, and wait without holding a buffer.
type socket struct {
	net.Conn
	raw   syscall.RawConn // nil if it cannot
	under syscall.RawConn // the TCP connection under TLS or the like; nil if not known
}

func newSocket(nc net.Conn) socket {
	s := socket{Conn: nc, under: under(nc)}
	if _, ok := nc.(syscall.Conn); ok && triable {
		s.raw = s.under
	}
	return s
}

// canTry reports whether the socket can be written to without waiting.
func (s *socket) canTry() bool { return s.raw != nil }

// under returns the system's socket under a net.Conn, for example under TLS.
func under(nc net.Conn) syscall.RawConn {
	for {
		switch c := nc.(type) {
		case syscall.Conn:
			raw, _ := c.SyscallConn()
			return raw
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return nil
		}
	}
}

// received calls received for the system's socket, if that is known.
func (s *socket) received() (bytes uint32, waiting bool) {
	if s.under != nil {
		s.under.Control(func(fd uintptr) { bytes, waiting = received(int(fd)) })
	}
	return bytes, waiting
}

// writeAll writes all of bufs. It waits as long as that takes.
func (s *socket) writeAll(bufs [][]byte) (int, error) {
	if len(bufs) == 1 {
		return s.Conn.Write(bufs[0])
	}
	list := net.Buffers(slices.Clone(bufs)) // WriteTo changes it
	n, err := list.WriteTo(s.Conn)
	return int(n), err
}

// closeWrite tells the peer that nothing more will come.
func (s *socket) closeWrite() {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// A buffer holds what one read returned.
type buffer struct {
	bytes []byte
	all   *[readSize]byte
}

// readSize is how many bytes one read takes at most.
const readSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

func newBuffer() buffer { return buffer{all: buffers.Get().(*[readSize]byte)} }

// free makes the buffer's memory available for other reads.
func (b buffer) free() { buffers.Put(b.all) }

// readWaiting is read, but holds a buffer while it waits.
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
