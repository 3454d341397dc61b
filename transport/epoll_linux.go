package transport

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A poller tells which of a loop's sockets can be read or written: it is an epoll instance, and a bell to wake the loop.
//
// The loop does not block in epoll_wait: its thread would keep one of the few processors that goroutines run on until the
// runtime notices. An epoll descriptor can be polled itself, so the loop waits for it as for any socket, in the
// runtime's own poller. https://man7.org/linux/man-pages/man7/epoll.7.html
type poller struct {
	fd     int
	file   *os.File // owns fd
	raw    syscall.RawConn
	bell   int // an eventfd
	events [256]unix.EpollEvent
}

// What a socket can be polled for. It is always told of errors and of an end in both directions (gone).
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
	if err := unix.SetNonblock(fd, true); err != nil { // for os.NewFile, to have it polled
		unix.Close(fd)
		return nil, fmt.Errorf("make an epoll descriptor pollable: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	if p.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	// Edge-triggered: each ring is one event, and the count in the eventfd need never be read.
	if err := p.add(p.bell, readable|unix.EPOLLET); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) close() {
	unix.Close(p.bell)
	p.file.Close()
}

func (p *poller) add(fd int, interest uint32) error {
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: interest, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (p *poller) change(fd int, interest uint32) {
	// It cannot fail for a descriptor that was added, https://man7.org/linux/man-pages/man2/epoll_ctl.2.html.
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: interest, Fd: int32(fd)})
}

// ready returns what has happened. The slice is good until the next call.
func (p *poller) ready() []unix.EpollEvent {
	n, err := unix.EpollWait(p.fd, p.events[:], 0)
	if err != nil { // EINTR: there is nothing for now
		return nil
	}
	return p.events[:n]
}

// wait returns what has happened, and waits for it.
func (p *poller) wait() (events []unix.EpollEvent) {
	p.raw.Read(func(uintptr) bool {
		events = p.ready()
		return len(events) > 0
	})
	return events
}

// ring ends wait. It may be called from any goroutine.
func (p *poller) ring() {
	one := uint64(1)
	rawWrite(p.bell, unsafe.Slice((*byte)(unsafe.Pointer(&one)), 8))
}

// The calls below do not tell the runtime that they are under way: on a non-blocking socket they take no longer than
// copying the bytes.

// rawRead is read(2).
func rawRead(fd int, b []byte) (int, error) {
	return transferred(unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))))
}

// rawWrite is write(2).
func rawWrite(fd int, b []byte) (int, error) {
	return transferred(unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))))
}

// rawWritev is writev(2), for at most maxVectors vectors.
func rawWritev(fd int, vectors []unix.Iovec) (int, error) {
	return transferred(unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(vectors))), uintptr(len(vectors))))
}

// maxVectors is IOV_MAX, https://man7.org/linux/man-pages/man2/writev.2.html.
const maxVectors = 1024

func transferred(n, _ uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, errFull
	}
	return 0, errno
}
