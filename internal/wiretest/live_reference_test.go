package wiretest

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A reference is a server that is the model: one mutex, one world. The tests
// of /live are tried on it, and on it with a fault.
type reference struct {
	*httptest.Server
	t      *testing.T
	linger time.Duration
	fault  func(o output, again func()) bool // reports whether the output is lost

	mu      sync.Mutex
	world   *world
	tokens  map[string]string // of sessions, by token
	sockets map[int]*referenceSocket
	opened  int
	number  int            // of the latest offset
	bound   map[string]int // entries of rooms that have their offset
	ended   bool
	running sync.WaitGroup
}

// newReference starts a reference. It ends with the test.
func newReference(t *testing.T, linger time.Duration, history int) *reference {
	r := &reference{
		t: t, linger: linger, world: newWorld(history),
		tokens: make(map[string]string), sockets: make(map[int]*referenceSocket), bound: make(map[string]int),
	}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.mu.Lock()
		r.ended = true
		for conn, s := range r.sockets {
			r.hangUp(conn)
			s.nc.Close()
		}
		r.mu.Unlock()
		r.running.Wait()
		r.Close()
	})
	return r
}

// home is the reference's address.
func (r *reference) home() server { return server("ws" + strings.TrimPrefix(r.URL, "http")) }

// A referenceSocket is a client's connection.
type referenceSocket struct {
	nc     net.Conn
	events bool // server-sent
	out    [][]byte
	more   *sync.Cond
	done   bool // nothing is written after what is in out
}

func (r *reference) serve(rw http.ResponseWriter, req *http.Request) {
	if req.Method == "GET" && req.URL.Path == "/live" {
		r.join(rw, req)
		return
	}
	r.manage(rw, req)
}

// join is a client's handshake.
func (r *reference) join(rw http.ResponseWriter, req *http.Request) {
	q, err := readQuery(req.URL.String())
	upgrades := req.Header.Get("Upgrade") != ""
	if err != nil && (!upgrades || req.Header.Get("Origin") == "") {
		http.Error(rw, err.Error(), 400)
		return
	}
	nc, in, hijackErr := rw.(http.Hijacker).Hijack()
	if hijackErr != nil {
		return
	}
	s := &referenceSocket{nc: nc, events: !upgrades}
	s.more = sync.NewCond(&r.mu)
	if s.events {
		q.presence = strings.NewReplacer("1", "told", "seen", "0").Replace(q.presence)
		if id := req.Header.Get("Last-Event-ID"); id != "" {
			q.since = []string{id}
		}
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
	} else {
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n")
	}
	if err != nil {
		nc.Write(serverFrame("close 4400 " + err.Error()))
		return
	}
	r.running.Go(func() { r.write(s) })
	conn := r.open(s, q, req.URL.Query().Get("resume"))
	r.read(conn, in.Reader)
}

// open takes a connection into the world.
func (r *reference) open(s *referenceSocket, q liveQuery, token string) (conn int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened++
	conn = r.opened
	r.sockets[conn] = s
	asks := r.world.open(conn, q, r.tokens[token])
	r.deliver()
	for _, a := range asks {
		r.world.greet(conn, a, false)
		r.deliver()
	}
	return conn
}

// read handles what a client sends, until it is gone.
func (r *reference) read(conn int, in *bufio.Reader) {
	for {
		fin, op, payload, err := readClientFrame(in)
		r.mu.Lock()
		if r.world.of(conn) == nil { // the session went on elsewhere, or has ended
			r.hangUp(conn)
			r.mu.Unlock()
			return
		}
		switch {
		case err != nil || !fin:
			r.goes(conn, "lost")
		case op == opText:
			r.world.say(conn, string(payload))
		case op == opBinary:
			r.world.sayBinary(conn, string(payload))
		case op == opClose:
			r.closed(conn, frame{op, payload})
			err = io.EOF
		}
		r.deliver()
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// closed handles a close frame.
func (r *reference) closed(conn int, f frame) {
	r.world.send(output{conn: conn, stream: "close", frame: fmt.Sprintf("close %d", f.code())})
	r.deliver()
	if f.code() == 1001 {
		r.goes(conn, "left")
		return
	}
	r.world.end(r.world.of(conn), "left")
	r.deliver()
}

// goes lets a session linger.
func (r *reference) goes(conn int, why string) {
	s := r.world.of(conn)
	s.gone, s.why = true, why
	r.hangUp(conn)
	time.AfterFunc(r.linger, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if s := r.world.of(conn); s != nil && s.gone && !r.ended {
			r.world.end(s, s.why)
			r.deliver()
		}
	})
}

func (r *reference) hangUp(conn int) {
	if s := r.sockets[conn]; s != nil {
		s.done = true
		s.more.Signal()
		delete(r.sockets, conn)
	}
}

// deliver carries out what the world wants.
func (r *reference) deliver() {
	r.flush()
	for len(r.world.leaving) > 0 {
		r.world.depart(r.world.leaving[0], false)
		r.flush()
	}
}

func (r *reference) flush() {
	r.bind()
	for _, o := range r.world.out {
		s := r.sockets[o.conn]
		if s == nil {
			continue
		}
		text := r.render(o.frame)
		if at := strings.Index(text, `"resume":"`); at >= 0 {
			r.tokens[text[at+10:at+32]] = r.world.conns[o.conn]
		}
		send := func() {
			data := serverFrame(text)
			if s.events {
				data = event(resume.ReplaceAllString(text, ""))
			}
			s.out = append(s.out, data)
			s.more.Signal()
		}
		if r.fault == nil || !r.fault(o, send) {
			send()
		}
		if strings.HasPrefix(text, "close ") {
			r.hangUp(o.conn)
		}
	}
	r.world.out = nil
}

// bind gives every entry its offset.
func (r *reference) bind() {
	for _, room := range r.world.rooms {
		for label := room.label(); r.bound[label] < room.count; {
			r.bound[label]++
			r.render(room.at(r.bound[label]))
		}
	}
}

// render writes a template with values for all placeholders.
func (r *reference) render(template string) string {
	values := r.world.values
	for {
		text := values.fill(template)
		_, rest, found := strings.Cut(text, "<")
		if !found {
			return text
		}
		name, _, _ := strings.Cut(rest, ">")
		kind, id, named := strings.Cut(name, ":")
		value := r.invent(kind, id)
		if named && !values.learn(name, value) {
			panic("the reference contradicts itself: " + name)
		}
		template = strings.Replace(text, "<"+name+">", value, 1)
	}
}

// invent makes up what the server chooses.
func (r *reference) invent(kind, id string) string {
	random := make([]byte, 16)
	rand.Read(random)
	switch kind {
	case "id":
		return base64.URLEncoding.EncodeToString(random[:11])
	case "token":
		return base64.RawURLEncoding.EncodeToString(random)
	case "now":
		return strconv.FormatInt(time.Now().UnixMilli(), 10)
	case "at":
		r.number++
		return r.offset(id)
	case "head", "mid":
		return r.offset(id)
	}
	return "a sentence"
}

func (r *reference) offset(id string) string {
	label, _, _ := strings.Cut(id, "/")
	_, epoch, _ := strings.Cut(label, ".")
	number := strconv.FormatInt(int64(r.number), 32)
	return "m4k0" + epoch + "-" + strings.Repeat("0", 9-len(number)) + number
}

// write sends what is to be sent.
func (r *reference) write(s *referenceSocket) {
	defer s.nc.Close()
	for {
		r.mu.Lock()
		for len(s.out) == 0 && !s.done {
			if r.ended {
				r.mu.Unlock()
				return
			}
			s.more.Wait()
		}
		data, done := slices.Concat(s.out...), s.done
		s.out = nil
		r.mu.Unlock()
		if _, err := s.nc.Write(data); err != nil || done {
			return
		}
	}
}

// resume is a member that events do not have: they are no session.
var resume = regexp.MustCompile(`"resume":"[^"]*",`)

// serverFrame is a frame as String writes it.
func serverFrame(text string) []byte {
	op, payload := byte(opText), []byte(text)
	if data, isBinary := strings.CutPrefix(text, "binary:"); isBinary {
		op, payload = opBinary, []byte(data)
	}
	if rest, isClose := strings.CutPrefix(text, "close "); isClose {
		code, reason, _ := strings.Cut(rest, " ")
		number, _ := strconv.Atoi(code)
		op, payload = opClose, []byte(closing(uint16(number), reason))
		if number == 1005 {
			payload = nil
		}
	}
	head := []byte{0x80 | op, byte(len(payload))}
	if len(payload) > 125 {
		head = []byte{0x80 | op, 126, byte(len(payload) >> 8), byte(len(payload))}
	}
	return append(head, payload...)
}

// event is a frame as a server-sent event.
func event(text string) []byte {
	id := ""
	if _, rest, found := strings.Cut(text, `"_offset":"`); found {
		id = "id: " + rest[:15] + "\n"
	}
	return []byte(id + "data: " + text + "\n\n")
}

// readClientFrame reads a masked frame.
func readClientFrame(in *bufio.Reader) (fin bool, op byte, payload []byte, err error) {
	first, err := in.ReadByte()
	if err != nil {
		return false, 0, nil, err
	}
	second, err := in.ReadByte()
	if err != nil {
		return false, 0, nil, err
	}
	length, err := readLength(in, second)
	if err != nil {
		return false, 0, nil, err
	}
	masked := make([]byte, 4+length)
	if _, err = io.ReadFull(in, masked); err != nil {
		return false, 0, nil, err
	}
	for i, b := range masked[4:] {
		payload = append(payload, b^masked[i%4])
	}
	return first&0x80 != 0, first & 0x0f, payload, nil
}
