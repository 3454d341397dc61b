//go:build linux

// Package chaos kills, freezes, cuts off and restarts servers that share a log,
// while clients talk on all of them. It has tests only:
//
//	go test ./internal/chaos -chaos 60s -seed 7
//
// The servers are processes: the test's own program, started again. The ports of
// the cluster lead through proxies of the test, one for each direction, so that
// any two servers can be parted. In the end all is well again, and then what each
// client has received is compared, message for message.
package chaos

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

var (
	length = flag.Duration("chaos", time.Minute, "how long there is chaos")
	seed   = flag.Uint64("seed", 0, "what the chaos is computed from; 0: a new one")
	keep   = flag.String("logs", "", "keep the servers' logs in this `directory`")
)

func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		os.Exit(serveJob(job))
	}
	os.Exit(m.Run())
}

// theSeed returns the seed, and prints it.
func theSeed(t *testing.T) uint64 {
	n := *seed
	if n == 0 {
		n = rand.Uint64N(1_000_000) + 1
	}
	t.Logf("seed %d: go test ./internal/chaos -run %s -chaos %v -seed %d", n, t.Name(), *length, n)
	return n
}
