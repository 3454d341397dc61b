package wiretest

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// stall starts a server whose log nobody reads, and has it log more than it keeps.
func stall(t *testing.T) (p *process, log *bufio.Reader) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	p = startLogging(t, in, "--drain", "0s")
	in.Close()
	for i := range 400 {
		p.get(t, fmt.Sprintf("GET /%d/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", i, strings.Repeat("x", 10<<10)))
	}
	return p, bufio.NewReader(out)
}

// TestStalledLog: a log that nobody reads stops no connection, and tells how many lines are missing where they are.
func TestStalledLog(t *testing.T) {
	t.Parallel()
	p, log := stall(t)
	c, other := p.dial(t, "/"), p.dial(t, "/")
	for i := range 100 {
		p.dial(t, "/").bye() // who comes and goes is logged, by loops
		text := fmt.Sprint("message ", i)
		c.say(text)
		c.hears("the server goes on", mine(text))
		other.hears("the server goes on", others(text))
	}

	dropped := regexp.MustCompile(`^time=\S+ level=WARN msg="(\d+) lines were dropped: nobody reads the log fast enough"\n$`)
	ours := regexp.MustCompile(`^time=\S+ level=(DEBUG|INFO) msg=\S.*\n$`)
	lines := 0
	for {
		line, err := log.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if found := dropped.FindStringSubmatch(line); found != nil {
			t.Logf("after %d lines %s were dropped", lines, found[1])
			break
		}
		if lines++; !ours.MatchString(line) {
			t.Fatalf("a line is %.200q", line)
		}
	}
	c.bye()
	other.bye()
	p.stop()
	end := ""
	for line, err := log.ReadString('\n'); err == nil; line, err = log.ReadString('\n') {
		end = line
	}
	p.exits()
	if !strings.HasSuffix(end, " level=INFO msg=stopped\n") {
		t.Errorf("the log ends with %q", end)
	}
}

// TestStalledLogEnds: a server whose log nobody reads can be stopped.
func TestStalledLogEnds(t *testing.T) {
	t.Parallel()
	p, _ := stall(t)
	p.stop()
	p.exits()
}
