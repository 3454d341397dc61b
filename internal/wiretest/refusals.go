package wiretest

import (
	"bufio"
	"strings"
	"testing"
	"time"
)

func testRefusals(t *testing.T, s server) {
	hostport, _ := s.host()
	for why, c := range map[string]struct {
		request string
		status  int
		body    string   // how it begins
		headers []string // that must be there
	}{
		"an unknown path":      {s.request("/nowhere"), 404, "nothing is served at /nowhere\n", nil},
		"below an app":         {s.request("/chat/room"), 404, "nothing is served at /chat/room\n", nil},
		"a plain request":      {s.but("Upgrade", ""), 426, "this is a WebSocket, broadcast: ", []string{"Upgrade: websocket", "Connection: Upgrade"}},
		"another upgrade":      {s.but("Upgrade", "Upgrade: h2c"), 426, "this is a WebSocket, broadcast: ", []string{"Upgrade: websocket"}},
		"version 8":            {s.but("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426, "this server speaks version 13", []string{"Sec-WebSocket-Version: 13"}},
		"no version":           {s.but("Sec-WebSocket-Version", ""), 426, "this server speaks version 13", []string{"Sec-WebSocket-Version: 13"}},
		"no Connection":        {s.but("Connection", ""), 400, "a WebSocket handshake has the header Connection: Upgrade\n", nil},
		"another Connection":   {s.but("Connection", "Connection: keep-alive"), 400, "a WebSocket handshake has the header Connection: Upgrade\n", nil},
		"no key":               {s.but("Sec-WebSocket-Key", ""), 400, "a WebSocket handshake has one header Sec-WebSocket-Key\n", nil},
		"two keys":             {s.but("X", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 400, "a WebSocket handshake has one header Sec-WebSocket-Key\n", nil},
		"a short key":          {s.but("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ="), 400, "Sec-WebSocket-Key must be 16 bytes in base64\n", nil},
		"a key of other stuff": {s.but("Sec-WebSocket-Key", "Sec-WebSocket-Key: ************************"), 400, "Sec-WebSocket-Key must be 16 bytes in base64\n", nil},
		"POST":                 {strings.Replace(s.request("/"), "GET", "POST", 1), 400, "a WebSocket handshake is a GET request\n", nil},
		"HTTP/1.0":             {strings.Replace(s.request("/"), "HTTP/1.1", "HTTP/1.0", 1), 400, "a WebSocket handshake is an HTTP/1.1 request\n", nil},
		"a bridge to nowhere":  {s.request("/bridge"), 400, "the bridge needs a topic: append ?topicName=Something to the address\n", nil},
		"a bridge to nothing":  {s.request("/bridge?topicName="), 400, "the bridge needs a topic: append ?topicName=Something to the address\n", nil},
		"a misspelt topic":     {s.request("/?topics=a"), 400, "there is no parameter topics; did you mean topic?\n", nil},
		"an array of topics":   {s.request("/?topic%5B%5D=a"), 400, "there is no parameter topic[]; did you mean topic?\n", nil},
		"a misspelt topicName": {s.request("/bridge?topicname=a"), 400, "there is no parameter topicname; did you mean topicName?\n", nil},
		"a misspelt user":      {s.request("/rooms?usr=ada"), 400, "there is no parameter usr; did you mean user?\n", nil},
		"a broken topic":       {s.request("/?topic=50%"), 400, "the query is not understood: invalid URL escape \"%\"\n", nil},
		"two topics in one":    {s.request("/?topic=a;topic=b"), 400, "the query is not understood: invalid semicolon separator in query\n", nil},
		"a foreign page":       {s.but("X", "Origin: https://evil.example.com"), 403, "pages of this origin may not connect", nil},
		"a page of no origin":  {s.but("X", "Origin: null"), 403, "pages from files may not connect", nil},
		"no host":              {"GET / HTTP/1.1\r\n" + upgrade + "\r\n", 400, "", nil},
		"plain GET of nowhere": {"GET /nowhere HTTP/1.1\r\nHost: " + hostport + "\r\n\r\n", 404, "nothing is served at /nowhere\n", nil},
	} {
		a := s.get(t, c.request)
		if a.status != c.status || !strings.HasPrefix(a.body, c.body) || a.body == "" {
			t.Errorf("%s: %d %q, want %d %q", why, a.status, a.body, c.status, c.body)
		}
		if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("%s: the sentence is %q", why, kind)
		}
		for _, line := range c.headers {
			name, value, _ := strings.Cut(line, ": ")
			if got := a.header.Get(name); got != value {
				t.Errorf("%s: the answer has %s: %q, want %q", why, name, got, value)
			}
		}
	}
}

// testMisspelt: a parameter that is probably misspelt is refused in every home, and a parameter of the client's own in none.
func testMisspelt(t *testing.T, s server) {
	for path, status := range map[string]int{
		"/?topics=a": 400, "/?Topic=a": 400, "/?ehco=0": 400, "/bridge?topicname=a": 400, "/rooms?usr=ada": 400,
		"/?token=a.b&_=1": 101, "/bridge?topicName=a&topicId=7": 101, "/chat?topics=a": 101, "/directory?usr=ada": 101,
	} {
		s.get(t, s.request(path)).is(t, path, status)
	}
}

// testLost: who asks for the wrong path, or with the wrong program, is told what to try.
func testLost(t *testing.T, s server) {
	lost := s.get(t, s.request("/nowhere")).body
	for _, served := range []string{"/", "/bridge?topicName=Something", "/chat", "/rooms", "/directory"} {
		if address := s.ws(served); !strings.Contains(lost, address) {
			t.Errorf("who is lost is not told of %s: %s", address, lost)
		}
	}
	for _, served := range []string{"/publish", "/topics", "/@connections", "/stats", "/healthz", "/readyz", "/metrics", "/crier.js"} {
		if !strings.Contains(lost, served) {
			t.Errorf("who is lost is not told of %s: %s", served, lost)
		}
	}
	if a := s.get(t, s.but("Upgrade", "")); !strings.Contains(a.body, `npx wscat -c "`+s.ws("/")+`"`) {
		t.Errorf("who looks with a browser is not told what to try: %s", a.body)
	}
}

// testOrigins: pages of this machine may connect, and pages of the host that a
// proxy serves; others not, however much they look like them.
func testOrigins(t *testing.T, s server) {
	const proxy = "X-Forwarded-For: 203.0.113.7\r\n"
	for origin, status := range map[string]int{
		"http://localhost:3000":             101,
		"http://app.localhost":              101,
		"http://127.0.0.1:5500":             101,
		"http://[::1]:5500":                 101,
		"https://evil.example.com":          403,
		"https://game.example.com.evil.net": 403,
		"https://notgame.example.com":       403,
		"https://example.com":               403,
		"http://localhost.evil.net":         403,
		"http://127.0.0.1.evil.net":         403,
		"http://evil.net/localhost":         403,
		"http://localhost@evil.net":         403,
		"file://":                           403,
		"game.example.com":                  403,
		"null":                              403,
	} {
		for _, through := range []string{"", proxy} {
			s.get(t, s.from(origin, "game.example.com", through)).is(t, "a page of "+origin+" "+through, status)
		}
	}
	for _, origin := range []string{"http://game.example.com", "https://game.example.com:444", "https://GAME.example.com"} {
		s.get(t, s.from(origin, "game.example.com", proxy)).is(t, "through a proxy, a page of "+origin, 101)
	}
	s.get(t, s.from("http://192.168.1.5:3000", "192.168.1.5:8080", "")).is(t, "a page of the address that it connects to", 101)
	s.get(t, s.from("http://192.168.1.6:3000", "192.168.1.5:8080", "")).is(t, "a page of another address", 403)
}

// testRebinding: a page whose name was made to lead to this machine is a
// stranger, though Origin and Host agree.
func testRebinding(t *testing.T, s server) {
	if hostport, _ := s.host(); !strings.HasPrefix(hostport, "localhost:") && !strings.HasPrefix(hostport, "127.0.0.1:") {
		t.Skip("this is about a server on this machine")
	}
	if s.secret() {
		t.Skip("the browser checks the certificate's names")
	}
	for _, name := range []string{"evil.example:9104", "evil.example", "localhost.evil.example:80"} {
		for _, path := range []string{"/", "/bridge?topicName=a", "/chat", "/rooms", "/directory"} {
			request := strings.Replace(s.from("http://"+name, name, ""), "GET / ", "GET "+path+" ", 1)
			a := s.get(t, request)
			a.is(t, path+" for a page of "+name, 403)
			if !strings.Contains(a.body, "--allow-origin") {
				t.Errorf("it is not told what would help: %s", a.body)
			}
		}
	}
}

// from is a handshake of a page, for a host, with more lines.
func (s server) from(origin, host, more string) string {
	return strings.Replace(s.but("Host", "Host: "+host), "\r\n", "\r\nOrigin: "+origin+"\r\n"+more, 1)
}

// testNotHTTP: what is no HTTP gets an answer, and ends.
func testNotHTTP(t *testing.T, s server) {
	for _, request := range []string{
		"hello\r\n\r\n",
		"GET / HTTP/3.7\r\n\r\n",
		"GET / HTTP/1.1\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		string(frames("text:hello text:hello")) + "\r\n\r\n",
	} {
		a := s.get(t, request)
		if a.status < 400 || a.status > 505 || a.body == "" || strings.Contains(a.body, "goroutine ") {
			t.Errorf("%q: %d %q", request, a.status, a.body)
		}
	}
}

// testKeepAliveAfterRefusal: after a refusal the same connection can ask again.
func testKeepAliveAfterRefusal(t *testing.T, s server) {
	nc, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	c := &raw{t: t, nc: nc, in: bufio.NewReader(nc)}
	for _, refused := range []struct {
		request string
		status  int
	}{
		{s.request("/nowhere"), 404},
		{s.but("Upgrade", ""), 426},
		{s.but("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426},
		{s.but("Sec-WebSocket-Key", ""), 400},
		{s.request("/bridge"), 400},
		{s.but("X", "Origin: null"), 403},
	} {
		c.send([]byte(refused.request))
		if a, err := readAnswer(c.in); err != nil || a.status != refused.status {
			t.Fatalf("%q: %d %v, want %d", refused.request, a.status, err, refused.status)
		}
	}
	c.send([]byte(s.request("/?topic=" + unique("again"))))
	if err := switched(c.in); err != nil {
		t.Fatal(err)
	}
	c.send(frames("text:hello"))
	c.gets("a connection like any other", "text:"+mine("hello"))
}
