package crier

import (
	"bufio"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestWeight: the program is as small, and starts as fast, as
// docs/performance.md says.
func TestWeight(t *testing.T) {
	crier := buildRelease(t)
	t.Run("size", func(t *testing.T) {
		info, err := os.Stat(crier)
		if err != nil {
			t.Fatal(err)
		}
		if mb, want := float64(info.Size())/1e6, stated(t, "size of the program"); mb > 1.25*want {
			t.Errorf(`The program has %.1f MB; docs/performance.md says %.1f. If something calls methods by names that
are known at run time, all methods of all packages are kept. To see what does:
go build -ldflags=-dumpdep -o /dev/null ./cmd/crier 2>&1 | grep '<ReflectMethod> ->'`, mb, want)
		}
	})
	t.Run("serve", func(t *testing.T) {
		home := t.TempDir()
		compareStart(t, "start to listening", func() time.Duration { return untilListening(t, crier, home) })
	})
	t.Run("function", func(t *testing.T) {
		api := newPolls(t)
		compareStart(t, "start to the first poll", func() time.Duration { return api.untilPolled(t, crier) })
	})
}

// buildRelease builds the program as packaging/release does.
func buildRelease(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "crier")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/crier")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// stated returns the last number in a row of a table in docs/performance.md.
func stated(t *testing.T, row string) float64 {
	t.Helper()
	text, err := os.ReadFile("docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\| ` + row + `.*?([\d.]+)[^\d|]*\|$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("docs/performance.md does not state the %s", row)
	}
	number, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// compareStart fails when a start takes more than twice as long as is stated.
// What is stated is a ratio, to the least that a start takes on the machine:
// that of a program that does nothing, namely this test's. Both are measured
// in turns. The shortest of each counts, because the others say more about what
// else the machine does.
func compareStart(t *testing.T, row string, start func() time.Duration) {
	t.Helper()
	want := stated(t, row)
	const enough, patience = 10, 200
	shortest, least := time.Hour, time.Hour
	for n := 1; ; n++ {
		least = min(least, untilEnded(t))
		shortest = min(shortest, start())
		ratio := float64(shortest) / float64(least)
		if n >= enough && ratio <= 2*want {
			t.Logf("%v, %.1f times the %v of a program that does nothing", shortest, ratio, least)
			return
		}
		if n == patience {
			t.Fatalf("%s takes %v, %.1f times the %v of a program that does nothing; docs/performance.md says %.1f times",
				row, shortest, ratio, least, want)
		}
	}
}

func untilEnded(t *testing.T) time.Duration {
	t.Helper()
	nothing, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if out, err := exec.Command(nothing, "-test.run", "^$").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return time.Since(begin)
}

// untilListening returns how long crier serve takes to answer.
func untilListening(t *testing.T, crier, home string) time.Duration {
	t.Helper()
	cmd := exec.Command(crier, "serve", "--listen", "localhost:0")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	end := run(t, cmd)
	defer end()
	address := regexp.MustCompile(`ws(://localhost:\d+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := address.FindStringSubmatch(lines.Text()); found != nil {
			answer, err := http.Get("http" + found[1] + "/healthz")
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("%v, %v", answer, err)
			}
			answer.Body.Close()
			return time.Since(begin)
		}
	}
	t.Fatal("crier serve tells no address")
	return 0
}

// run starts a process. The function that it returns ends it.
func run(t *testing.T, cmd *exec.Cmd) (end func()) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		cmd.Process.Kill()
		if _, ok := errors.AsType[*exec.ExitError](cmd.Wait()); !ok {
			t.Error("the process ended by itself")
		}
	}
}

// polls is a Runtime API that has no events, and takes notice of polls.
type polls struct {
	address string
	came    chan time.Time
}

func newPolls(t *testing.T) polls {
	p := polls{came: make(chan time.Time, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p.came <- time.Now()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	p.address = strings.TrimPrefix(server.URL, "http://")
	return p
}

// untilPolled returns how long crier takes to ask for its first event, as a
// Lambda function.
func (p polls) untilPolled(t *testing.T, crier string) time.Duration {
	t.Helper()
	cmd := exec.Command(crier)
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + p.address, "CRIER_APP=broadcast", "CRIER_TABLE=crier",
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x",
	}
	begin := time.Now()
	defer run(t, cmd)()
	select {
	case at := <-p.came:
		return at.Sub(begin)
	case <-time.After(time.Minute):
		t.Fatal("crier does not poll")
		return 0
	}
}
