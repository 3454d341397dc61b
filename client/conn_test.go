package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"crier/ws"
)

func dial(t *testing.T, url string, h Handshake) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := Dial(ctx, url, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.HangUp() })
	return c
}

func TestHandshake(t *testing.T) {
	seen := make(chan *http.Request, 1)
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		seen <- r
		c.Read(r.Context())
	})
	c := dial(t, url+"/a?b=c", Handshake{Header: http.Header{"X-One": {"1", "2"}, "Host": {"crier.test"}}, Subprotocols: []string{"v1", "v2"}})
	r := <-seen
	if r.RequestURI != "/a?b=c" || strings.Join(r.Header["X-One"], " ") != "1 2" || r.Host != "crier.test" {
		t.Errorf("asked for %q of %q, X-One %q", r.RequestURI, r.Host, r.Header["X-One"])
	}
	if c.Subprotocol() != "v2" {
		t.Errorf("the subprotocol is %q", c.Subprotocol())
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, nil); err == nil {
			c.Write(r.Context(), websocket.MessageText, []byte(r.Proto))
			c.Read(r.Context())
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of who does not trust it
	s.StartTLS()
	defer s.Close()
	url := "wss" + strings.TrimPrefix(s.URL, "https")
	if _, err := Dial(context.Background(), url, Handshake{}); err == nil {
		t.Error("it trusts anybody")
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := dial(t, url, Handshake{TLS: &tls.Config{RootCAs: roots}})
	if data, _, err := c.Next(); err != nil || string(data) != "HTTP/1.1" {
		t.Errorf("%s, %v", data, err)
	}
	c.Goodbye(ws.Close{Code: ws.NormalClosure})
	if _, _, err := c.Next(); !errors.Is(err, ws.Close{Code: ws.NormalClosure}) {
		t.Errorf("it ends with %v", err)
	}
}

// rawServer answers the handshake as answer says, with the right key in place of KEY, and sends more.
func rawServer(t *testing.T, answer, more string) (url string, heard <-chan string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "ws://" + l.Addr().String(), answerRaw(l, answer, more)
}

func answerRaw(l net.Listener, answer, more string) (heard <-chan string) {
	said := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		head := ""
		for b := make([]byte, 1); !strings.HasSuffix(head, "\r\n\r\n"); head += string(b) {
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
		_, key, _ := strings.Cut(head, "Sec-WebSocket-Key: ")
		key, _, _ = strings.Cut(key, "\r\n")
		io.WriteString(conn, strings.ReplaceAll(answer, "KEY", ws.AcceptKey(key))+"\r\n"+more)
		rest, _ := io.ReadAll(conn)
		said <- string(rest)
	}()
	return said
}

const yes = "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: KEY\r\n"

func TestRefusals(t *testing.T) {
	for want, answer := range map[string]string{
		`refused: 400 Bad Request: "append ?topicName"`:         "HTTP/1.1 400 x\r\nContent-Length: 17\r\n\r\nappend ?topicName",
		`refused: 403 Forbidden: "User is not \x1b authorized"`: "HTTP/1.1 403 x\r\nContent-Length: 43\r\n\r\n{\"message\":\"User is not \\u001b authorized\"}",
		"refused: 503 Service Unavailable":                      "HTTP/1.1 503 x\r\nContent-Length: 0\r\n",
		"refused: 299":                                          "HTTP/1.1 299 x\r\nContent-Length: 0\r\n",
		"no WebSocket":                                          strings.Replace(yes, "WebSocket\r", "h2c\r", 1),
		"is no WebSocket":                                       strings.Replace(yes, "Connection: Upgrade\r\n", "", 1),
		"refused: 302 Found":                                    "HTTP/1.1 302 x\r\nLocation: ws://localhost:1/\r\nContent-Length: 0\r\n",
		"Sec-WebSocket-Accept is wrong":                         strings.Replace(yes, "KEY", "key", 1),
		"extension":                                             yes + "Sec-WebSocket-Extensions: permessage-deflate\r\n",
		`the subprotocol "v3"`:                                  yes + "Sec-WebSocket-Protocol: v3\r\n",
		"malformed HTTP":                                        "220 mail.test ESMTP\r\n",
		"exceeded 65536 bytes":                                  yes + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 100),
	} {
		url, _ := rawServer(t, answer, "")
		if _, err := Dial(context.Background(), url, Handshake{Subprotocols: []string{"v1"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200q: %v, want %s", answer, err, want)
		}
	}
}

// TestNext: what a server can send, right behind its handshake or later, and what it hears.
func TestNext(t *testing.T) {
	text := func(s string) string { return string(ws.AppendFrame(nil, ws.Text, []byte(s))) }
	frame := func(op ws.Opcode, s string) string { return string(ws.AppendFrame(nil, op, []byte(s))) }
	for name, test := range map[string]struct {
		sent  string
		heard string // of the messages, then of the error
		says  ws.Close
	}{
		"messages":      {text("one") + frame(ws.Binary, "\x00") + text("") + frame(ws.CloseFrame, "\x03\xe8bye"), "one,\x00,,close 1000: bye", ws.Close{Code: 1000, Reason: "bye"}},
		"fragments":     {"\x01\x02on" + frame(ws.Pong, "") + "\x80\x01e" + frame(ws.CloseFrame, "\x03\xe9"), "one,close 1001", ws.Close{Code: 1001}},
		"no code":       {frame(ws.CloseFrame, ""), "close 1005", ws.Close{Code: ws.NoStatus}},
		"bad code":      {frame(ws.CloseFrame, "\x00\x01"), "the server broke the protocol: close 1002", ws.Close{Code: 1002}},
		"masked":        {string(ws.AppendMaskedFrame(nil, ws.Text, [4]byte{1, 2, 3, 4}, []byte("x"))), "the server broke the protocol: close 1002", ws.Close{Code: 1002}},
		"not UTF-8":     {text("\xff"), "the server broke the protocol: close 1007", ws.Close{Code: 1007}},
		"too large":     {text(strings.Repeat("x", 101)), "the server sent more than is taken: messages are limited to 100 bytes", ws.Close{Code: 1009}},
		"not too large": {text(strings.Repeat("x", 100)) + frame(ws.CloseFrame, "\x03\xe8"), strings.Repeat("x", 100) + ",close 1000", ws.Close{Code: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			url, said := rawServer(t, yes, test.sent)
			c := dial(t, url, Handshake{MaxMessage: 100})
			heard := ""
			for {
				data, _, err := c.Next()
				if err != nil {
					heard += err.Error()
					if _, _, again := c.Next(); again != err {
						t.Errorf("and then %v", again)
					}
					break
				}
				heard += string(data) + ","
			}
			if !strings.HasPrefix(heard, test.heard) {
				t.Errorf("heard %q, want %q", heard, test.heard)
			}
			d := ws.Decoder{}
			m, _, ok, err := d.Next([]byte(<-said))
			if how, _ := ws.ParseClose(m.Data); !ok || err != nil || m.Op != ws.CloseFrame || how.Code != test.says.Code {
				t.Errorf("it answers %v, %v", m, err)
			}
		})
	}
}

func TestPing(t *testing.T) { synctest.Test(t, testPing) }

func testPing(t *testing.T) {
	network, said := answersOnce(t, yes, string(ws.AppendFrame(nil, ws.Ping, []byte("there?"))))
	c := dial(t, nearby, Handshake{dial: network})
	before := c.LastRead()
	c.Ping()
	c.Write([]byte("hello"), true)
	c.Goodbye(ws.Close{Code: ws.GoingAway})
	if c.Write([]byte("more"), false) == nil {
		t.Error("it writes behind its close frame")
	}
	_, _, err := c.Next()
	if how, _ := errors.AsType[ws.Close](err); how.Code != ws.Abnormal || !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "timeout") {
		t.Errorf("without an answer it ends with %v", err)
	}
	if !c.LastRead().After(before) {
		t.Error("it has read nothing")
	}
	d, b, ops := ws.Decoder{}, []byte(<-said), ""
	for len(b) > 0 {
		m, n, _, err := d.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		b, ops = b[n:], ops+m.Op.String()+":"+string(m.Data)+" "
	}
	if !strings.HasPrefix(ops, "ping: binary:hello close:\x03\xe9 ") {
		t.Errorf("it said %q", ops)
	}
}

func TestPong(t *testing.T) {
	url := someServer(t, func(r *http.Request, c *websocket.Conn) {
		ctx := c.CloseRead(r.Context())
		if err := c.Ping(ctx); err == nil {
			c.Close(websocket.StatusNormalClosure, "alive")
		}
	})
	if _, _, err := dial(t, url, Handshake{}).Next(); !errors.Is(err, ws.Close{Code: ws.NormalClosure, Reason: "alive"}) {
		t.Errorf("it ends with %v", err)
	}
}

func TestLost(t *testing.T) {
	url := someServer(t, func(_ *http.Request, c *websocket.Conn) { c.CloseNow() })
	c := dial(t, url, Handshake{})
	_, _, err := c.Next()
	if how, ok := errors.AsType[ws.Close](err); !ok || how.Code != ws.Abnormal || !errors.Is(err, io.EOF) {
		t.Errorf("it ends with %v", err)
	}
	hung := dial(t, someServer(t, func(r *http.Request, c *websocket.Conn) { c.Read(r.Context()) }), Handshake{})
	go hung.HangUp()
	if _, _, err := hung.Next(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("hung up, it ends with %v", err)
	}
}
