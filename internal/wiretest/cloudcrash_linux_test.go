package wiretest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Processes are those of a function. Each writes its id into a file when it starts, and where it would invoke itself.
type processes struct {
	t    *testing.T
	file string
}

// watched returns a bootstrap that is the program, whose processes are known. The function invokes itself at another place.
func watched(t *testing.T, invoke string) (bootstrap string, p processes) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p = processes{t, filepath.Join(dir, "processes")}
	bootstrap = filepath.Join(dir, "bootstrap")
	script := fmt.Sprintf("#!/bin/sh\necho $$ $AWS_ENDPOINT_URL_LAMBDA >>%s\nAWS_ENDPOINT_URL_LAMBDA=%s exec %s\n", p.file, invoke, path)
	if err := os.WriteFile(bootstrap, []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	return bootstrap, p
}

// lines are what was written, with a line for each process.
func (p processes) lines() []string {
	p.t.Helper()
	said, err := os.ReadFile(p.file)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(said)), "\n")
}

// signal reaches those that are there.
func (p processes) signal(s syscall.Signal) {
	for _, line := range p.lines() {
		id, _, _ := strings.Cut(line, " ")
		if n, err := strconv.Atoi(id); err == nil {
			syscall.Kill(n, s)
		}
	}
}

// invokeURL returns where crier gateway lets functions invoke each other.
func (p processes) invokeURL() string {
	_, at, _ := strings.Cut(p.lines()[0], " ")
	return at
}

// TestCloudCrash: the function crashes in the middle of a message, or takes too long. Its sender is told, those who have it have
// it once, nobody tries again, and the next message is like any other.
func TestCloudCrash(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"crashes": syscall.SIGKILL, "takes too long": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startEndpoint(t)
			bootstrap, processes := watched(t, "")
			s := startFunction(t, function{
				app: "broadcast", concurrency: 1, timeout: 6 * time.Second, bootstrap: bootstrap, variables: []string{"CRIER_ENDPOINT: " + e.URL + "/prod"},
			})
			e.lead(s)
			clients := s.crowd(5)
			e.from(func(n int, _ string) string {
				switch {
				case n < 3:
					return passed
				case n == 3:
					processes.signal(signal)
				}
				return unheard // the function does not live to hear of it
			})
			clients[0].say("one")
			for heard := false; !heard; {
				select {
				case text := <-clients[0].inbox():
					heard = strings.HasPrefix(text, internalError)
				case <-time.After(patience):
					t.Fatal("the sender is not told")
				}
			}
			e.from(nil)
			clients[0].say("two")
			ones := 0
			for i, c := range clients {
				got := ""
				for !strings.Contains(got, "two") {
					select {
					case text := <-c.inbox():
						got += text
					case <-time.After(patience):
						t.Fatalf("client %d got %s", i, got)
					}
				}
				if i > 0 {
					ones += strings.Count(got, "one")
				}
			}
			if ones > 2 {
				t.Errorf("%d copies came of two posts", ones)
			}
			if name == "takes too long" && !strings.Contains(s.log(), "Task timed out") {
				t.Error("it did not take too long")
			}
		})
	}
}

// TestCloudKeeperCrash: with --coalesce, the run that keeps a message dies before it has posted it. Its sender is told that it
// failed. The next message brings it, after two seconds.
func TestCloudKeeperCrash(t *testing.T) {
	t.Parallel()
	bootstrap, processes := watched(t, "")
	s := startFunction(t, function{app: "broadcast", concurrency: 2, bootstrap: bootstrap, variables: []string{"CRIER_COALESCE: 1000"}})
	clients := s.crowd(2)
	clients[0].say("one")
	waits := func() bool {
		for _, r := range s.table.rows() {
			if said, ok := r["said"].(*types.AttributeValueMemberL); ok && len(said.Value) == 1 {
				return true
			}
		}
		return false
	}
	s.settle(waits, "a message to wait")
	processes.signal(syscall.SIGKILL)
	clients[0].hears(internalError)
	time.Sleep(2 * time.Second) // what is tested is that time passes
	clients[1].say("two")
	for i, c := range clients {
		var text string
		select {
		case text = <-c.inbox():
		case <-time.After(patience):
		}
		if lines := strings.Split(text, "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], `{"data":"one",`) || !strings.HasPrefix(lines[1], `{"data":"two",`) {
			t.Errorf("client %d got %q", i, text)
		}
	}
}
