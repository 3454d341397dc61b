package client

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"crier/ws"
)

// A line is a connection to a world.
type line struct {
	w    *world
	net  net.Conn
	seat *seat
	out  chan []byte // frames; closed after the last
	shut bool
	deaf bool // what is sent does not arrive
}

// serve talks on a connection until its end.
func (w *world) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	fmt.Fprintf(conn, "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", ws.AcceptKey(r.Header.Get("Sec-WebSocket-Key")))
	l := &line{w: w, net: conn, out: make(chan []byte, 100_000)}
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() {
		for frame := range l.out {
			if _, err := conn.Write(frame); err != nil {
				break
			}
		}
		time.Sleep(time.Second)
		conn.Close()
	})
	w.mu.Lock()
	w.shown = append(w.shown, r.Header.Get("Authorization"))
	w.connect(l, r.URL.Query())
	w.mu.Unlock()
	how := l.read(in)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch s := l.seat; {
	case s.line != l:
	case how.Code == ws.NormalClosure || how.Code == ws.NoStatus:
		s.line = nil
		w.end(s, "left")
	default:
		w.linger(s)
	}
	l.close(how)
}

// read handles what the client sends, until it says goodbye or is lost.
func (l *line) read(in io.Reader) (how ws.Close) {
	d, b, buf := ws.Decoder{MaxMessage: 1 << 20}, []byte(nil), make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		if b = append(b, buf[:n]...); n == 0 && err != nil {
			return ws.Close{Code: ws.Abnormal}
		}
		for len(b) > 0 {
			m, n, ok, err := d.Next(b)
			b = b[n:]
			if err != nil {
				panic(err)
			}
			if !ok {
				continue
			}
			time.Sleep(l.w.work())
			l.w.mu.Lock()
			switch {
			case m.Op == ws.Text || m.Op == ws.Binary:
				if l.seat.line == l {
					l.w.handle(l.seat, m.Data, m.Op == ws.Binary)
				}
			case m.Op == ws.Ping:
				l.frame(ws.Pong, string(m.Data))
			case m.Op == ws.CloseFrame:
				how, _ = ws.ParseClose(m.Data)
				l.w.mu.Unlock()
				return how
			}
			l.w.mu.Unlock()
		}
	}
}

// frame and close require the world's lock.
func (l *line) frame(op ws.Opcode, data string) {
	if l != nil && !l.shut && !l.deaf {
		l.out <- ws.AppendFrame(nil, op, []byte(data))
	}
}

func (l *line) close(how ws.Close) {
	if !l.shut {
		if how.Code != ws.Abnormal {
			l.out <- ws.AppendClose(nil, how)
		}
		l.shut = true
		close(l.out)
	}
}
