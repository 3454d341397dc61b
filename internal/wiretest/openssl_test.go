package wiretest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A stranger is openssl s_client, which speaks a TLS that is not Go's.
type stranger struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan string // what it receives and reports
	cmd   *exec.Cmd
}

// openssl connects to a path with more flags, such as -tls1_3.
func (p *process) openssl(path string, flags ...string) *stranger {
	p.t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		p.t.Fatalf("%v: run make deps, or install openssl", err)
	}
	hostport, _ := p.host()
	s := &stranger{t: p.t, lines: make(chan string, 1000)}
	s.cmd = exec.Command("openssl", append([]string{"s_client", "-connect", hostport, "-CAfile", certFile, "-verify_return_error"}, flags...)...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	s.cmd.Stderr = s.cmd.Stdout
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		lines := bufio.NewScanner(out)
		lines.Split(splitFrames)
		for lines.Scan() {
			s.lines <- lines.Text()
		}
	}()
	p.t.Cleanup(func() {
		s.cmd.Process.Kill()
		for range s.lines {
		}
		s.cmd.Wait()
	})
	s.in.Write([]byte(p.request(path)))
	s.sees("HTTP/1.1 101 ")
	return s
}

// splitFrames splits a mixture of lines and of frames, which end in "}".
func splitFrames(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if at := bytes.IndexAny(data, "\n}"); at >= 0 {
		return at + 1, data[:at+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// sees waits for a text.
func (s *stranger) sees(text string) {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if strings.Contains(line, text) {
				return
			}
			if !ok {
				s.t.Fatalf("it ends without %q", text)
			}
		case <-timeout:
			s.t.Fatalf("it does not see %q", text)
		}
	}
}

// says sends a text message, and waits for its copy.
func (s *stranger) says(text string) {
	s.t.Helper()
	s.in.Write(appendFrame(nil, true, opText, []byte(text)))
	s.sees(fmt.Sprintf(`{"data":"%s","_now":`, text))
}

// TestKeyUpdates: a client may change its keys, and ask the server to change its own.
func TestKeyUpdates(t *testing.T) {
	t.Parallel()
	p := startTLS(t)
	s := p.openssl("/?topic="+unique("keys"), "-tls1_3")
	for n := range 20 {
		s.says(fmt.Sprintf("before %d", n))
		command := "k\n" // it changes its keys
		if n%2 == 0 {
			command = "K\n" // it asks the server to do so, too
		}
		io.WriteString(s.in, command)
		s.sees("KEYUPDATE")
		s.says(fmt.Sprintf("after %d", n))
	}
}

// TestRenegotiation: a client of TLS 1.2 may not begin another handshake.
func TestRenegotiation(t *testing.T) {
	t.Parallel()
	p := startTLS(t)
	other := p.dial(t, "/")
	s := p.openssl("/?topic="+unique("old"), "-tls1_2", "-legacy_renegotiation")
	s.says("hello")
	io.WriteString(s.in, "R\n")
	s.sees("RENEGOTIATING")
	timeout := time.After(patience)
	for ended := false; !ended; {
		select {
		case _, ok := <-s.lines:
			ended = !ok
		case <-timeout:
			t.Fatal("the connection goes on")
		}
	}
	other.say("hello")
	other.hears("the server is well", mine("hello"))
}
