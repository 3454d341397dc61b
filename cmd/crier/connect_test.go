package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// peer is a server whose WebSockets are handled by talk, which ends with the connection.
func peer(t *testing.T, talk func(*http.Request, *websocket.Conn)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v2"}, InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(2 << 20)
		talk(r, conn)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// echo sends everything back and reports how the client left.
func echo(left chan<- error) func(*http.Request, *websocket.Conn) {
	return func(r *http.Request, conn *websocket.Conn) {
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil {
				left <- err
				return
			}
			conn.Write(r.Context(), kind, data)
		}
	}
}

// piped runs crier connect between two pipes, to which args are added.
func piped(t *testing.T, input io.Reader, args ...string) (out, errOut string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := newConnect()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	var o, e bytes.Buffer
	cmd.SetIn(input)
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(ctx)
	return o.String(), e.String(), err
}

func TestPipeSendsLinesAndPrintsReplies(t *testing.T) {
	left := make(chan error, 1)
	server := peer(t, echo(left))
	out, errOut, err := piped(t, strings.NewReader("one\r\n{\"two\": 2}\n\nlast, without newline"), server, "--wait", "300ms")
	if err != nil || errOut != "" {
		t.Fatalf("err %v, stderr %q", err, errOut)
	}
	if want := "one\n{\"two\": 2}\n\nlast, without newline\n"; out != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	if code := websocket.CloseStatus(<-left); code != websocket.StatusNormalClosure {
		t.Errorf("left with %d, want 1000", code)
	}
}

// TestPipeHasLines: a message is one line, whatever is in it, unless --raw is given.
func TestPipeHasLines(t *testing.T) {
	server := peer(t, func(r *http.Request, conn *websocket.Conn) {
		for _, text := range []string{"hi\n{\"forged\":true}\r\n", "\x1b[2J\u2028", "{\n\t\"a\": \"\u0085\",\r\n  \"b\": 1.0\n}\n", `C:\new`} {
			conn.Write(r.Context(), websocket.MessageText, []byte(text))
		}
		conn.Write(r.Context(), websocket.MessageBinary, []byte("\x00\xff\nforged"))
		conn.Close(websocket.StatusNormalClosure, "done\nforged")
	})
	for flag, want := range map[string]string{
		"--json=false": `hi\n{"forged":true}\r\n` + "\n" + `\u001b[2J\u2028` + "\n" + `{"a":"\u0085","b":1.0}` + "\n" + `C:\new` + "\n" + `\u0000\xff\nforged` + "\n",
		"--json":       `"hi\n{\"forged\":true}\r\n"` + "\n" + `"\u001b[2J\u2028"` + "\n" + `{"a":"\u0085","b":1.0}` + "\n" + `"C:\\new"` + "\n" + `"AP8KZm9yZ2Vk"` + "\n",
		"--raw":        "hi\n{\"forged\":true}\r\n\n\x1b[2J\u2028\n{\n\t\"a\": \"\u0085\",\r\n  \"b\": 1.0\n}\n\n" + `C:\new` + "\n\x00\xff\nforged\n",
	} {
		out, errOut, err := piped(t, nobody(), server, flag)
		if err != nil || out != want {
			t.Errorf("with %s it printed %q, %v; want %q", flag, out, err, want)
		}
		if want := "closed: 1000 done forged\n"; errOut != want {
			t.Errorf("stderr %q, want %q", errOut, want)
		}
	}
	if _, _, err := piped(t, nobody(), server, "--raw", "--json"); err == nil || err.Error() != "--json and --raw: there can be one of the two" {
		t.Errorf("with both flags: %v", err)
	}
}

// TestShortConnection: a connection that is over before anybody looks was still
// a connection.
func TestShortConnection(t *testing.T) {
	done := make(chan struct{})
	close(done)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		c := conversation{opened: done, closed: done}
		if err := c.meet(over); err != nil {
			t.Fatal(err)
		}
	}
}

// nobody types on this input. Closing it is the reader's part.
func nobody() io.Reader {
	in, _ := io.Pipe()
	return in
}

func TestHandshake(t *testing.T) {
	seen := make(chan *http.Request, 1)
	server := peer(t, func(r *http.Request, conn *websocket.Conn) {
		seen <- r
		conn.Close(websocket.StatusNormalClosure, conn.Subprotocol())
	})
	_, errOut, err := piped(t, strings.NewReader(""), server+"/chat?topic=a+b", "--user", "ada & bob", "--topic", "x", "--topic", "y,z",
		"--header", "X-One: 1", "--header", "X-One:2", "--header", "Host: crier.test", "--origin", "https://o.test", "--subprotocol", "v1", "--subprotocol", "v2")
	if err != nil {
		t.Fatal(err)
	}
	r := <-seen
	if want := "/chat?topic=a+b&user=ada+%26+bob&topic=x&topic=y%2Cz"; r.RequestURI != want {
		t.Errorf("asked for %q, want %q", r.RequestURI, want)
	}
	if got := strings.Join(r.Header["X-One"], "|"); got != "1|2" || r.Host != "crier.test" || r.Header.Get("Origin") != "https://o.test" {
		t.Errorf("X-One %q, Host %q, Origin %q", got, r.Host, r.Header.Get("Origin"))
	}
	if want := "closed: 1000 v2\n"; errOut != want {
		t.Errorf("stderr %q, want %q", errOut, want)
	}
}

func TestWhatEndsAConnection(t *testing.T) {
	closing := func(code websocket.StatusCode, reason string) string {
		return peer(t, func(_ *http.Request, conn *websocket.Conn) { conn.Close(code, reason) })
	}
	refusing := func(status int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	cut := peer(t, func(_ *http.Request, conn *websocket.Conn) { conn.CloseNow() })
	huge := peer(t, func(r *http.Request, conn *websocket.Conn) {
		conn.Write(r.Context(), websocket.MessageText, make([]byte, maxReceived+1))
		conn.Read(r.Context())
	})
	free := freeAddress(t)
	for name, test := range map[string]struct{ url, want string }{
		"too slow":       {closing(1013, "read faster"), "closed: 1013 read faster"},
		"going away":     {closing(1001, ""), "closed: 1001"},
		"hostile reason": {closing(1008, "a\x1b[2J\nb"), `closed: 1008 a\x1b[2J b`},
		"no code":        {closing(websocket.StatusNoStatusRcvd, ""), "closed: 1005 the server gave no close code"},
		"cut":            {cut, "closed: 1006 the connection was lost without a close frame"},
		"too big":        {huge, "a message is larger than the 8 MiB that crier connect takes"},
		"refused":        {refusing(400, "append ?topicName=…\n"), "refused: 400 Bad Request: append ?topicName=…"},
		"refused mutely": {refusing(403, ""), "refused: 403 Forbidden"},
		"no WebSocket":   {refusing(200, "<p>\nhello"), "refused: 200 OK: the answer is a page for browsers; is it the right address?"},
		"nobody":         {free, "nobody listens at " + free + ": is crier serve running?"},
		"not an address": {"ftp://x", `"ftp://x": the scheme should be ws, wss, http or https`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := piped(t, nobody(), test.url); err == nil || err.Error() != test.want {
				t.Errorf("ended with %v, want %s", err, test.want)
			}
		})
	}
}

// freeAddress is one at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestLongestLine(t *testing.T) {
	left := make(chan error, 2)
	server := peer(t, echo(left))
	longest := strings.Repeat("x", maxLine) + "\n"
	in, typing := io.Pipe()
	go func() { io.WriteString(typing, longest); typing.Close() }()
	if out, _, err := piped(t, in, server); err != nil || out != longest {
		t.Errorf("of 1 MiB %d bytes came back, %v", len(out), err)
	}
	_, _, err := piped(t, strings.NewReader("fine\nx"+longest+"never\n"), server)
	if err == nil || !strings.HasPrefix(err.Error(), "line 2 is longer than 1 MiB") {
		t.Errorf("beyond 1 MiB: %v", err)
	}
	if code := websocket.CloseStatus(<-left); code != websocket.StatusNormalClosure {
		t.Errorf("left with %d, want 1000", code)
	}
}

func TestLineThatIsNotUTF8(t *testing.T) {
	server := peer(t, echo(make(chan error, 1)))
	_, _, err := piped(t, strings.NewReader("\xff\n"), server)
	if err == nil || !strings.HasPrefix(err.Error(), "line 1 is not UTF-8") {
		t.Errorf("got %v", err)
	}
}

func TestSilentServerIsNotWaitedFor(t *testing.T) {
	release := make(chan struct{})
	server := peer(t, func(*http.Request, *websocket.Conn) { <-release })
	defer close(release)
	start := time.Now()
	if _, _, err := piped(t, strings.NewReader("hello\n"), server, "--wait", "0"); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > goodbyeWait+2*time.Second {
		t.Errorf("goodbye took %v", took)
	}
}

func TestInterruptSaysGoodbye(t *testing.T) {
	left := make(chan error, 1)
	server := peer(t, func(r *http.Request, conn *websocket.Conn) {
		conn.Write(r.Context(), websocket.MessageText, []byte("welcome"))
		echo(left)(r, conn)
	})
	ctx, interrupt := context.WithCancel(context.Background())
	in, _ := io.Pipe()
	out := writerFunc(func(b []byte) (int, error) { interrupt(); return len(b), nil })
	c := connect{url: server, streams: streams{in: in, out: out, errOut: io.Discard}, wait: time.Hour}
	if err := c.run(ctx); err != nil {
		t.Error(err)
	}
	if code := websocket.CloseStatus(<-left); code != websocket.StatusNormalClosure {
		t.Errorf("left with %d, want 1000", code)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestAddresses(t *testing.T) {
	for typed, want := range map[string]string{
		"ws://localhost:8080":           "ws://localhost:8080",
		"http://localhost:8080/a?b=c#d": "ws://localhost:8080/a?b=c",
		"https://crier.test":            "wss://crier.test",
		"WSS://crier.test":              "wss://crier.test",
		"localhost:8080":                "ws://localhost:8080",
		"crier.test":                    "ws://crier.test",
		":9000/rooms":                   "ws://localhost:9000/rooms",
		"[::1]:8080?u=http://x":         "ws://[::1]:8080?u=http://x",
		"10.0.0.1:80":                   "ws://10.0.0.1:80",
		"ftp://x":                       "",
		"":                              "",
		"ws://":                         "",
		"http://[":                      "",
		"/chat":                         "",
	} {
		u, err := webSocketAddress(typed)
		if want == "" && err == nil || want != "" && (err != nil || u.String() != want) {
			t.Errorf("%q became %v, %v; want %q", typed, u, err, want)
		}
	}
	if u, err := httpAddress("wss://crier.test/x"); err != nil || u.String() != "https://crier.test/x" {
		t.Errorf("got %v, %v", u, err)
	}
}

func TestNothingTakesOverTheTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ümläut, 👩‍🚀\tand\nlines": "plain, ümläut, 👩‍🚀\tand\nlines",
		"\x1b]0;title\x07":               `\x1b]0;title\x07`,
		"a\rb\b\x00\x7f":                 `a\x0db\x08\x00\x7f`,
		"\u009b2J":                       `\u009b2J`,
		"\x9b2J":                         `\x9b2J`,
		"abc\u202egnp":                   `abc\u202egnp`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestLooks(t *testing.T) {
	const text, binary = false, true
	prompt := look{terminal: true, mark: "< "}
	for name, test := range map[string]struct {
		look look
		kind bool
		data string
		want string
	}{
		"text":                  {prompt, text, "hello", "< hello\n"},
		"lines stay together":   {prompt, text, "a\n< b", "< a\n  < b\n"},
		"binary on a terminal":  {prompt, binary, "hello", "< (binary, 5 bytes) 68 65 6c 6c 6f\n"},
		"one byte":              {prompt, binary, "\x00", "< (binary, 1 byte) 00\n"},
		"no bytes":              {prompt, binary, "", "< (binary, 0 bytes)\n"},
		"colour":                {look{terminal: true, colour: true, mark: "< "}, text, "hi", green + "< " + plain + "hi\n"},
		"no mark":               {look{terminal: true, colour: true}, text, "\x07", "\\x07\n"},
		"lines of a pipe's":     {look{terminal: true}, text, "a\n12:00 b", "a\n  12:00 b\n"},
		"json":                  {look{json: true}, text, ` {"a":[1.0,{}],"big":12345678901234567890}`, ` {"a":[1.0,{}],"big":12345678901234567890}` + "\n"},
		"json in lines":         {look{json: true}, text, "{\n\"a\":\r[1.0,\t{}],\n\"big\":12345678901234567890}\n", `{"a":[1.0,{}],"big":12345678901234567890}` + "\n"},
		"escapes in json":       {look{}, text, "[\"\\n\\u2028\x7f\u009b\u2029\u202e<&\"]", "[\"\\n\\u2028\\u007f\\u009b\\u2029\u202e<&\"]\n"},
		"text as json":          {look{json: true}, text, "\"a\" <&>\u009b", `"\"a\" <&>\u009b"` + "\n"},
		"tabs are no lines":     {look{}, text, "a\tb \\ é 👩\u200d🚀", "a\tb \\ é 👩\u200d🚀\n"},
		"almost json":           {look{}, text, "{\n\"a\":1,}", `{\n"a":1,}` + "\n"},
		"no character":          {look{}, text, "\ufffd\a\ufffd", "\ufffd\\u0007\ufffd\n"},
		"nothing":               {look{}, text, "", "\n"},
		"raw":                   {look{raw: true}, text, "a\n\x1b", "a\n\x1b\n"},
		"json on a terminal":    {look{terminal: true, json: true, mark: "< "}, text, `{"a":1}`, "< {\n    \"a\": 1\n  }\n"},
		"json in colour":        {look{terminal: true, colour: true, json: true}, text, `{"a":["\":",-1,null]}`, "{\n    " + blue + `"a"` + plain + ": [\n      " + green + `"\":"` + plain + ",\n      " + cyan + "-1" + plain + ",\n      " + yellow + "null" + plain + "\n    ]\n  }\n"},
		"not json":              {look{terminal: true, colour: true, json: true}, text, "true story", "true story\n"},
		"control codes in json": {look{terminal: true, colour: true, json: true}, text, "\"\u009b\"", green + "\"\\u009b\"" + plain + "\n"},
		"binary is not json":    {look{json: true}, binary, "[1]", `"WzFd"` + "\n"},
		"binary":                {look{}, binary, "\x00\xff\xc3\xa9\r", `\u0000\xffé\r` + "\n"},
	} {
		if got := string(test.look.message([]byte(test.data), test.kind)); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestInterruptibleInput(t *testing.T) {
	file, typing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer typing.Close()
	in, err := interruptible(file)
	if err != nil {
		t.Fatal(err)
	}
	typing.WriteString("hi")
	buf := make([]byte, 8)
	if n, err := in.Read(buf); string(buf[:n]) != "hi" || err != nil {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	read := make(chan error)
	go func() { _, err := in.Read(buf); read <- err }()
	in.Close()
	if err := <-read; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("an interrupted read gave %v", err)
	}
}

// TestReconnect: what is said in the pause is kept, and the person is told of it once.
func TestReconnect(t *testing.T) {
	n := 0
	left := make(chan error, 1)
	server := peer(t, func(r *http.Request, conn *websocket.Conn) {
		if n++; n == 1 {
			conn.Read(r.Context())
			conn.Close(websocket.StatusServiceRestart, "back soon")
			return
		}
		echo(left)(r, conn)
	})
	in, typing := io.Pipe()
	var out, noted strings.Builder
	notes := writerFunc(func(b []byte) (int, error) {
		if noted.Len() == 0 { // it is trying again
			go func() {
				io.WriteString(typing, strings.Repeat("two\n", 200))
				typing.Close()
			}()
		}
		return noted.Write(b)
	})
	go io.WriteString(typing, "one\n")
	c := connect{url: server, reconnect: true, wait: time.Second, streams: streams{in: in, out: &out, errOut: notes}}
	if err := c.run(t.Context()); err != nil {
		t.Error(err)
	}
	if want := strings.Repeat("two\n", 200); out.String() != want {
		t.Errorf("printed %q", out.String())
	}
	if want := "trying again: closed: 1012 back soon\nconnected again\n"; noted.String() != want {
		t.Errorf("noted %q, want %q", noted.String(), want)
	}
	if code := websocket.CloseStatus(<-left); code != websocket.StatusNormalClosure {
		t.Errorf("left with %d, want 1000", code)
	}
}

func TestReconnectEnds(t *testing.T) {
	server := peer(t, func(_ *http.Request, conn *websocket.Conn) { conn.Close(websocket.StatusPolicyViolation, "go away") })
	if _, _, err := piped(t, nobody(), server, "--reconnect"); err == nil || err.Error() != "closed: 1008 go away" {
		t.Errorf("it ends with %v", err)
	}
	ctx, interrupt := context.WithCancel(context.Background())
	notes := writerFunc(func(b []byte) (int, error) { interrupt(); return len(b), nil })
	c := connect{url: freeAddress(t), reconnect: true, streams: streams{in: io.NopCloser(nobody()), out: io.Discard, errOut: notes}}
	if err := c.run(ctx); err == nil || err.Error() != "interrupted" {
		t.Errorf("while nobody listens it ends with %v", err)
	}
}

// TestLive: with --app live and --reconnect a lost connection is resumed, and
// what was on its way is sent again.
func TestLive(t *testing.T) {
	n := 0
	queries := make(chan string, 2)
	left := make(chan error, 1)
	server := peer(t, func(r *http.Request, conn *websocket.Conn) {
		queries <- r.URL.RequestURI()
		greeting := `{"_hello":{"id":"I","resume":"R","offset":"e-1","missed":false,"said":0,"here":[]},"_topic":"a b","_now":1}`
		conn.Write(r.Context(), websocket.MessageText, []byte(greeting))
		conn.Write(r.Context(), websocket.MessageText, []byte(`{"_ready":true,"_topic":"a b","_offset":"e-1","_now":1}`))
		_, data, err := conn.Read(r.Context())
		if n++; n == 1 || err != nil {
			conn.Close(websocket.StatusTryAgainLater, "")
			return
		}
		conn.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, `{"data":%q,"_topic":"a b","_from":"I","_offset":"e-2","_now":1,"_me":true}`, data))
		echo(left)(r, conn)
	})
	out, errOut, err := piped(t, strings.NewReader("hi\n"), server, "--app", "live", "--topic", "a b", "--reconnect")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out, `{"data":"hi","_topic":"a b","_from":"I","_offset":"e-2","_now":1,"_me":true}`+"\n") || strings.Count(out, "_hello") != 2 {
		t.Errorf("printed %s", out)
	}
	if !strings.HasSuffix(errOut, "connected again\n") || strings.Contains(errOut, "unsure") {
		t.Errorf("noted %q", errOut)
	}
	for _, want := range []string{"/live?topic=a+b", "/live?resume=R&since=e-1&topic=a+b"} {
		if got := <-queries; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	}
	if code := websocket.CloseStatus(<-left); code != websocket.StatusNormalClosure {
		t.Errorf("left with %d, want 1000", code)
	}
}

func TestApp(t *testing.T) {
	for args, want := range map[string]string{
		"ws://h --app rooms":                  "ws://h/rooms",
		"ws://h/?a=b --app chat":              "ws://h/chat?a=b",
		"ws://h/here/live?topic=a --app live": "ws://h/here/live?topic=a",
		"ws://h --app live":                   "live has topics only: say which with --topic",
		"ws://h --app lives":                  `--app "lives" is none of broadcast, bridge, chat, rooms, directory, live`,
	} {
		parts := strings.Fields(args)
		c := connect{url: parts[0], app: parts[2]}
		u, err := c.address()
		got := fmt.Sprint(u)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s is %s, want %s", args, got, want)
		}
	}
}
