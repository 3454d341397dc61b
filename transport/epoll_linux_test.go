package transport

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestRingAfterClose: whoever wakes a loop that has just ended does not write
// into a file that has got its bell's number.
func TestRingAfterClose(t *testing.T) {
	for range 100 {
		p, err := newPoller()
		if err != nil {
			t.Fatal(err)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				p.ring()
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		p.close()
		var others [3]int // one of them has the number
		for i := range others {
			if others[i], err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
				t.Fatal(err)
			}
		}
		p.ring()
		close(stop)
		<-stopped
		for _, fd := range others {
			n, _ := unix.Read(fd, make([]byte, 8))
			unix.Close(fd)
			if n > 0 {
				t.Error("a ring went to another file")
			}
		}
	}
}
