package transport

import (
	"errors"
	"net"
	"slices"
	"testing"
)

// A narrow connection takes some bytes and breaks.
type narrow struct {
	net.Conn
	left int
}

func (n *narrow) Write(b []byte) (int, error) {
	took := min(len(b), n.left)
	n.left -= took
	if took < len(b) {
		return took, errors.New("broken")
	}
	return took, nil
}

// TestWriteAllChangesNothing: the frames of a batch are as they were when it has
// been written in part, because Advance looks at them.
func TestWriteAllChangesNothing(t *testing.T) {
	for left := range 10 {
		frames := [][]byte{[]byte("abc"), []byte("def"), []byte("ghi")}
		before := slices.Clone(frames)
		s := socket{Conn: &narrow{left: left}}
		n, err := s.writeAll(frames)
		if n != left || (err == nil) != (left == 9) {
			t.Errorf("writes %d of %d bytes: %v", n, left, err)
		}
		for i := range frames {
			if string(frames[i]) != string(before[i]) {
				t.Errorf("after %d bytes the frames are %q", left, frames)
				break
			}
		}
	}
}
