package wiretest

import (
	"bufio"
	"embed"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The transcripts of /live are in testdata/live. They say what is sent and
// what comes back, byte for byte, except for placeholders (live_template.go).
//
//	== a name: and what it shows
//	ann = /live?topic=~a&user=ada    ann connects; ~a is a topic of this run
//	ann = /live Origin: null         and sends this header with the handshake
//	ann ! /live                      ann tries, and is refused: http < follows
//	eve ~ /live?topic=~a             eve listens to server-sent events
//	ann > {"x":3}                    ann sends a text
//	ann >> abc                       ann sends binary
//	ann < {"x":3,…                   ann receives this frame next
//	ann close 1001                   ann sends a close frame; no number: without a code
//	ann cut                          ann's socket is closed
//	ann quiet                        ann has received everything; this sends one bad message
//	http > POST /live?topic=~a hi    a request and its body
//	http < 200                       the status of its answer
//	http < {"ok":true,…              a line of its body
//
// A line is a step: it is done, or has come true, before the next begins.

//go:embed testdata/live
var liveScripts embed.FS

// testLive plays all transcripts.
func testLive(t *testing.T, s server) {
	files, err := liveScripts.ReadDir("testdata/live")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := liveScripts.ReadFile("testdata/live/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for i, script := range strings.Split(string(text), "\n== ") {
			if name, lines, found := strings.Cut(script, "\n"); found && i > 0 {
				t.Run(strings.TrimSuffix(file.Name(), ".txt")+"/"+name, func(t *testing.T) { s.play(t, lines) })
			}
		}
	}
}

// A stage is where a transcript is played.
type stage struct {
	server
	t      *testing.T
	run    string // what makes topics unique
	values *bindings
	actors map[string]*actor
	answer []string // lines of the latest answer that have not been looked at
}

// An actor is a client in a transcript.
type actor struct {
	nc     net.Conn
	in     *bufio.Reader
	events bool
}

// play plays a transcript.
func (s server) play(t *testing.T, script string) {
	st := &stage{server: s, t: t, run: unique(""), values: newBindings(), actors: make(map[string]*actor)}
	defer func() {
		for _, a := range st.actors {
			a.nc.Close()
		}
	}()
	for i, line := range strings.Split(script, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := st.step(strings.ReplaceAll(line, "~", st.run)); err != nil {
			t.Fatalf("line %d: %s\n%v", i+1, line, err)
		}
	}
}

// step does what a line says.
func (st *stage) step(line string) error {
	name, rest, _ := strings.Cut(line, " ")
	verb, what, _ := strings.Cut(rest, " ")
	if name == "http" {
		return st.web(verb, what)
	}
	filled := st.values.fill(what)
	switch verb {
	case "=", "!", st.run:
		return st.connect(name, verb, filled)
	}
	a := st.actors[name]
	if a == nil {
		return fmt.Errorf("%s is not connected", name)
	}
	switch verb {
	case ">":
		return a.write(opText, filled)
	case ">>":
		return a.write(opBinary, filled)
	case "<":
		return st.expect(a, what)
	case "cut":
		return a.nc.Close()
	case "close":
		code := ""
		if n := 0; what != "" {
			fmt.Sscan(what, &n)
			code = closing(uint16(n), "")
		}
		return a.write(opClose, code)
	case "quiet":
		if err := a.write(opText, `{"_to":0,"_id":"quiet"}`); err != nil {
			return err
		}
		return st.expect(a, `{"_error":{"name":"bad-member","text":"<any>"},"_id":"quiet","_now":<now>}`)
	}
	return fmt.Errorf("there is no verb %q", verb)
}

func (a *actor) write(op byte, payload string) error {
	_, err := a.nc.Write(appendFrame(nil, true, op, []byte(payload)))
	return err
}

// connect connects an actor to a path, perhaps with a header.
func (st *stage) connect(name, verb, what string) error {
	path, header, _ := strings.Cut(what, " ")
	if header != "" {
		header += "\r\n"
	}
	nc, err := st.server.connect()
	if err != nil {
		return err
	}
	nc.SetDeadline(time.Now().Add(patience))
	a := &actor{nc: nc, in: bufio.NewReader(nc), events: verb == st.run}
	st.actors[name] = a
	request := strings.Replace(st.request(path), "\r\n", "\r\n"+header, 1)
	if a.events {
		request = strings.Replace(request, upgrade, "Accept: text/event-stream\r\n", 1)
	}
	if _, err := io.WriteString(nc, request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return err
	}
	if verb == "!" {
		return st.answered(resp)
	}
	want := 101
	if a.events {
		want = 200
		a.in = bufio.NewReader(resp.Body)
	}
	if resp.StatusCode != want {
		sentence, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("the handshake got %s: %s", resp.Status, sentence)
	}
	return nil
}

// expect reads the next frame and compares it.
func (st *stage) expect(a *actor, want string) error {
	got, err := a.next()
	if err != nil {
		return err
	}
	return st.compare(got, want)
}

func (st *stage) compare(got, want string) error {
	if _, ok := st.values.match(want, got); !ok {
		return fmt.Errorf(" got %s\nwant %s", got, st.values.fill(want))
	}
	return nil
}

// next returns the next frame, or event. Pings are answered.
func (a *actor) next() (string, error) {
	if a.events {
		return a.nextEvent()
	}
	for {
		f, err := readFrame(a.in)
		switch {
		case err != nil:
			return "", err
		case f.op == opPing:
			if err := a.write(opPong, string(f.payload)); err != nil {
				return "", err
			}
		case f.op == opText:
			return string(f.payload), nil
		default:
			return f.String(), nil
		}
	}
}

// nextEvent returns the next server-sent event on one line. Comments, which
// keep the connection alive, are passed over.
func (a *actor) nextEvent() (string, error) {
	var lines []string
	for {
		line, err := a.in.ReadString('\n')
		if err != nil {
			return "", noEOF(err)
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, ":"):
		case line != "":
			lines = append(lines, line)
		case len(lines) > 0:
			return strings.Join(lines, " "), nil
		}
	}
}

// web sends a request, or looks at the next line of its answer.
func (st *stage) web(verb, what string) error {
	if verb == "<" {
		if len(st.answer) == 0 {
			return fmt.Errorf("the answer has no more lines")
		}
		got := st.answer[0]
		st.answer = st.answer[1:]
		return st.compare(got, what)
	}
	if left := strings.Join(st.answer, "\n"); left != "" {
		return fmt.Errorf("the answer before has more lines: %s", left)
	}
	method, rest, _ := strings.Cut(st.values.fill(what), " ")
	path, body, _ := strings.Cut(rest, " ")
	r, err := http.NewRequest(method, st.http(path), strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := web.Do(r)
	if err != nil {
		return err
	}
	return st.answered(resp)
}

// answered takes in an answer.
func (st *stage) answered(resp *http.Response) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	st.answer = strings.Split(fmt.Sprintf("%d\n%s", resp.StatusCode, body), "\n")
	return err
}
