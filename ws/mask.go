package ws

import (
	"encoding/binary"
	"math/bits"
)

// Mask masks b in place, or unmasks it, which is the same. The first byte of b
// is the one at pos in its frame's payload, so a payload can be unmasked piece
// by piece as it comes.
//
// "Octet i of the transformed data [...] is the XOR of octet i of the original
// data [...] with octet at index i modulo 4 of the masking key".
// https://www.rfc-editor.org/rfc/rfc6455#section-5.3
func Mask(b []byte, key [4]byte, pos int) {
	// Turn the key so that its lowest byte is b[0]'s. Eight bytes are two turns
	// of the key, so every step below finds it as it was.
	k := uint64(bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(pos&3)))
	k |= k << 32
	// Four words a turn: the loop's own cost is then a small part of it.
	for len(b) >= 32 {
		xor(b[0:8], k)
		xor(b[8:16], k)
		xor(b[16:24], k)
		xor(b[24:32], k)
		b = b[32:]
	}
	for len(b) >= 8 {
		xor(b[:8], k)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(k)
		k >>= 8
	}
}

// xor compiles to one instruction: the bounds are known where it is inlined.
func xor(b []byte, k uint64) {
	binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
}
