package door

import (
	"cmp"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"crier/access"
	"crier/ws"
)

// handshakeTimeout is how long a client may take to receive the answer to its
// handshake.
const handshakeTimeout = 10 * time.Second

// accept turns a request into a connection, or refuses it.
func (d *Door) accept(w http.ResponseWriter, r *http.Request, m Mount) {
	if no := checkHandshake(w, r, m); no != nil {
		d.refuse(w, r, *no)
		return
	}
	if !d.pages.AtHome(r, secure(r)) {
		d.refusePage(w, r)
		return
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		d.refuse(w, r, BadHandshake.Saying("a WebSocket needs HTTP/1.1"))
		return
	}
	// Handlers may decide about it, and may take longer than a request may.
	http.NewResponseController(w).SetWriteDeadline(time.Time{})
	socket, no := d.connect(r, m)
	if no != nil && no.final() && understands(r, m) && no.Name != HandlerRefused.Name {
		d.explain(hijacker, r, *no)
		return
	}
	if no != nil {
		d.turnAway(w, r, *no)
		return
	}
	nc, early, err := switchProtocols(hijacker, r, cmp.Or(socket.Protocol(), access.Protocol(r)))
	if err != nil {
		d.config.Log.Debug("handshake", "remote", r.RemoteAddr, "error", err)
		socket.Abandon()
		return
	}
	socket.Serve(nc, early)
}

// connect decides about a handshake that follows the protocol.
func (d *Door) connect(r *http.Request, m Mount) (Socket, *Refusal) {
	if no := d.enter(r); no != nil {
		return nil, no
	}
	may, no := d.admit(r, m)
	if no == nil {
		var socket Socket
		if socket, no = d.config.Sockets.Connect(r, m, NewID(), may); no == nil {
			return socket, nil
		}
	}
	d.config.Addresses.Leave(access.From(r))
	return nil, no
}

// enter refuses a client whose address has too many connections. It comes before
// everything that costs something.
func (d *Door) enter(r *http.Request) *Refusal {
	switch d.config.Addresses.Enter(access.From(r)) {
	case access.TooMany:
		return &TooManyOfAddress
	case access.TooFast:
		return &TooFastOfAddress
	}
	return nil
}

// final reports whether it would not help to come back later.
func (r Refusal) final() bool {
	return r.Status < http.StatusInternalServerError && r.Status != http.StatusTooManyRequests
}

// turnAway refuses a client that wanted to stay. If there is no place for it,
// the client is told to come back.
func (d *Door) turnAway(w http.ResponseWriter, r *http.Request, no Refusal) {
	d.challenge(w, no)
	if !no.final() {
		w.Header().Set("Retry-After", "1")
	}
	d.refuse(w, r, no)
}

// understands reports whether a client is told by a close frame why it is refused:
// a page, which cannot see the answer, or crier's own client.
func understands(r *http.Request, m Mount) bool {
	return m.Explains && r.Header.Get("Origin") != "" || access.Protocol(r) == access.OwnProtocol
}

// explained is the code of the close frame for a refusal with that status.
const explained = 4000

// explainTimeout is how long a page may take to answer that close frame.
const explainTimeout = time.Second

// explain tells a page why its handshake is refused: it accepts the handshake,
// and closes the connection.
func (d *Door) explain(h http.Hijacker, r *http.Request, no Refusal) {
	d.noteRefusal(r, no)
	nc, _, err := switchProtocols(h, r, access.Protocol(r))
	if err != nil {
		return
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(explainTimeout))
	no.Code = explained + uint16(no.Status)
	if _, err := nc.Write(ws.AppendClose(nil, no.Close())); err == nil {
		closeWrite(nc)
		io.CopyN(io.Discard, nc, maxHead) // closing with unread bytes would discard the close frame
	}
}

// checkHandshake follows RFC 6455, section 4.2.1.
// https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
func checkHandshake(w http.ResponseWriter, r *http.Request, m Mount) *Refusal {
	no := func(refusal Refusal, sentence string) *Refusal {
		refusal = refusal.Saying(sentence)
		return &refusal
	}
	if !hasToken(r.Header, "Upgrade", "websocket") {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		return no(UpgradeRequired, "this is a WebSocket, "+m.Name+": "+m.Help+"\n\nTry\n  npx wscat -c \""+webSocketURL(r, m)+"\"")
	}
	if r.Method != http.MethodGet {
		return no(BadHandshake, "a WebSocket handshake is a GET request")
	}
	if !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1 {
		return no(BadHandshake, "a WebSocket handshake is an HTTP/1.1 request")
	}
	if r.ContentLength != 0 {
		return no(BadHandshake, "a WebSocket handshake has no body")
	}
	if !hasToken(r.Header, "Connection", "upgrade") {
		return no(BadHandshake, "a WebSocket handshake has the header Connection: Upgrade")
	}
	if r.Header.Get("Sec-WebSocket-Version") != "13" {
		w.Header().Set("Sec-WebSocket-Version", "13")
		return no(UpgradeRequired, "this server speaks version 13 of the WebSocket protocol: Sec-WebSocket-Version: 13")
	}
	// "A |Sec-WebSocket-Key| header field with a base64-encoded value that,
	// when decoded, is 16 bytes in length."
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return no(BadHandshake, "a WebSocket handshake has one header Sec-WebSocket-Key")
	}
	if key, err := base64.StdEncoding.DecodeString(keys[0]); err != nil || len(key) != 16 {
		return no(BadHandshake, "Sec-WebSocket-Key must be 16 bytes in base64")
	}
	return nil
}

func hasToken(h http.Header, name, token string) bool {
	for _, line := range h[name] {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// switchProtocols takes the socket from net/http and writes the 101. early is
// what the client sent after its handshake.
func switchProtocols(h http.Hijacker, r *http.Request, protocol string) (nc net.Conn, early []byte, err error) {
	nc, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, err
	}
	if n := rw.Reader.Buffered(); n > 0 {
		early = make([]byte, n)
		rw.Read(early) // from the buffer, so it cannot fail
	}
	if door, ok := nc.(*doorConn); ok {
		early = append(early, door.ahead...)
		nc = door.unwrapped()
	}
	var buf [160]byte
	answer := append(buf[:0], "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	answer = append(answer, ws.AcceptKey(r.Header.Get("Sec-WebSocket-Key"))...)
	if protocol != "" {
		answer = append(append(answer, "\r\nSec-WebSocket-Protocol: "...), protocol...)
	}
	answer = append(answer, "\r\n\r\n"...)
	nc.SetDeadline(time.Now().Add(handshakeTimeout))
	if _, err = nc.Write(answer); err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, early, nil
}
