package bench

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFloor compares the processor time that crier takes for a delivery with the floor's, the least that a server can do.
// Both are measured in turns in one run, and the best second of each counts: that says little about how fast a machine is,
// and much about what crier does that need not be done. docs/performance.md has the numbers of a quiet machine.
func TestFloor(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures, which the race detector makes meaningless")
	}
	crier := start(t, "crier/cmd/crier", "serve", "--listen", "127.0.0.1:0", "--log-level", "error")
	floor := start(t, "crier/bench/floor", "127.0.0.1:0")
	for _, c := range []struct {
		name   string
		window int
		most   float64 // times the floor's
	}{
		{"one at a time", 1, 1.5},
		{"64 under way", 64, 2.2},
	} {
		for tries := 1; ; tries++ {
			ours, least := crier.perDelivery(t, c.window), floor.perDelivery(t, c.window)
			t.Logf("%s: %.3f µs a delivery, the floor %.3f: %.2f times", c.name, ours, least, ours/least)
			if ours <= c.most*least {
				break
			}
			if tries == 3 { // a noisy neighbour, but not three times
				t.Errorf("%s: a delivery costs %.2f times the floor's, want at most %.2f", c.name, ours/least, c.most)
				break
			}
		}
	}
}

// A process is a server under test.
type process struct {
	url string
	pid int
}

// start builds a command of this module, starts it and waits until it says where it listens.
func start(t *testing.T, path string, args ...string) process {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "server")
	if out, err := exec.Command("go", "build", "-o", binary, path).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", path, err, out)
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if i := strings.Index(lines.Text(), "ws://"); i >= 0 {
			url, _, _ := strings.Cut(lines.Text()[i:], " ")
			return process{url, cmd.Process.Pid}
		}
	}
	t.Fatalf("%s does not say where it listens", path)
	return process{}
}

// perDelivery returns the microseconds of processor time that a delivery takes in the best second.
func (p process) perDelivery(t *testing.T, window int) float64 {
	t.Helper()
	best, last := math.Inf(1), time.Duration(0)
	result, err := Run(context.Background(), Config{
		URL: p.url, Subscribers: 500, Publishers: 1, Window: window, Size: 64, Duration: 3500 * time.Millisecond,
		Progress: func(progress Progress) {
			if progress.Elapsed == 0 {
				return // it is still connecting
			}
			now := p.cpu(t)
			if last > 0 && progress.Deliveries > 0 {
				best = min(best, (now-last).Seconds()*1e6/float64(progress.Deliveries))
			}
			last = now
		},
	})
	if err == nil {
		err = result.Check()
	}
	if err != nil || math.IsInf(best, 1) {
		t.Fatalf("%d deliveries, %v", result.Deliveries, err)
	}
	return best
}

// cpu is the time that the process's threads have run, https://docs.kernel.org/scheduler/sched-stats.html.
func (p process) cpu(t *testing.T) (total time.Duration) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no schedstat of process %d: %v", p.pid, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		total += time.Duration(ns)
	}
	return total
}
