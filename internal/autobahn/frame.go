package autobahn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// The opcodes that mean something.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// A Frame is sent by the client, whether or not the RFC allows it.
type Frame struct {
	Op      byte
	More    bool // the fin bit is clear
	RSV     byte // the reserved bits, as a number from 0 to 7
	Payload []byte
}

// fragments are the frames of a message that is cut into pieces of size octets.
func fragments(op byte, payload []byte, size int) (list []Frame) {
	for len(payload) > size {
		list = append(list, Frame{Op: op, More: true, Payload: payload[:size]})
		op, payload = opContinuation, payload[size:]
	}
	return append(list, Frame{Op: op, Payload: payload})
}

// closeFrame is a close frame with a code.
func closeFrame(code int, reason string) Frame {
	return Frame{Op: opClose, Payload: append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)}
}

// appendFrame appends f, masked.
func appendFrame(dst []byte, f Frame) []byte {
	first := f.RSV<<4 | f.Op
	if !f.More {
		first |= 0x80
	}
	switch n := len(f.Payload); {
	case n <= 125:
		dst = append(dst, first, 0x80|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, first, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, 0x80|127), uint64(n))
	}
	var key [4]byte
	binary.BigEndian.PutUint32(key[:], rand.Uint32())
	dst = append(dst, key[:]...)
	for i, b := range f.Payload {
		dst = append(dst, b^key[i%4])
	}
	return dst
}

// pieces are what each write of a step takes.
func (s Step) pieces() (list [][]byte) {
	var all []byte
	for _, f := range s.Frames {
		all = appendFrame(all, f)
		if s.Chop == perFrame {
			list = append(list, all)
			all = nil
		}
	}
	all = append(all, s.Raw...)
	for s.Chop > 0 && len(all) > s.Chop {
		list = append(list, all[:s.Chop])
		all = all[s.Chop:]
	}
	if len(all) > 0 {
		list = append(list, all)
	}
	return list
}

// maxFrame is more than the stamped copy of any message takes.
const maxFrame = 32 << 20

// readFrame reads a frame that the server sent, and returns an error if it is
// not one that a server may send. io.EOF is the end between two frames.
func readFrame(in *bufio.Reader) (Frame, error) {
	first, err := in.ReadByte()
	if err != nil {
		return Frame{}, err
	}
	f := Frame{Op: first & 0x0f, More: first&0x80 == 0, RSV: first >> 4 & 7}
	second, err := in.ReadByte()
	if err != nil {
		return f, cut(err)
	}
	length, err := readLength(in, second&0x7f)
	switch {
	case err != nil:
		return f, cut(err)
	case f.RSV != 0:
		return f, errors.New("the server set a reserved bit")
	case second&0x80 != 0:
		return f, errors.New("the server masked a frame")
	case f.Op > opPong, f.Op > opBinary && f.Op < opClose:
		return f, fmt.Errorf("the server sent opcode %d", f.Op)
	case f.Op >= opClose && (f.More || length > 125):
		return f, errors.New("the server sent a control frame that is too long, or a fragment")
	case length > maxFrame:
		return f, fmt.Errorf("the server announced a frame of %d octets", length)
	}
	f.Payload = make([]byte, length)
	_, err = io.ReadFull(in, f.Payload)
	return f, cut(err)
}

// readLength reads the length that n, the one in the header, stands for.
func readLength(in *bufio.Reader, n byte) (uint64, error) {
	if n < 126 {
		return uint64(n), nil
	}
	size, least := 2, uint64(126)
	if n == 127 {
		size, least = 8, 1<<16
	}
	var buf [8]byte
	if _, err := io.ReadFull(in, buf[8-size:]); err != nil {
		return 0, err
	}
	length := binary.BigEndian.Uint64(buf[:])
	if length < least {
		return 0, fmt.Errorf("the server wrote a length of %d in %d octets", length, size)
	}
	return length, nil
}

// errCut says that the stream ended amid a frame.
var errCut = errors.New("the stream ended amid a frame")

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return err
}
