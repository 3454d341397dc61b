package ws

import (
	"bytes"
	"fmt"
	"testing"
)

// naiveMask is the RFC's own definition.
func naiveMask(b []byte, key [4]byte, pos int) {
	for i := range b {
		b[i] ^= key[(pos+i)%4]
	}
}

func TestMaskIsTheRFCsAtEveryAlignmentAndPosition(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	for start := range 16 {
		for n := range 140 {
			for pos := range 9 {
				got, want := make([]byte, start+n+8), make([]byte, start+n+8)
				Mask(got[start:start+n], key, pos)
				naiveMask(want[start:start+n], key, pos)
				if !bytes.Equal(got, want) {
					t.Fatalf("start %d, %d bytes, pos %d:\n got %x\nwant %x", start, n, pos, got, want)
				}
			}
		}
	}
}

func BenchmarkMask(b *testing.B) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	for _, n := range []int{64, 4 << 10, 64 << 10} {
		data := make([]byte, n)
		b.Run(fmt.Sprintf("words/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Mask(data, key, 1)
			}
		})
		b.Run(fmt.Sprintf("naive/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				naiveMask(data, key, 1)
			}
		})
	}
}
