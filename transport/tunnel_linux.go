package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// A tunnel is the TLS of a line. It turns what the socket gave into plaintext,
// and frames into records on the socket. It knows no states of a connection.
//
// crypto/tls reads and writes any net.Conn. Here that is the tunnel itself, and
// nothing waits: Read takes from memory, and then says that there is no more for
// now, which leaves the tls.Conn as it was. Write takes everything. What the
// socket does not take of it is unsent: it can be neither dropped nor made again,
// because the client counts records. Nothing is sealed while there is some.
type tunnel struct {
	tls    *tls.Conn
	desk   *desk // of the loop
	fd     int
	unsent []byte
	end    error // why nothing more comes from the client: io.EOF if it said so
	closed bool  // the server has said that it sends nothing more

	writes  uint32 // calls of Write
	barren  int    // bytes that were read since the last plaintext
	most    int    // bytes that the buffers of tls may take
	counted int    // bytes that the connection is accounted for
}

// A desk is the memory that the tunnels of a loop work with. It holds nothing
// between two calls, apart from the records of one batch of a flush.
type desk struct {
	in      []byte // what crypto/tls has not read yet
	plain   []byte // what open returns
	text    []byte // several frames, for one record
	sealing bool   // records go to the desk, and not to the socket
	records []byte
}

const (
	// maxRecord is how many bytes of plaintext are in a record at most.
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
	maxRecord = 16 << 10
	// maxBarren is how many bytes a client may send without any plaintext in
	// them. Between two messages a handshake message may come, such as a
	// KeyUpdate, and crypto/tls would collect up to 256 KiB of one. The largest
	// record and what one read takes are less than this.
	maxBarren = 40 << 10
	// maxPlain is how much memory a desk keeps for plaintext.
	maxPlain = 256 << 10
	// maxRecords is after how many bytes of records a batch is sent. They
	// should still be in the processor's caches then.
	maxRecords = 128 << 10
	// usual is up to how many bytes in the buffers of a tls.Conn are taken for
	// a part of every connection, and not counted.
	usual = 4 << 10
)

// errBarren means that a client sends records without content.
var errBarren = errors.New("transport: too many bytes of TLS without content")

// An inner is the connection that a tls.Conn reads and writes. When the
// handshake is done, it can be replaced.
type inner interface {
	NetConn() net.Conn
	Replace(nc net.Conn)
}

// open takes bytes from the socket, and returns the plaintext that is complete.
// It is valid until the next call. After it, end may be set.
func (t *tunnel) open(b []byte) (plain []byte) {
	d := t.desk
	d.in, d.plain = b, d.plain[:0]
	for t.end == nil {
		d.plain = slices.Grow(d.plain, usual)
		n, err := t.tls.Read(d.plain[len(d.plain):cap(d.plain)])
		d.plain = d.plain[:len(d.plain)+n]
		if n > 0 {
			t.barren = 0
		}
		if err == os.ErrDeadlineExceeded { // unwrapped, as Read below returned it
			break
		}
		t.end = err
	}
	d.in = nil
	if plain = d.plain; cap(plain) > maxPlain {
		d.plain = nil
	}
	return plain
}

// seal makes a record of the first bytes of frames. It returns how many these
// are, and the record, for send.
func (t *tunnel) seal(frames [][]byte) (n int, record []byte, err error) {
	text := frames[0]
	d := t.desk
	if len(frames) > 1 && len(text) < maxRecord {
		d.text = d.text[:0]
		for _, frame := range frames {
			d.text = append(d.text, frame[:min(len(frame), maxRecord-len(d.text))]...)
			if len(d.text) == maxRecord {
				break
			}
		}
		text = d.text
	}
	made := len(d.records)
	d.sealing = true
	n, err = t.tls.Write(text[:min(len(text), maxRecord)])
	d.sealing = false
	return n, d.records[made:], err
}

// send sends a record. What the socket does not take is unsent.
func (t *tunnel) send(record []byte) error {
	n, err := send(t.fd, record)
	if err != nil && err != errFull {
		return err
	}
	if n < len(record) {
		t.unsent = append(t.unsent, record[n:]...)
	}
	return nil
}

// close tells the client that nothing more will come.
func (t *tunnel) close() {
	t.tls.CloseWrite() // if it fails, the client has been told of a fault
	t.closed = true
}

// flush sends what is unsent. n is how much the socket took of it.
func (t *tunnel) flush() (n int, err error) {
	n, err = send(t.fd, t.unsent)
	if t.unsent = t.unsent[n:]; len(t.unsent) == 0 {
		t.unsent = nil
	}
	if err == errFull {
		err = nil
	}
	return n, err
}

// Read implements net.Conn, for crypto/tls. It passes its buffer's free space,
// so the largest of these shows how large the buffer has become.
func (t *tunnel) Read(p []byte) (int, error) {
	t.most = max(t.most, len(p))
	n := copy(p, t.desk.in)
	t.desk.in = t.desk.in[n:]
	t.barren += n
	if t.most = max(t.most, t.barren); t.barren > maxBarren {
		return 0, errBarren
	}
	if n == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return n, nil
}

// Write implements net.Conn, for crypto/tls.
func (t *tunnel) Write(p []byte) (int, error) {
	t.writes++
	switch {
	case t.desk.sealing:
		t.desk.records = append(t.desk.records, p...)
	case t.closed: // it is an answer, which nobody expects any more
	case len(t.unsent) > 0:
		t.unsent = append(t.unsent, p...)
	default:
		if err := t.send(p); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// The other methods of net.Conn have no meaning here. crypto/tls calls
// SetWriteDeadline.

func (t *tunnel) Close() error                     { return io.ErrClosedPipe }
func (t *tunnel) LocalAddr() net.Addr              { return nil }
func (t *tunnel) RemoteAddr() net.Addr             { return nil }
func (t *tunnel) SetDeadline(time.Time) error      { return nil }
func (t *tunnel) SetReadDeadline(time.Time) error  { return nil }
func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }
