// Floor is the least that a broadcast server can do on Linux, to measure crier against: one thread, an epoll loop, and
// for each connection one write that carries all that is new. It has no rules: it stamps nothing, refuses nothing, checks
// nothing, forgets who is slow, and expects each frame whole in one read.
//
//	go run ./bench/floor 127.0.0.1:0     prints the address it listens at
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"crier/ws"
)

type conn struct {
	fd   int
	open bool // the handshake is done
	pos  int  // has been sent log[:pos]
}

type server struct {
	epoll, listener int
	conns           map[int]*conn
	log             []byte // frames, of which somebody has not been sent all
	buf             [64 << 10]byte
}

func main() {
	runtime.LockOSThread()
	addr, err := net.ResolveTCPAddr("tcp4", os.Args[1])
	check(err)
	s := &server{conns: make(map[int]*conn)}
	s.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	check(err)
	check(unix.SetsockoptInt(s.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	check(unix.Bind(s.listener, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}))
	check(unix.Listen(s.listener, 4096))
	name, err := unix.Getsockname(s.listener)
	check(err)
	fmt.Printf("ws://%s:%d\n", addr.IP, name.(*unix.SockaddrInet4).Port)
	s.epoll, err = unix.EpollCreate1(0)
	check(err)
	s.watch(s.listener)
	s.serve()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func (s *server) watch(fd int) {
	check(unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
}

func (s *server) serve() {
	var events [256]unix.EpollEvent
	for {
		n, err := unix.EpollWait(s.epoll, events[:], -1)
		if err == unix.EINTR {
			continue
		}
		check(err)
		for _, e := range events[:n] {
			if int(e.Fd) == s.listener {
				s.accept()
			} else {
				s.read(s.conns[int(e.Fd)])
			}
		}
		s.write()
	}
}

func (s *server) accept() {
	fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK)
	if err != nil {
		return
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	s.conns[fd] = &conn{fd: fd, pos: len(s.log)}
	s.watch(fd)
}

func (s *server) read(c *conn) {
	n, _, _ := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&s.buf)), uintptr(len(s.buf)))
	if int(n) <= 0 {
		delete(s.conns, c.fd)
		unix.Close(c.fd)
		return
	}
	b := s.buf[:n]
	if !c.open {
		c.open = true
		c.pos = len(s.log)
		_, rest, _ := bytes.Cut(b, []byte("Sec-WebSocket-Key: "))
		key, _, _ := bytes.Cut(rest, []byte("\r\n"))
		unix.Write(c.fd, fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: %s\r\n\r\n", ws.AcceptKey(string(key))))
		return
	}
	for len(b) > 2 {
		size, at := int(b[1]&0x7f), 2
		if size == 126 {
			size, at = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		key := [4]byte(b[at:])
		payload := b[at+4 : at+4+size]
		ws.Mask(payload, key, 0)
		if b[0]&0x0f == byte(ws.Text) {
			s.log = ws.AppendFrame(s.log, ws.Text, payload)
		}
		b = b[at+4+size:]
	}
}

func (s *server) write() {
	if len(s.log) == 0 {
		return
	}
	behind := false
	for _, c := range s.conns {
		if news := s.log[c.pos:]; c.open && len(news) > 0 {
			n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(&news[0])), uintptr(len(news)))
			if errno == 0 {
				c.pos += int(n)
			}
			behind = behind || c.pos < len(s.log)
		}
	}
	if !behind {
		s.log = s.log[:0]
		for _, c := range s.conns {
			c.pos = 0
		}
	}
}
