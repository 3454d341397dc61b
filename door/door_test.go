package door

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"crier/access"
)

const anID = "JC1dgf9yoAMCK-g="

// home has one connection, anID, and remembers what it was asked.
type home struct {
	asked []string
	no    *Refusal // the answer to the next question
}

func (h *home) ask(words ...string) *Refusal {
	h.asked = append(h.asked, strings.Join(words, " "))
	no := h.no
	h.no = nil
	return no
}

func (h *home) Connect(r *http.Request, m Mount, id string, _ *access.Grant) (Socket, *Refusal) {
	if no := h.ask("connect", m.Name, r.URL.RawQuery); no != nil {
		return nil, no
	}
	return socket{h}, nil
}

type socket struct{ home *home }

func (s socket) Protocol() string { return "" }

func (s socket) Serve(nc net.Conn, early []byte) {
	s.home.ask("serve", string(early))
	nc.Write([]byte("served"))
	nc.Close()
}

func (s socket) Abandon() { s.home.ask("abandon") }

func (h *home) Post(id string, data []byte) *Refusal {
	if no := h.ask("post", id, string(data)); no != nil {
		return no
	}
	if id != anID {
		return &Gone
	}
	return nil
}

func (h *home) Info(id string) (Info, *Refusal) {
	return Info{
		ID: id, App: "chat", Topics: []string{"a"}, SourceIP: "192.0.2.1", UserAgent: "wscat", Unread: 2,
		Connected: time.UnixMilli(1561016329388), LastActive: time.UnixMilli(1561016330000),
	}, unless(id)
}

// unless returns a refusal for an id that there is not.
func unless(id string) *Refusal {
	if id == anID {
		return nil
	}
	return &Gone
}

func (h *home) Close(id string) *Refusal { h.ask("close", id); return unless(id) }

func (h *home) Connections(app string, topic *string) ([]Info, Asked) {
	name := "<all>"
	if topic != nil {
		name = *topic
	}
	h.ask("connections", app, name)
	info, _ := h.Info(anID)
	older := info
	older.ID, older.User, older.Connected = "OxxXBfG1oAMActQ=", "ada", info.Connected.Add(-time.Second)
	return []Info{info, older, older}, Asked{}
}

func (h *home) Topics(app string) ([]Topic, Asked) {
	h.ask("topics", app)
	return []Topic{{"rooms", "b", 1}, {"rooms", "a", 2}, {"chat", "", 3}}, Asked{}
}

func (h *home) Remove(app, topic string) int { h.ask("remove", app, topic); return 1 }

func (h *home) Publish(r *http.Request, data []byte, _ *access.Grant) (int, *Refusal) {
	return 7, h.ask("publish", r.URL.RawQuery, string(data))
}

func newGateway(h *home) *Door {
	return New(Config{
		Mounts:      []Mount{{Path: "/", Name: "broadcast"}, {Path: "/chat", Name: "chat", Help: "a chat", Try: "?a=b"}},
		Sockets:     h,
		Connections: h,
		Topics:      h,
		Stats: func() Stats {
			return Stats{Now: 1561016329388, Connections: map[string]int{"chat": 3}, Topics: 2, Messages: 1 << 60}
		},
		MaxMessage: 10,
		Domains:    []string{"domain.example.com"},
		Also:       []string{"/healthz"},
		Log:        slog.New(slog.DiscardHandler),
	})
}

// do asks the gateway as a program on this machine would, unless the request says otherwise.
func do(t *testing.T, h *home, request string, headers ...string) (*http.Response, string) {
	t.Helper()
	return ask(t, newGateway(h), request, headers...)
}

func ask(t *testing.T, g *Door, request string, headers ...string) (*http.Response, string) {
	t.Helper()
	first, body, _ := strings.Cut(request, "\n")
	method, target, _ := strings.Cut(first, " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:1234", "localhost:8080"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Peer":
			r.RemoteAddr = value
		case "Host":
			r.Host = value
		case "Protocol":
			r.Proto = value
			r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(value)
		default:
			r.Header.Add(name, value)
		}
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(answer)
}

func TestManagement(t *testing.T) {
	info := `{"connectedAt":"2019-06-20T07:38:49.388Z","identity":{"sourceIp":"192.0.2.1","userAgent":"wscat"},"lastActiveAt":"2019-06-20T07:38:50.000Z"}` + "\n"
	older := `{"connectionId":"OxxXBfG1oAMActQ=","app":"chat","user":"ada","topics":["a"],"unread":2,"connectedAt":"2019-06-20T07:38:48.388Z",` + info[strings.Index(info, `"identity"`):len(info)-1]
	listed := `{"connectionId":"JC1dgf9yoAMCK-g=","app":"chat","topics":["a"],"unread":2,` + info[1:len(info)-1]
	for _, c := range []struct {
		request string
		status  int
		body    string
		asked   string
	}{
		{"POST /@connections/" + anID + "\nhello", 200, "", "post " + anID + " hello"},
		{"POST /prod/@connections/" + anID + "\nhello", 200, "", "post " + anID + " hello"},
		{"POST /prod/%40connections/JC1dgf9yoAMCK-g%3D\nhello", 200, "", "post " + anID + " hello"},
		{"POST /@connections/OxxXBfG1oAMActQ=\nhello", 410, "", "post OxxXBfG1oAMActQ= hello"},
		{"POST /@connections/OxxXBfG1oAMActQ\nhello", 400, `{"message":"Invalid connectionId: OxxXBfG1oAMActQ"}` + "\n", ""},
		{"POST /@connections/" + anID + "\nmore than ten", 413, `{"message":"the message is larger than the limit"}` + "\n", ""},
		{"GET /@connections/" + anID, 200, info, ""},
		{"GET /@connections/OxxXBfG1oAMActQ=", 410, "", ""},
		{"DELETE /@connections/" + anID, 204, "", "close " + anID},
		{"DELETE /@connections/OxxXBfG1oAMActQ=", 410, "", "close OxxXBfG1oAMActQ="},
		{"PUT /@connections/" + anID, 405, "this path does not know this method\n", ""},
		{"GET /@connections", 200, "[" + older + "," + older + "," + listed + "]\n", "connections  <all>"},
		{"GET /@connections?topic=a%2Fb&app=chat", 200, "[" + older + "," + older + "," + listed + "]\n", "connections chat a/b"},
		{"GET /@connections?topic=", 200, "[" + older + "," + older + "," + listed + "]\n", "connections  "},
		{"POST /publish?topic=a\nhello", 200, `{"ok":true,"heard":7}` + "\n", "publish topic=a hello"},
		{"POST /publish\nmore than ten", 413, `{"message":"the message is larger than the limit"}` + "\n", ""},
		{"GET /publish", 405, "this path does not know this method\n", ""},
		{"GET /topics", 200, `[{"app":"chat","topic":"","members":3},{"app":"rooms","topic":"a","members":2},{"app":"rooms","topic":"b","members":1}]` + "\n", "topics "},
		{"GET /topics/", 200, `[{"app":"chat","topic":"","members":3},{"app":"rooms","topic":"a","members":2},{"app":"rooms","topic":"b","members":1}]` + "\n", "topics "},
		{"GET /topics/a%2Fb?app=chat", 200, `["JC1dgf9yoAMCK-g=","ada"]` + "\n", "connections chat a/b"},
		{"GET /@connections?user=ada", 200, "[" + older + "," + older + "]\n", "connections  <all>"},
		{"GET /@connections?user=ada&limit=1&app=chat", 200, "[" + older + "]\n", "connections chat <all>"},
		{"GET /@connections?user=", 200, "[" + listed + "]\n", "connections  <all>"},
		{"GET /@connections?user=bob", 200, "[]\n", "connections  <all>"},
		{"GET /@connections?limit=1", 200, "[" + older + "]\n", "connections  <all>"},
		{"GET /@connections?limit=0", 200, "[]\n", "connections  <all>"},
		{"GET /@connections?limit=x", 400, `{"message":"a limit is a number, such as ?limit=100"}` + "\n", ""},
		{"GET /topics?limit=2", 200, `[{"app":"chat","topic":"","members":3},{"app":"rooms","topic":"a","members":2}]` + "\n", "topics "},
		{"GET /topics?limit=-1", 400, `{"message":"a limit is a number, such as ?limit=100"}` + "\n", ""},
		{"GET /stats", 200, `{"now":1561016329388,"connections":{"chat":3},"topics":2,"messages":1152921504606846976,"deliveries":0,"bytesIn":0,"bytesOut":0,"backlog":0}` + "\n", ""},
		{"POST /stats", 405, "this path does not know this method\n", ""},
		{"DELETE /topics/a", 200, "1\n", "remove  a"},
		{"DELETE /topics/", 405, "this path does not know this method\n", ""},
	} {
		h := &home{}
		resp, body := do(t, h, c.request)
		if resp.StatusCode != c.status || body != c.body || strings.Join(h.asked, "|") != c.asked {
			t.Errorf("%s\ngot  %d %s asked %q\nwant %d %s asked %q", c.request, resp.StatusCode, body, h.asked, c.status, c.body, c.asked)
		}
		if resp.Header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: no request id", c.request)
		}
	}
}

func TestManagementErrorTypes(t *testing.T) {
	for _, c := range []struct {
		no   *Refusal
		want string
	}{
		{&Gone, "410 GoneException"},
		{&Full, "429 LimitExceededException"},
		{&Busy, "503 "},
	} {
		resp, _ := do(t, &home{no: c.no}, "POST /@connections/"+anID)
		if got := resp.Status[:3] + " " + resp.Header.Get("X-Amzn-Errortype"); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// handshake is what every handshake has.
var handshake = []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}

// but returns a handshake with lines in the place of those that begin with name.
func but(name string, lines ...string) []string {
	kept := lines
	for _, line := range handshake {
		if !strings.HasPrefix(line, name) {
			kept = append(kept, line)
		}
	}
	return kept
}

func fromPage(origin string, lines ...string) []string {
	return append(append([]string{"Origin: " + origin}, lines...), handshake...)
}

// An attempt is a handshake, and how the answer begins.
type attempt struct {
	request string
	headers []string
	want    string
}

// shake makes handshakes, and sees that only those that are accepted ask for anything.
func shake(t *testing.T, attempts map[string]attempt) {
	for name, c := range attempts {
		h := &home{}
		server := httptest.NewServer(newGateway(h))
		nc, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, c.request+"\r\nHost: game.example.com\r\n"+strings.Join(c.headers, "\r\n")+"\r\n\r\nearly")
		nc.(*net.TCPConn).CloseWrite()
		reader := bufio.NewReader(nc)
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		io.Copy(io.Discard, reader) // until the socket has been served
		nc.Close()
		server.Close()
		got := resp.Status[:3] + " " + string(body)
		if resp.StatusCode == 101 {
			got = "101 " + strings.Join(h.asked, "|")
			if accept := resp.Header.Get("Sec-WebSocket-Accept"); accept != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // of RFC 6455, 1.3
				t.Errorf("%s: Sec-WebSocket-Accept: %s", name, accept)
			}
		} else if len(h.asked) > 0 {
			t.Errorf("%s: refused, but asked %q", name, h.asked)
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestHandshake(t *testing.T) {
	shake(t, map[string]attempt{
		"good":               {"GET /chat?a=b HTTP/1.1", handshake, "101 connect chat a=b|serve early"},
		"slash at the end":   {"GET /chat/ HTTP/1.1", handshake, "101 connect chat |serve early"},
		"root":               {"GET / HTTP/1.1", handshake, "101 connect broadcast |serve early"},
		"tokens in any case": {"GET / HTTP/1.1", []string{"Upgrade: WebSocket", "Connection: keep-alive, upgrade", handshake[2], handshake[3]}, "101 "},
		"two upgrades":       {"GET / HTTP/1.1", but("Upgrade", "Upgrade: h2c, websocket"), "101 "},
	})
}

func TestRefusedHandshakes(t *testing.T) {
	shake(t, map[string]attempt{
		"unknown path":          {"GET /nowhere HTTP/1.1", handshake, "404 nothing is served at /nowhere\n"},
		"misspelt path":         {"GET /caht HTTP/1.1", handshake, "404 nothing is served at /caht; did you mean /chat?\n"},
		"below an app":          {"GET /chat/room HTTP/1.1", handshake, "404 "},
		"no upgrade":            {"GET /chat HTTP/1.1", but("Upgrade"), "426 this is a WebSocket, chat: a chat"},
		"another upgrade":       {"GET / HTTP/1.1", but("Upgrade", "Upgrade: h2c"), "426 "},
		"POST":                  {"POST / HTTP/1.1", handshake, "400 a WebSocket handshake is a GET request"},
		"HTTP/1.0":              {"GET / HTTP/1.0", handshake, "400 a WebSocket handshake is an HTTP/1.1 request"},
		"no connection header":  {"GET / HTTP/1.1", but("Connection"), "400 a WebSocket handshake has the header Connection: Upgrade"},
		"version 8":             {"GET / HTTP/1.1", but("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), "426 this server speaks version 13"},
		"no version":            {"GET / HTTP/1.1", but("Sec-WebSocket-Version"), "426 this server speaks version 13"},
		"no key":                {"GET / HTTP/1.1", but("Sec-WebSocket-Key"), "400 a WebSocket handshake has one header Sec-WebSocket-Key"},
		"short key":             {"GET / HTTP/1.1", but("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ="), "400 Sec-WebSocket-Key must be 16 bytes in base64"},
		"key that is no base64": {"GET / HTTP/1.1", but("Sec-WebSocket-Key", "Sec-WebSocket-Key: ****"), "400 Sec-WebSocket-Key must be"},
		"a body":                {"GET / HTTP/1.1", append([]string{"Content-Length: 5"}, handshake...), "400 a WebSocket handshake has no body"},
		"a body in chunks":      {"GET / HTTP/1.1", append([]string{"Transfer-Encoding: chunked"}, handshake...), "400 a WebSocket handshake has no body"},
	})
}

func TestPages(t *testing.T) {
	shake(t, map[string]attempt{
		"foreign page":         {"GET / HTTP/1.1", fromPage("https://evil.example.com"), "403 pages of this origin may not connect"},
		"page of this name":    {"GET / HTTP/1.1", fromPage("https://game.example.com:444"), "403 pages of this origin may not connect"},
		"and through a proxy":  {"GET / HTTP/1.1", fromPage("https://game.example.com:444", "X-Forwarded-For:"), "101 "},
		"page of a domain":     {"GET / HTTP/1.1", fromPage("https://domain.example.com"), "101 "},
		"page on this machine": {"GET / HTTP/1.1", fromPage("http://localhost:3000"), "101 "},
		"page from a file":     {"GET / HTTP/1.1", fromPage("null"), "403 pages from files may not connect; crier serve --files DIR serves them"},
		"in a WebView":         {"GET / HTTP/1.1", fromPage("file://"), "403 pages from files may not connect;"},
	})
}

// TestRefusedPageIsTold: once, however often a page tries.
func TestRefusedPageIsTold(t *testing.T) {
	for origin, hint := range map[string]string{"https://evil.example.com": "--allow-origin", "null": "from a file: crier serve --files DIR", "file://": "setExtraHeaders("} {
		var log strings.Builder
		g := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		r := httptest.NewRequest("GET", "http://game.example.com/", nil)
		r.Header.Set("Origin", origin)
		for range 3 {
			g.tellOfPage(r)
		}
		if strings.Count(log.String(), "refused a page") != 1 || !strings.Contains(log.String(), hint) {
			t.Errorf("logged %s", &log)
		}
	}
}

func TestConnectRefused(t *testing.T) {
	handshake := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	h := &home{no: &TooManyConnections}
	server := httptest.NewServer(newGateway(h))
	defer server.Close()
	r, _ := http.NewRequest("GET", server.URL, nil)
	for _, line := range handshake {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %s with Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
}

func TestIDs(t *testing.T) {
	known := make(map[string]bool)
	for range 1000 {
		id := NewID()
		if !validID(id) || known[id] {
			t.Fatalf("%q: valid %v, seen before %v", id, validID(id), known[id])
		}
		known[id] = true
	}
	for id, want := range map[string]bool{
		"JC1dgf9yoAMCK-g=": true, "OxxXBfG1oAMActQ=": true, "RYG0LEicPHcFo_A=": true,
		"": false, "JC1dgf9yoAMCK-g": false, "JC1dgf9yoAMCK+g=": false, "JC1dgf9yoAMCK-gA": false,
		"JC1dgf9yoAMCK-h=": false, "JC1dgf9yoAMCK-g=\n": false, "cjld2cjxh0000qzrmn831i7rn": false,
	} {
		if validID(id) != want {
			t.Errorf("%q is valid: %v, want %v", id, !want, want)
		}
	}
}

// TestRefusalsAreComplete: every refusal can be told, counted and looked up.
func TestRefusalsAreComplete(t *testing.T) {
	names := make(map[string]bool)
	for _, no := range Refusals() {
		switch {
		case names[no.Name]:
			t.Errorf("%s stands in the table twice", no.Name)
		case (no.Status == 0) == (no.Code == 0):
			t.Errorf("%s must have either a status or a close code", no.Name)
		case no.Say == "" && no.Name != Gone.Name || no.Why == "":
			t.Errorf("%s says too little", no.Name)
		case len(no.Name+": "+no.Say) > 123:
			t.Errorf("%s is too long for a close frame", no.Name)
		}
		names[no.Name] = true
	}
	source, err := os.ReadFile("refusal.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), "= Refusal{"); n != len(names) {
		t.Errorf("%d refusals are written, %d are in the table", n, len(names))
	}
}
