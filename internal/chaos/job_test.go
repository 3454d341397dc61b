//go:build linux

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"crier/cluster"
	"crier/serve"
)

// jobVariable is the environment variable that makes the test's program a server.
const jobVariable = "CHAOS_JOB"

// A job says what server a process is.
type job struct {
	Name     string
	Linger   time.Duration
	Embedded *cluster.Embedded
	NATS     *cluster.NATS
}

// checkpointBytes is small, so that there are many checkpoints, purges and
// restores.
const checkpointBytes = 256 << 10

// serveJob is a server until SIGTERM, or until its standard input ends. Then the
// test has ended, too. On its standard output it says its address, and answers
// each line of its standard input with its digest.
func serveJob(text string) int {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		panic(err)
	}
	config := serve.Defaults()
	config.Listen = "127.0.0.1:0"
	config.Linger, config.Drain = j.Linger, time.Second
	config.Memory, config.Backlog = 64<<20, 4<<20
	config.History = 300 // of the busiest topics, some ten seconds
	config.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.Cluster = &cluster.Config{
		Name: j.Name, CheckpointBytes: checkpointBytes, Embedded: j.Embedded, NATS: j.NATS,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := serve.Open(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		return 1
	}
	fmt.Println(s.URL())
	go answer(ctx, s)
	if err := s.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		return 1
	}
	return 0
}

func answer(ctx context.Context, s *serve.Server) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		sum, err := s.Digest(ctx)
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Printf("%x\n", sum)
	}
	os.Exit(2) // the test is gone
}
