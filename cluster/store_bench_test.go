package cluster

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkStore stores batches one after the other, as a server does. ready-ms
// is how long the servers take until they have a leader, idle-MB what the
// process holds then for each of them, with the benchmark's own.
func BenchmarkStore(b *testing.B) {
	for _, c := range []struct {
		name    string
		servers int
		files   bool
	}{{"1/memory", 1, false}, {"1/files", 1, true}, {"3/memory", 3, false}, {"3/files", 3, true}} {
		b.Run(c.name, func(b *testing.B) {
			list := peers(b, c.servers, c.files)
			if c.servers == 1 {
				list[0].Listen, list[0].Peers = "", nil
			}
			begin := time.Now()
			backends := make([]backend, c.servers)
			var all sync.WaitGroup
			for i, e := range list {
				all.Go(func() {
					cb := callbacks{func(message) {}, func([]byte) []byte { return nil }}
					log := slog.New(slog.DiscardHandler)
					var err error
					if backends[i], err = openEmbedded(b.Context(), e, testLargest, log, cb); err != nil {
						b.Error(err)
					}
				})
			}
			all.Wait()
			if b.Failed() {
				b.FailNow()
			}
			ready := time.Since(begin)
			for _, end := range backends {
				defer end.Close()
			}
			idle := residentMB(b)
			data := make([]byte, 4096)
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				if _, err := backends[0].Store(context.Background(), data, anyLast); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(ready.Milliseconds()), "ready-ms")
			b.ReportMetric(idle/float64(c.servers), "idle-MB")
		})
	}
}

// residentMB returns how much memory the process holds.
func residentMB(b *testing.B) float64 {
	runtime.GC()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kB, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kB) / 1000
}
