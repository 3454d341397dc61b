package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crier/ws"
)

// A Handshake configures [Dial]. The zero value asks only for a WebSocket.
type Handshake struct {
	Header       http.Header // sent with it; Host replaces the address's host
	Subprotocols []string    // offered to the server, which may choose one
	TLS          *tls.Config // for wss; nil: trust the authorities that the system trusts
	MaxMessage   int         // the largest message to read, in bytes; 0: 16 MiB, negative: 128 KiB

	dial dialer // instead of the network's, for tests
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// A Conn is one WebSocket, to any server. It does not reconnect.
//
// One goroutine calls Next until it fails, which ends the Conn. The other
// methods may be called by other goroutines at the same time.
type Conn struct {
	stream   io.ReadWriteCloser
	net      net.Conn // below stream
	protocol string

	// Owned by the caller of Next.
	decoder ws.Decoder
	buffer  []byte
	unread  []byte
	ended   error

	born time.Time
	read atomic.Int64 // when something was read last, as time since born

	writing sync.Mutex
	leaving bool
	out     []byte // to be used again
}

const (
	maxRefusal  = 1 << 10  // bytes of a refusal that are kept
	maxHeader   = 64 << 10 // bytes of the header of a server's answer
	goodbyeTime = 2 * time.Second
	readSize    = 16 << 10
	defaultMax  = 16 << 20
)

// Dial opens a WebSocket at an address that begins with ws, wss, http or https.
// It fails with a *[Refused] if the server answers anything but 101, including
// a redirect. If the environment names a proxy, as for
// [http.ProxyFromEnvironment], Dial goes through it: wss with CONNECT, and ws
// with the handshake itself, which not every proxy passes on.
// https://www.rfc-editor.org/rfc/rfc6455#section-4.1
func Dial(ctx context.Context, address string, h Handshake) (*Conn, error) {
	if len(address) > 2 && strings.EqualFold(address[:2], "ws") {
		address = "http" + address[2:]
	}
	key := newKey()
	c := &Conn{born: time.Now(), buffer: make([]byte, readSize)}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { c.net = info.Conn }})
	r, err := h.request(ctx, address, key)
	if err != nil {
		return nil, err
	}
	door := http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: h.dial, TLSClientConfig: h.TLS, Protocols: onlyHTTP1, DisableKeepAlives: true,
			ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10, // they stay with the connection
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := door.Do(r)
	if err != nil {
		return nil, err
	}
	if err := h.check(answer, key); err != nil {
		answer.Body.Close()
		return nil, err
	}
	c.stream = answer.Body.(io.ReadWriteCloser)
	c.protocol = answer.Header.Get("Sec-WebSocket-Protocol")
	c.decoder = ws.Decoder{Client: true, MaxMessage: h.MaxMessage}
	if h.MaxMessage == 0 {
		c.decoder.MaxMessage = defaultMax
	}
	c.read.Store(int64(time.Since(c.born)))
	return c, nil
}

var onlyHTTP1 = func() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}()

func newKey() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

func (h Handshake) request(ctx context.Context, address, key string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if h.Header != nil {
		r.Header = h.Header.Clone()
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host // net/http ignores it among the headers
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	// Spelled as in the RFC, and not as net/http would: some servers look for
	// exactly that.
	r.Header["Sec-WebSocket-Version"] = []string{"13"}
	r.Header["Sec-WebSocket-Key"] = []string{key}
	if len(h.Subprotocols) > 0 {
		r.Header["Sec-WebSocket-Protocol"] = []string{strings.Join(h.Subprotocols, ", ")}
	}
	return r, nil
}

// check returns what is wrong with a server's answer, or nil.
func (h Handshake) check(answer *http.Response, key string) error {
	// "As of Go 1.12, the Body will also implement io.Writer on a successful
	// 101". Without "Connection: Upgrade" it is not successful.
	_, switched := answer.Body.(io.ReadWriteCloser)
	switch protocol := answer.Header.Get("Sec-WebSocket-Protocol"); {
	case answer.StatusCode != http.StatusSwitchingProtocols:
		text, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
		return &Refused{answer.StatusCode, text}
	case !strings.EqualFold(answer.Header.Get("Upgrade"), "websocket"), !switched:
		return errors.New("the server switches to something that is no WebSocket")
	case answer.Header.Get("Sec-WebSocket-Accept") != ws.AcceptKey(key):
		return errors.New("the server's Sec-WebSocket-Accept is wrong")
	case answer.Header.Get("Sec-WebSocket-Extensions") != "":
		return errors.New("the server uses an extension that was not offered")
	case protocol != "" && !slices.Contains(h.Subprotocols, protocol):
		return fmt.Errorf("the server chose the subprotocol %q, which was not offered", protocol)
	}
	return nil
}

// A Refused is a server's answer to a handshake if the status is not 101.
type Refused struct {
	Status int
	Body   []byte // at most 1 KiB of it
}

// Why returns the server's reason: its body, or what API Gateway calls its
// message. It is not fit to be printed as it is.
func (r *Refused) Why() string {
	var answer struct{ Message string }
	if json.Unmarshal(r.Body, &answer) == nil && answer.Message != "" {
		return answer.Message
	}
	return string(r.Body)
}

// Error makes a refusal an error: `refused: 400 Bad Request: "append
// ?topicName=…"`.
func (r *Refused) Error() string {
	status := strings.TrimSpace(fmt.Sprintf("refused: %d %s", r.Status, http.StatusText(r.Status)))
	if why := strings.TrimSpace(r.Why()); why != "" {
		return fmt.Sprintf("%s: %q", status, why)
	}
	return status
}

// Subprotocol returns the subprotocol that the server has chosen, or "".
func (c *Conn) Subprotocol() string { return c.protocol }

// LastRead returns when bytes last came from the server. Pongs count, too.
func (c *Conn) LastRead() time.Time { return c.born.Add(time.Duration(c.read.Load())) }

// Buffered reports whether a part of what comes next has been read already, so
// that Next may return without waiting.
func (c *Conn) Buffered() bool { return len(c.unread) > 0 }

// Next waits for the next message. Its data is valid until Next is called
// again.
//
// An error means that the connection has ended. Next returns the same error
// from then on. The error contains a [ws.Close], with code 1006 if there was no
// close frame, or a *[Fault], which contains one.
func (c *Conn) Next() (data []byte, binary bool, err error) {
	for c.ended == nil {
		for len(c.unread) > 0 {
			m, n, ok, err := c.decoder.Next(c.unread)
			c.unread = c.unread[n:]
			switch {
			case err != nil:
				c.fail(err)
				return nil, false, c.ended
			case !ok:
			case m.Op == ws.Text:
				return m.Data, false, nil
			case m.Op == ws.Binary:
				return m.Data, true, nil
			case m.Op == ws.Ping:
				c.WriteFrames(ws.AppendMaskedFrame(nil, ws.Pong, newMask(), m.Data))
			case m.Op == ws.CloseFrame:
				if how, err := ws.ParseClose(m.Data); err != nil {
					c.fail(err)
				} else {
					c.end(how, how)
				}
				return nil, false, c.ended
			}
		}
		n, err := c.stream.Read(c.buffer)
		c.read.Store(int64(time.Since(c.born)))
		if c.unread = c.buffer[:n]; n == 0 && err != nil {
			c.end(ws.Close{}, &lost{err})
		}
	}
	return nil, false, c.ended
}

// lost says that a connection ended without a close frame.
type lost struct{ err error }

func (l *lost) Error() string { return "the connection was lost: " + l.err.Error() }
func (l *lost) Unwrap() []error {
	return []error{ws.Close{Code: ws.Abnormal, Reason: "the connection was lost without a close frame"}, l.err}
}

// A Fault means that the server broke the protocol, or sent a message of more
// than Handshake.MaxMessage bytes (code 1009). Told is what the server is told.
type Fault struct{ Told ws.Close }

// Error says that, and what it was.
func (f *Fault) Error() string {
	if f.Told.Code == ws.TooBig {
		return "the server sent more than is taken: " + f.Told.Reason
	}
	return "the server broke the protocol: " + f.Told.Error()
}

// Unwrap returns what the server is told.
func (f *Fault) Unwrap() error { return f.Told }

func (c *Conn) fail(err error) {
	told, _ := errors.AsType[ws.Close](err)
	c.end(told, &Fault{told})
}

// end answers the server's end, unless we had begun it, or there is nobody to
// answer, and hangs up.
func (c *Conn) end(answer ws.Close, why error) {
	c.ended = why
	c.decoder, c.buffer, c.unread = ws.Decoder{}, nil, nil // may hold much of a message that never ended
	c.net.SetWriteDeadline(time.Now().Add(goodbyeTime))
	if answer != (ws.Close{}) {
		c.sayGoodbye(answer)
	}
	c.stream.Close()
}

// Goodbye starts to close the connection, with why as the close frame. Next
// then returns the server's answer, or, after two seconds, that there was none.
func (c *Conn) Goodbye(why ws.Close) {
	c.net.SetDeadline(time.Now().Add(goodbyeTime))
	c.sayGoodbye(why)
}

func (c *Conn) sayGoodbye(why ws.Close) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.leaving {
		c.leaving = true
		c.stream.Write(ws.AppendMaskedClose(nil, newMask(), why))
	}
}

// HangUp ends the connection without a close frame, and Next fails. What is
// still on its way to the server may not arrive.
func (c *Conn) HangUp() {
	below := c.net
	if secret, ok := below.(*tls.Conn); ok {
		below = secret.NetConn()
	}
	if tcp, ok := below.(*net.TCPConn); ok {
		tcp.SetLinger(0) // otherwise it would still be sent, and could arrive after what the next connection sends
	}
	below.Close()
}

// Write sends a message. It waits while the server does not read.
func (c *Conn) Write(data []byte, binary bool) error {
	op := ws.Text
	if binary {
		op = ws.Binary
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = ws.AppendMaskedFrame(c.out[:0], op, newMask(), data)
	err := c.write(c.out)
	if cap(c.out) > 2*mostAtOnce {
		c.out = nil
	}
	return err
}

// WriteFrames sends frames made by package ws. They must be masked and
// complete.
func (c *Conn) WriteFrames(frames []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.write(frames)
}

var errLeaving = errors.New("nothing can be sent after a close frame")

// write writes frames. It requires c.writing.
func (c *Conn) write(frames []byte) error {
	if c.leaving {
		return errLeaving
	}
	_, err := c.stream.Write(frames)
	return err
}

// Ping sends a ping. The server answers it, which LastRead shows. Other clients
// do not notice.
func (c *Conn) Ping() error { return c.WriteFrames(ws.AppendMaskedFrame(nil, ws.Ping, newMask(), nil)) }

// newMask returns a random masking key. "The masking key needs to be
// unpredictable", so that a sender cannot choose the bytes that proxies in
// between see. https://www.rfc-editor.org/rfc/rfc6455#section-5.3
func newMask() (key [4]byte) {
	rand.Read(key[:])
	return key
}
