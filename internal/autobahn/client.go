package autobahn

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"
)

// connect opens a WebSocket for a case, in a topic that nobody else is in.
func (s Server) connect(c Case) (*conn, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	nc, err := net.DialTimeout("tcp", hostPort(u), patience)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(c.limit(s) + 3*patience)) // whatever happens, it ends
	if c.Octets {
		nc = oneByOne{nc}
	}
	if u.Scheme == "wss" {
		config := s.TLS.Clone()
		if config == nil {
			config = new(tls.Config)
		}
		config.ServerName = u.Hostname()
		nc = tls.Client(nc, config)
	}
	in := bufio.NewReader(nc)
	u.Path, u.RawQuery = u.Path+"/", "topic=autobahn-"+rand.Text()
	extensions, err := shake(nc, in, u, c.Offer)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return listen(nc, in, extensions), nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// limit is how long the case waits for what must come before the end.
func (c Case) limit(s Server) time.Duration {
	return max(c.Limit, s.patience())
}

func (s Server) patience() time.Duration {
	if s.Patience > 0 {
		return s.Patience
	}
	return patience
}

// shake does the opening handshake and returns the extensions that were agreed
// to.
func shake(nc net.Conn, in *bufio.Reader, u *url.URL, offer string) (extensions string, err error) {
	nonce := make([]byte, 16)
	rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	request := "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	if offer != "" {
		request += "Sec-WebSocket-Extensions: " + offer + "\r\n"
	}
	if _, err := io.WriteString(nc, request+"\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return "", err
	}
	accept := acceptKey(key)
	switch h := resp.Header; {
	case resp.StatusCode != http.StatusSwitchingProtocols:
		return "", errors.New(resp.Status)
	case !strings.EqualFold(h.Get("Upgrade"), "websocket"), !strings.EqualFold(h.Get("Connection"), "upgrade"):
		return "", fmt.Errorf("upgraded to %q", h.Get("Upgrade"))
	case h.Get("Sec-WebSocket-Accept") != accept:
		return "", fmt.Errorf("Sec-WebSocket-Accept is %q, want %q", h.Get("Sec-WebSocket-Accept"), accept)
	}
	return resp.Header.Get("Sec-WebSocket-Extensions"), nil
}

// acceptKey is what a server must answer to a Sec-WebSocket-Key.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A oneByOne is a socket that writes every octet by itself.
type oneByOne struct{ net.Conn }

func (o oneByOne) Write(b []byte) (n int, err error) {
	for i := range b {
		m, err := o.Conn.Write(b[i : i+1])
		n += m
		if err != nil {
			return n, err
		}
		breathe()
	}
	return n, nil
}

// breathe gives the server the time to read one octet before the next one comes.
// A server that is slower reads some at once, and is tested, too. Sleeping would
// take a millisecond.
func breathe() {
	for began := time.Now(); time.Since(began) < 20*time.Microsecond; {
		runtime.Gosched()
	}
}

// unstamp takes a text message out of the object that the broadcast app makes of
// it. For encoding/json any bytes will do, so the text must be UTF-8 before.
func unstamp(stamped []byte) ([]byte, error) {
	if !utf8.Valid(stamped) {
		return nil, errors.New("the server sent text that is not UTF-8")
	}
	var copied struct {
		Data *string `json:"data"`
		Now  int64   `json:"_now"`
		Me   bool    `json:"_me"`
	}
	in := json.NewDecoder(bytes.NewReader(stamped))
	in.DisallowUnknownFields()
	if err := in.Decode(&copied); err != nil {
		return nil, fmt.Errorf("a text message came back as %.40q: %w", stamped, err)
	}
	if _, err := in.Token(); copied.Data == nil || copied.Now == 0 || !copied.Me || err != io.EOF {
		return nil, fmt.Errorf("a text message came back as %.40q", stamped)
	}
	return []byte(*copied.Data), nil
}
