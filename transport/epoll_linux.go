package transport

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A poller reports which of a loop's sockets can be read or written. It is an
// epoll instance, with a bell that wakes the loop.
//
// The loop does not block in epoll_wait: its thread would keep one of the few
// processors that goroutines run on until the runtime notices. An epoll
// descriptor can itself be polled, so the loop waits for it as for any socket,
// in the runtime's own poller.
// https://man7.org/linux/man-pages/man7/epoll.7.html
type poller struct {
	fd     int
	file   *os.File // owns fd
	raw    syscall.RawConn
	bell   int              // an eventfd
	strike func(fd uintptr) // rings the bell
	till   time.Time        // the deadline of file
	events [256]unix.EpollEvent
}

// What a socket can be polled for. Errors, and an end in both directions
// (gone), are always reported.
const (
	readable = unix.EPOLLIN
	writable = unix.EPOLLOUT
	gone     = unix.EPOLLHUP | unix.EPOLLERR
)

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.NewFile registers it with the runtime's poller
		unix.Close(fd)
		return nil, fmt.Errorf("make an epoll descriptor pollable: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	p.strike = func(uintptr) { unix.Write(p.bell, one[:]) }
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	if p.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	// Edge-triggered: each ring is one event, and the count in the eventfd need
	// never be read.
	if err := p.add(p.bell, readable|unix.EPOLLET); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// close closes the descriptors. No other goroutine may ring any more, except
// one that has begun already.
func (p *poller) close() {
	p.file.Close() // waits for calls of ring that have begun
	unix.Close(p.bell)
}

func (p *poller) add(fd int, interest uint32) error {
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: interest, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (p *poller) change(fd int, interest uint32) {
	// It cannot fail for a descriptor that was added.
	// https://man7.org/linux/man-pages/man2/epoll_ctl.2.html
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: interest, Fd: int32(fd)})
}

// ready returns what has happened, without waiting. The slice is valid until
// the next call.
func (p *poller) ready() []unix.EpollEvent {
	n, err := unix.EpollWait(p.fd, p.events[:], 0)
	if err != nil { // EINTR: there is nothing for now
		return nil
	}
	return p.events[:n]
}

// wait waits until something has happened and returns it. It returns nothing
// when the time till comes, unless till is the zero time.
func (p *poller) wait(till time.Time) (events []unix.EpollEvent) {
	if till != p.till {
		p.till = till
		p.file.SetReadDeadline(till)
	}
	p.raw.Read(func(uintptr) bool {
		events = p.ready()
		return len(events) > 0
	})
	return events
}

// ring ends wait. It may be called from any goroutine at any time. After close
// it does nothing, because the bell's descriptor may belong to another file by
// then.
func (p *poller) ring() { p.raw.Control(p.strike) }

// one is what a ring adds to the count of the eventfd. The count does not
// overflow in the lifetime of a process.
var one = func() (b [8]byte) {
	binary.NativeEndian.PutUint64(b[:], 1)
	return b
}()

// The calls below do not tell the runtime that they are under way: on a
// non-blocking socket they take no longer than copying the bytes. They use send
// and recv because write and read take a longer way through the kernel.

const sendFlags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL

// receive is recv(2).
func receive(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT, 0, 0)
	return transferred(n, errno)
}

// send is send(2).
func send(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		sendFlags, 0, 0)
	return transferred(n, errno)
}

// sendVectors is sendmsg(2), for at most maxVectors vectors. The caller
// provides the memory for the header.
func sendVectors(fd int, vectors []unix.Iovec, header *unix.Msghdr) (int, error) {
	header.Iov = unsafe.SliceData(vectors)
	header.SetIovlen(len(vectors))
	n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(header)), sendFlags)
	return transferred(n, errno)
}

// maxVectors is IOV_MAX, https://man7.org/linux/man-pages/man2/sendmsg.2.html.
const maxVectors = 1024

func transferred(n uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, errFull
	}
	return 0, errno
}
