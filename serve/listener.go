package serve

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"time"

	"crier/app"
	"crier/door"
	"crier/hub"
	"crier/ws"
)

// listeners are the clients that listen to topics of live over HTTP: as
// server-sent events, without being seen. They have a shard of their own.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
type listeners struct {
	home  *home
	shard *hub.Shard
	news  chan struct{} // a buffered signal: the shard should take a turn
	stop  chan struct{} // closed when the server ends

	mu   sync.Mutex
	open int           // listeners
	left chan struct{} // closed when the server ends and there are none
	over bool          // the server ends
}

func newListeners(h *home) *listeners {
	ls := &listeners{home: h, news: make(chan struct{}, 1), stop: make(chan struct{}), left: make(chan struct{})}
	ls.shard = h.hub.NewShard(func() {
		select {
		case ls.news <- struct{}{}:
		default:
		}
	})
	return ls
}

// run takes the turns of the shard until the server ends and all listeners have
// ended.
func (ls *listeners) run() {
	for {
		select {
		case <-ls.news:
			for ls.shard.Turn(64) {
				runtime.Gosched()
			}
		case <-ls.left:
			return
		}
	}
}

// enter counts a listener, unless the server ends. leave must follow.
func (ls *listeners) enter() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.over {
		ls.open++
	}
	return !ls.over
}

func (ls *listeners) leave() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open--
	if ls.over && ls.open == 0 {
		close(ls.left)
	}
}

// count returns how many listeners there are.
func (ls *listeners) count() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.open
}

// end ends all listeners.
func (ls *listeners) end() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.over = true
	close(ls.stop)
	if ls.open == 0 {
		close(ls.left)
	}
}

// A listener is one of these clients.
type listener struct {
	home     *home
	nc       net.Conn
	member   hub.Member
	endpoint endpoint
	session  *session // nobody sees it, and nobody can resume it

	woken  chan struct{} // a buffered signal: there is something to write
	closed chan struct{} // closed when the client has gone
	once   sync.Once
}

// Wake implements hub.Conn.
func (l *listener) Wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// hangUp makes the listener end.
func (l *listener) hangUp(error) { l.once.Do(func() { close(l.closed) }) }

// listen answers a request with what happens in its topics.
func (h *home) listen(w http.ResponseWriter, r *http.Request) *door.Refusal {
	rejected := func(sentence string) *door.Refusal {
		no := door.Rejected.Saying(sentence)
		return &no
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return rejected("the query is not understood: " + err.Error())
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		query["since"] = []string{id}
	}
	address, wrong := app.Live{}.Address(query, false)
	if wrong != "" {
		return rejected(wrong)
	}
	if !h.listeners.enter() {
		return &door.ShuttingDown
	}
	defer h.listeners.leave()
	if !h.connections.admit() {
		return &door.TooManyConnections
	}
	defer h.connections.dismiss()
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return rejected("events need HTTP/1.1")
	}
	l := &listener{home: h, woken: make(chan struct{}, 1), closed: make(chan struct{})}
	l.session = &session{home: h, id: door.NewID()}
	l.endpoint = endpoint{session: l.session, member: &l.member, close: l.hangUp, told: address.Told}
	l.session.at = &l.endpoint
	h.listeners.shard.Join(&l.member, l)
	l.member.Exact()
	defer l.leave()
	for _, e := range address.Entries {
		if err := l.session.enter(e); err != nil {
			return &door.Busy
		}
	}
	nc, _, err := hijacker.Hijack()
	if err != nil {
		return rejected("events need a connection of their own")
	}
	defer nc.Close()
	l.nc = nc
	l.serve(r)
	return nil
}

// leave takes the listener out of its rooms, and out of the hub.
func (l *listener) leave() {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.rooms) > 0 {
		s.leave(s.rooms[0].name, "left") // nobody has to be told, so it cannot fail
	}
	l.member.Leave()
}

const eventHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\nConnection: close\r\n"

// serve writes what there is until the client or the server has gone.
func (l *listener) serve(r *http.Request) {
	head := eventHead
	if origin := r.Header.Get("Origin"); origin != "" { // the door has let it in
		head += "Access-Control-Allow-Origin: " + origin + "\r\nVary: Origin\r\n"
	}
	l.nc.SetDeadline(time.Time{})
	var reading sync.WaitGroup
	reading.Go(func() { // until the client closes the connection
		io.Copy(io.Discard, l.nc)
		l.hangUp(nil)
	})
	defer reading.Wait()
	defer l.nc.Close()
	if !l.write([]byte(head + "\r\n")) {
		return
	}
	silence := l.home.config.Ping
	if silence == 0 {
		silence = time.Hour
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		text, err := l.pending()
		if errors.Is(err, hub.ErrBehind) {
			return // the client connects again, and says where it was
		}
		select {
		case <-l.closed:
			return
		case <-l.home.listeners.stop:
			return
		default:
		}
		if len(text) > 0 {
			if !l.write(text) {
				return
			}
			timer.Reset(silence)
			continue
		}
		select {
		case <-l.woken:
		case <-timer.C:
			if !l.write([]byte(":\n\n")) { // a comment, so that the client knows that we are here
				return
			}
			timer.Reset(silence)
		case <-l.closed:
			return
		case <-l.home.listeners.stop:
			return
		}
	}
}

// listenerPatience is how long a write to a listener may take.
const listenerPatience = 30 * time.Second

func (l *listener) write(text []byte) bool {
	l.nc.SetWriteDeadline(time.Now().Add(listenerPatience))
	_, err := l.nc.Write(text)
	return err == nil
}

// maxEvents is about how many bytes are written at once.
const maxEvents = 64 << 10

// pending takes what the hub has for the listener, as events.
func (l *listener) pending() (text []byte, err error) {
	var mem hub.Memory
	batch, err := l.member.Pending(&mem, maxEvents)
	if err != nil {
		return nil, err
	}
	for _, frames := range batch.Frames {
		for len(frames) > 0 {
			frame := ws.First(frames)
			frames = frames[len(frame):]
			text = appendEvent(text, frame)
		}
	}
	if batch.Bytes > 0 {
		l.member.Advance(batch, batch.Bytes)
	}
	return text, nil
}

// appendEvent appends an event for a frame. Binary messages cannot be told.
func appendEvent(dst, frame []byte) []byte {
	if ws.IsBinary(frame) {
		return dst
	}
	text := ws.Payload(frame)
	if offset := app.OffsetOf(text); offset != "" {
		dst = append(dst, "id: "...)
		dst = append(dst, offset...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	dst = append(dst, oneLine(text)...)
	return append(dst, "\n\n"...)
}

// oneLine returns a JSON text without line breaks. They can only be white space
// between its tokens.
func oneLine(text []byte) []byte {
	if !bytes.ContainsAny(text, "\n\r") {
		return text
	}
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, text)
}
