package transport

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crier/hub"
	"crier/ws"
)

// A forger writes records of TLS 1.3 by hand, in the place of a tls.Conn: those
// that crypto/tls never sends, and as small as it never makes them.
type forger struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	number uint64 // of the next record
}

// Content types, and types of handshake messages.
// https://www.rfc-editor.org/rfc/rfc8446#appendix-B
const (
	alertRecord     = 21
	handshakeRecord = 22
	dataRecord      = 23

	certificateMessage = 11
	keyUpdateMessage   = 24
)

func newForger(t testing.TB, keyLog string) *forger {
	for line := range strings.Lines(keyLog) {
		if words := strings.Fields(line); words[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(words[2])
			if err != nil {
				t.Fatal(err)
			}
			f := new(forger)
			f.use(secret)
			return f
		}
	}
	t.Fatalf("no secret in %s", keyLog)
	return nil
}

// expand is HKDF-Expand-Label.
// https://www.rfc-editor.org/rfc/rfc8446#section-7.1
func expand(secret []byte, label string, length int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(append(append(info, byte(len(label))), label...), 0)
	key, err := hkdf.Expand(sha256.New, secret, string(info), length)
	if err != nil {
		panic(err)
	}
	return key
}

func (f *forger) use(secret []byte) {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	f.aead, err = cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	f.secret, f.iv, f.number = secret, expand(secret, "iv", 12), 0
}

// record returns a record. If it ends a KeyUpdate, update must follow.
func (f *forger) record(kind byte, content []byte) []byte {
	nonce := slices.Clone(f.iv)
	counter := binary.BigEndian.AppendUint64(make([]byte, 4), f.number)
	for i := range nonce {
		nonce[i] ^= counter[i]
	}
	f.number++
	inner := append(slices.Clone(content), kind)
	record := binary.BigEndian.AppendUint16([]byte{dataRecord, 3, 3}, uint16(len(inner)+f.aead.Overhead()))
	return f.aead.Seal(record, nonce, inner, record)
}

// update goes on with the next key.
func (f *forger) update() { f.use(expand(f.secret, "traffic upd", 32)) }

// keyUpdate returns the records of a KeyUpdate that is in two pieces.
func (f *forger) keyUpdate(ask bool) []byte {
	message := []byte{keyUpdateMessage, 0, 0, 1, 0}
	if ask {
		message[4] = 1
	}
	cut := 1 + rand.IntN(4)
	records := append(f.record(handshakeRecord, message[:cut]), f.record(handshakeRecord, message[cut:])...)
	f.update()
	return records
}

// A bench holds a tunnel by itself: what the client writes is opened by hand.
type bench struct {
	testing.TB
	tunnel *tunnel
	client *tls.Conn
	forger *forger
	socket net.Conn // the client's end
}

func newBench(t testing.TB) *bench {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours.SetDeadline(time.Now().Add(patience))
	var keys strings.Builder
	client, server := handshake(t, ours, served, tls.VersionTLS13, func(c *tls.Config) { c.KeyLogWriter = &keys })
	fd, ok := descriptor(served)
	if !ok {
		t.Fatal("no descriptor")
	}
	b := &bench{TB: t, client: client, socket: ours, forger: newForger(t, keys.String())}
	b.tunnel = &tunnel{tls: server, desk: new(desk), fd: fd}
	server.NetConn().(inner).Replace(b.tunnel)
	served.Close()
	t.Cleanup(func() {
		unix.Close(fd)
		ours.Close()
	})
	return b
}

// feed opens bytes in pieces of at most that size, and returns the plaintext.
func (b *bench) feed(sent []byte, most int) (plain []byte) {
	for len(sent) > 0 && b.tunnel.end == nil {
		n := min(1+rand.IntN(most), len(sent))
		plain = append(plain, b.tunnel.open(bytes.Clone(sent[:n]))...)
		sent = sent[n:]
	}
	return plain
}

// TestRecordsInPieces: whatever the pieces are in which 10,000 records come, and
// whatever KeyUpdates are between them, the plaintext is what was sent. What the
// server sends can be read with the keys that the client has asked for.
func TestRecordsInPieces(t *testing.T) {
	for _, most := range []int{1, 7, 1000, 40_000} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			b := newBench(t)
			var want, got []byte
			for i := range 10_000 {
				content := bytes.Repeat([]byte{byte(i)}, 1+rand.IntN(40))
				if i%1000 == 0 {
					content = bytes.Repeat([]byte{byte(i)}, maxRecord)
				}
				want = append(want, content...)
				got = append(got, b.feed(b.forger.record(dataRecord, content), most)...)
				if i%100 == 0 {
					ask := i%200 == 0
					got = append(got, b.feed(b.forger.keyUpdate(ask), most)...)
					b.hears(fmt.Sprintf("after %d records", i))
				}
			}
			if b.tunnel.end != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes of %d: %v", len(got), len(want), b.tunnel.end)
			}
		})
	}
}

// write seals and sends.
func (b *bench) write(frames ...[]byte) (n int, err error) {
	b.tunnel.desk.records = b.tunnel.desk.records[:0]
	n, record, err := b.tunnel.seal(frames)
	if err != nil {
		return n, err
	}
	return n, b.tunnel.send(record)
}

// hears sends a text and fails the test unless the client can read it.
func (b *bench) hears(text string) {
	b.Helper()
	if n, err := b.write([]byte(text[:1]), []byte(text[1:])); n != len(text) || err != nil {
		b.Fatalf("sealed %d bytes: %v", n, err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(b.client, got); err != nil || string(got) != text {
		b.Fatalf("the client reads %q, %v", got, err)
	}
}

// ends are what ends a tunnel, and what the client is told.
var ends = map[string]struct {
	send func(f *forger) []byte
	want func(err error) bool
	told string // alert; empty: none
}{
	"close_notify": {
		func(f *forger) []byte { return f.record(alertRecord, []byte{1, 0}) },
		func(err error) bool { return err == io.EOF }, "",
	},
	"a fatal alert": {
		func(f *forger) []byte { return f.record(alertRecord, []byte{2, 80}) },
		func(err error) bool { return err != nil && strings.Contains(err.Error(), "internal error") }, "",
	},
	"an alert without meaning": {
		func(f *forger) []byte { return f.record(alertRecord, []byte{1, 90}) },
		func(err error) bool { return err == nil }, "",
	},
	"a forged record": {
		func(f *forger) []byte {
			r := f.record(dataRecord, []byte("forged"))
			r[len(r)-1]++
			return r
		},
		func(err error) bool { return err != nil && err != io.EOF }, "bad record MAC",
	},
	"no record": {
		func(*forger) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") },
		func(err error) bool { return err != nil && err != io.EOF }, "protocol version",
	},
	"an endless handshake message": {
		func(f *forger) (sent []byte) {
			sent = f.record(handshakeRecord, append([]byte{certificateMessage, 3, 0, 0}, make([]byte, 10_000)...))
			for range 5 {
				sent = append(sent, f.record(handshakeRecord, make([]byte, 10_000))...)
			}
			return sent
		},
		func(err error) bool { return errors.Is(err, errBarren) }, "",
	},
	"empty records": {
		func(f *forger) (sent []byte) {
			for range 20 {
				sent = append(sent, f.record(dataRecord, nil)...)
			}
			return sent
		},
		func(err error) bool { return err != nil && err != io.EOF }, "unexpected message",
	},
	"data in the middle of a KeyUpdate": {
		func(f *forger) []byte {
			return append(f.record(handshakeRecord, []byte{keyUpdateMessage, 0}), f.record(dataRecord, []byte("data"))...)
		},
		func(err error) bool { return err != nil && err != io.EOF }, "unexpected message",
	},
}

// TestTunnelEnds: however it is cut, what comes before the end comes out.
func TestTunnelEnds(t *testing.T) {
	for name, c := range ends {
		for _, most := range []int{1, 100_000} {
			t.Run(fmt.Sprint(name, ", ", most), func(t *testing.T) {
				b := newBench(t)
				sent := append(b.forger.record(dataRecord, []byte("before")), c.send(b.forger)...)
				if got := b.feed(sent, most); string(got) != "before" {
					t.Errorf("got %q", got)
				}
				if !c.want(b.tunnel.end) {
					t.Errorf("it ends with %v", b.tunnel.end)
				}
				unix.Shutdown(b.tunnel.fd, unix.SHUT_WR)
				_, err := b.client.Read(make([]byte, 1))
				if c.told == "" && err != io.EOF || !strings.Contains(err.Error(), c.told) {
					t.Errorf("the client is told %v", err)
				}
			})
		}
	}
}

// TestUnsent: what a socket does not take is sent later, and nothing is sealed
// in between.
func TestUnsent(t *testing.T) {
	b := newBench(t)
	var want []byte
	frame := bytes.Repeat([]byte("0123456789"), 10_000)
	for len(b.tunnel.unsent) == 0 {
		n, err := b.write(frame)
		if n != maxRecord || err != nil {
			t.Fatalf("sealed %d bytes: %v", n, err)
		}
		want = append(want, frame[:n]...)
	}
	if n := len(b.tunnel.unsent); n > maxRecord+100 {
		t.Errorf("%d bytes are unsent", n)
	}
	answered := len(b.tunnel.unsent)
	b.feed(b.forger.keyUpdate(true), 100)
	if len(b.tunnel.unsent) <= answered {
		t.Error("the answer to a KeyUpdate is not in its place")
	}
	received := make(chan []byte)
	go func() {
		got, _ := io.ReadAll(b.client)
		received <- got
	}()
	for len(b.tunnel.unsent) > 0 {
		if _, err := b.tunnel.flush(); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	b.write([]byte("with the next key"))
	b.tunnel.close()
	unix.Shutdown(b.tunnel.fd, unix.SHUT_WR)
	if got := <-received; !bytes.Equal(got, append(want, "with the next key"...)) {
		t.Errorf("the client has got %d bytes of %d", len(got), len(want))
	}
}

// TestLargeRecordsAreCounted: the buffers of a tls.Conn that have grown are
// accounted for, until the connection ends.
func TestLargeRecordsAreCounted(t *testing.T) {
	w := newWorld(t, Config{}, hub.Config{})
	w.wrap, w.tls = unchanged, tls.VersionTLS13
	ann := w.dial()
	ann.say("hello")
	ann.hears("hello")
	if n := w.hub.Stats().Memory; n > usual {
		t.Errorf("%d bytes are in use by an idle connection", n)
	}
	text := strings.Repeat("x", maxRecord)
	ann.say(text)
	ann.hears(text)
	holds := func() int32 { return ann.ear.rarely().holding.bytes.Load() }
	w.eventually("the buffers are counted", func() bool { return holds() >= maxRecord && holds() < 3*maxRecord })
	ann.bye()
	ann.told(ws.NormalClosure)
	ann.Close()
	ann.ear.ended()
	w.eventually("it comes back", func() bool { return w.hub.Stats().Memory < usual+maxRecord })
}

// TestKeyUpdateFlood: a client that asks for new keys all the time is closed.
func TestKeyUpdateFlood(t *testing.T) {
	w := newWorld(t, Config{}, hub.Config{})
	ann, served := w.pair()
	var keys strings.Builder
	_, server := handshake(t, ann.tcp, served, tls.VersionTLS13, func(c *tls.Config) { c.KeyLogWriter = &keys })
	ann.ear = w.newEar()
	w.transport.Serve(&ann.ear.Conn, server, nil)
	f := newForger(t, keys.String())
	var flood []byte
	for range 10 * maxControls / answerCost {
		flood = append(append(flood, f.keyUpdate(true)...), f.record(dataRecord, masked(ws.Text, ""))...)
	}
	go ann.tcp.Write(flood)
	go io.Copy(io.Discard, ann.tcp)
	w.eventually("the connection is closed", func() bool { return ann.ear.why() == ErrRestless })
}

// TestNoGoroutine: a connection under TLS has none.
func TestNoGoroutine(t *testing.T) {
	w := newWorld(t, Config{}, hub.Config{})
	w.wrap, w.tls = unchanged, tls.VersionTLS13
	before := runtime.NumGoroutine()
	for range 20 {
		c := w.dial()
		c.say("hello")
		c.hears("hello")
		w.eventually("its goroutine ends", func() bool { return runtime.NumGoroutine() <= before })
		c.bye()
		c.ear.ended()
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{100, 7000, maxRecord} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			bench := newBench(b)
			bench.socket.SetDeadline(time.Time{})
			go io.Copy(io.Discard, bench.socket)
			frame := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				bench.tunnel.unsent = nil // the client only reads
				bench.write(frame)
			}
		})
	}
}
