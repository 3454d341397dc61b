package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crier/bench"
)

// load is a benchmark as a person asks for it.
type load struct {
	streams
	bench.Config
	key      secret
	insecure bool
	json     bool
}

func newBench() *cobra.Command {
	b := load{Config: bench.Config{URL: "ws://localhost:8080"}, key: clientKey()}
	cmd := &cobra.Command{
		Use:   "bench [URL]",
		Short: "Measure a server, and check that it loses nothing",
		Long: `Open many connections to a server, send messages from some of them, and follow
every message to every connection that should receive it. The result is how many
deliveries a second there were, how late they were, and whether any was lost,
duplicated, out of order or had a wrong _me. If one was, the exit code is 1.

With --rate every publisher sends that many messages a second. The latency of a
message counts from when it was due. With --window that many messages are under
way at any time, so the server works as fast as it can.

A received message of more than 1 MiB ends its connection, so that no server can
fill the memory. With more than 128 connections the limit is lower, but always
enough for the messages of the bench itself.

The bench needs about as much processor time as the server. On one machine, run
them on different processors: taskset -c 0 crier serve, taskset -c 1 crier
bench.`,
		Example: `  crier bench       # a game room: 100 players, 10 messages a second each
  crier bench --subscribers 1000 --publishers 1 --window 64
  crier bench --subscribers 300 --publishers 300 --rate 10 --duration 60s
  crier bench wss://crier.example.com --topic bench --size 1024 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				b.URL = args[0]
			}
			if b.streams, err = streamsOf(cmd); err != nil {
				return err
			}
			if b.Window > 0 && !cmd.Flags().Changed("rate") {
				b.Rate = 0
			}
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return b.run(ctx)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&b.Subscribers, "subscribers", 100, "number of connections; all of them receive")
	f.IntVar(&b.Publishers, "publishers", 100, "how many of them send")
	f.Float64Var(&b.Rate, "rate", 10, "messages a second of each publisher")
	f.IntVar(&b.Window, "window", 0, "instead of --rate: how many messages of all publishers are under way at once")
	f.IntVar(&b.Size, "size", 64, "`BYTES` of a message; at least 39")
	f.DurationVar(&b.Duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&b.Warmup, "warmup", time.Second, "how long to run before measuring")
	f.StringVar(&b.Topic, "topic", "", "send to topic `T` (adds ?topic=T)")
	b.key.flags(f, "a key of the server, or a token")
	insecureFlag(f, &b.insecure)
	f.BoolVar(&b.json, "json", false, "print the result as JSON")
	return cmd
}

func (b *load) run(ctx context.Context) error {
	address, err := webSocketAddress(b.URL)
	if err != nil {
		return err
	}
	b.URL, b.TLS = address.String(), encryption(b.insecure)
	key, err := b.key.read()
	if err != nil {
		return err
	}
	b.Header = make(http.Header)
	bearer(b.Header, key)
	b.Publishers = min(b.Publishers, b.Subscribers)
	if asTerminal(b.errOut) != nil {
		b.Progress = func(p bench.Progress) { fmt.Fprintf(b.errOut, "\r\x1b[K%s", b.progress(p)) }
	}
	result, err := bench.Run(ctx, b.Config)
	if b.Progress != nil {
		fmt.Fprint(b.errOut, "\r\x1b[K")
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if b.json {
		err = json.NewEncoder(b.out).Encode(result)
	} else {
		err = writeResult(b.out, result)
	}
	if err != nil {
		return err
	}
	if err := result.Check(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

func (b *load) progress(p bench.Progress) string {
	if p.Elapsed == 0 {
		return fmt.Sprintf("%d of %d connections", p.Connected, b.Subscribers)
	}
	return fmt.Sprintf("%s of %s: %s deliveries/s",
		p.Elapsed.Round(time.Second), b.Warmup+b.Duration, thousands(float64(p.Deliveries)))
}

// writeResult writes a table for people.
func writeResult(out io.Writer, r bench.Result) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, values...))
	}
	how := fmt.Sprintf("%g a second each", r.Rate)
	if r.Window > 0 {
		how = fmt.Sprintf("%d under way", r.Window)
	}
	row("load", "%d subscribers, %d publishers, %d bytes, %s", r.Subscribers, r.Publishers, r.Size, how)
	row("connected", "in %.2f s", r.ConnectTime)
	row("published", "%s in %.1f s", thousands(float64(r.Published)), r.Seconds)
	row("deliveries", "%s, %s a second", thousands(float64(r.Deliveries)), thousands(r.PerSecond))
	row("latency", "p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms", r.P50, r.P99, r.P999, r.Max)
	row("lost", "%d", r.Lost)
	row("out of order", "%d", r.Disordered)
	if r.Stamped {
		row("wrong _me", "%d", r.WrongMe)
	}
	if r.ServerMemory > 0 {
		row("server", "%.1f MiB resident, %.2f cores, %.2f µs a delivery", float64(r.ServerMemory)/(1<<20), r.ServerCPU,
			r.ServerCPU*1e6/max(r.PerSecond, 1))
	}
	limits := ""
	if r.BenchLimits {
		limits = ": it could do no more, so the server may be faster than this"
	}
	row("bench", "%.2f cores%s", r.BenchCPU, limits)
	return table.Flush()
}

// thousands writes a whole number with separators.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	var groups []string
	for len(s) > 3 {
		groups = append([]string{s[len(s)-3:]}, groups...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, groups...), ",")
}
