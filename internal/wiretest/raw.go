package wiretest

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A raw is a client written by hand: it sends what it is told to, and sees each frame.
type raw struct {
	t  *testing.T
	nc net.Conn
	in *bufio.Reader
}

// upgrade is a handshake without its request line and Host. The key, and what must be answered to it, are RFC 6455's.
const (
	upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	accept  = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// request is a handshake for a path, whole.
func (s server) request(path string) string {
	hostport, prefix := s.host()
	return "GET " + prefix + path + " HTTP/1.1\r\nHost: " + hostport + "\r\n" + upgrade + "\r\n"
}

// raw connects to a path by hand.
func (s server) raw(t *testing.T, path string) *raw {
	t.Helper()
	nc, in, err := s.shake(path)
	if err != nil {
		t.Fatalf("connect to %s: %v", path, err)
	}
	t.Cleanup(func() { nc.Close() })
	return &raw{t: t, nc: nc, in: in}
}

// shake connects to a path by hand, in any goroutine. The socket works for as long as patience with all that follows
// lasts, unless the caller says otherwise.
func (s server) shake(path string) (net.Conn, *bufio.Reader, error) {
	nc, err := s.connect()
	if err != nil {
		return nil, nil, err
	}
	nc.SetDeadline(time.Now().Add(3 * patience))
	in := bufio.NewReader(nc)
	_, err = io.WriteString(nc, s.request(path))
	if err == nil {
		err = switched(in)
	}
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, in, nil
}

// switched reads the answer to a handshake.
func switched(in *bufio.Reader) error {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != accept {
		return fmt.Errorf("the handshake got %s", resp.Status)
	}
	return nil
}

// send writes bytes.
func (c *raw) send(stream []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(stream); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// halfClose says that nothing more will be sent.
func (c *raw) halfClose() {
	c.t.Helper()
	if err := c.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// reset ends a connection abruptly. With TLS, nothing says so before.
func reset(nc net.Conn) {
	if secret, ok := nc.(*tls.Conn); ok {
		nc = secret.NetConn()
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	nc.Close()
}

// gets checks the next frames, described as in "text:hello" or "close 1002", the time in them apart.
func (c *raw) gets(why string, want ...string) {
	c.t.Helper()
	for _, w := range want {
		f, err := readFrame(c.in)
		if err != nil {
			c.t.Fatalf("%s: %v, want %.300q", why, err, w)
		}
		if got := timeless(f.String()); got != w {
			c.t.Fatalf("%s\n got %.300q\nwant %.300q", why, got, w)
		}
	}
}

// ends waits for the end of the stream, passing over frames, and returns the close frame before it, if any.
func (c *raw) ends() (told frame) {
	c.t.Helper()
	told, err := ending(c.in)
	if err != nil {
		c.t.Fatalf("waiting for the end: %v", err)
	}
	return told
}

// ending reads to the end of the stream and returns the close frame before it, if any.
func ending(in *bufio.Reader) (told frame, err error) {
	for {
		f, err := readFrame(in)
		switch {
		case err == io.EOF:
			return told, nil
		case err != nil:
			return told, err
		case told.op == opClose:
			return told, fmt.Errorf("%v after %v", f, told)
		case f.op == opClose:
			told = f
		}
	}
}

// A frame is one that the server sent.
type frame struct {
	op      byte
	payload []byte
}

const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// code is a close frame's code: 1005 if it has none, 0 if this is no close frame.
func (f frame) code() int {
	switch {
	case f.op != opClose:
		return 0
	case len(f.payload) == 0:
		return 1005
	}
	return int(binary.BigEndian.Uint16(f.payload))
}

// reason is a close frame's.
func (f frame) reason() string { return string(f.payload[min(2, len(f.payload)):]) }

func (f frame) String() string {
	switch f.op {
	case opContinuation: // which no frame from readFrame is
		return "nothing"
	case opClose:
		return strings.TrimSpace(fmt.Sprintf("close %d %s", f.code(), f.reason()))
	}
	return names[f.op] + ":" + string(f.payload)
}

// names are the frames' as the tests write them.
var names = map[byte]string{opContinuation: "cont", opText: "text", opBinary: "binary", opClose: "close", opPing: "ping", opPong: "pong"}

// readFrame reads a frame and holds the server to the rules: it sends no fragments, masks nothing, sets no reserved bit
// and writes lengths in their shortest form.
func readFrame(in *bufio.Reader) (frame, error) {
	first, err := in.ReadByte()
	if err != nil {
		return frame{}, err
	}
	second, err := in.ReadByte()
	if err != nil {
		return frame{}, noEOF(err)
	}
	f := frame{op: first & 0x0f}
	if first&0xf0 != 0x80 || second&0x80 != 0 || names[f.op] == "" || f.op == opContinuation {
		return f, fmt.Errorf("the server sent a frame that begins with %02x %02x", first, second)
	}
	length, err := readLength(in, second)
	if err != nil {
		return f, noEOF(err)
	}
	if f.op >= opClose && length > 125 || length > 16<<20 {
		return f, fmt.Errorf("the server sent %s of %d bytes", names[f.op], length)
	}
	f.payload = make([]byte, length)
	if _, err := io.ReadFull(in, f.payload); err != nil {
		return f, noEOF(err)
	}
	if f.op == opClose && len(f.payload) == 1 {
		return f, errors.New("the server sent half a close code")
	}
	return f, nil
}

func readLength(in *bufio.Reader, second byte) (length uint64, err error) {
	var buf [8]byte
	size, least := 0, uint64(0)
	switch second & 0x7f {
	case 126:
		size, least = 2, 126
	case 127:
		size, least = 8, 1<<16
	default:
		return uint64(second & 0x7f), nil
	}
	if _, err := io.ReadFull(in, buf[8-size:]); err != nil {
		return 0, err
	}
	length = binary.BigEndian.Uint64(buf[:])
	if length < least {
		return 0, fmt.Errorf("the server wrote a length of %d in %d bytes", length, size)
	}
	return length, nil
}

// noEOF is for where a stream must not end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// testKey masks the frames that the tests send.
var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// appendFrame appends a masked frame.
func appendFrame(dst []byte, fin bool, op byte, payload []byte) []byte {
	if fin {
		op |= 0x80
	}
	dst = append(dst, op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	dst = append(dst, testKey[:]...)
	for i, b := range payload {
		dst = append(dst, b^testKey[i%4])
	}
	return dst
}

// frames are masked frames written as "text:Hel- ping: cont:lo": a dash at the end says that more fragments follow.
func frames(s string) (stream []byte) {
	for f := range strings.SplitSeq(s, " ") {
		name, payload, _ := strings.Cut(f, ":")
		payload, more := strings.CutSuffix(payload, "-")
		stream = appendFrame(stream, !more, opcode(name), []byte(payload))
	}
	return stream
}

func opcode(name string) byte {
	for op, n := range names {
		if n == name {
			return op
		}
	}
	panic("no frame is called " + name)
}

// unhex is bytes written as "81 05".
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// closing is a close frame's payload.
func closing(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}
