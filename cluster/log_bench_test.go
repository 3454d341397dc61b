package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A counting is a machine that counts records.
type counting struct{ records atomic.Uint64 }

func (c *counting) Apply(e *Event) {
	if e.Kind == Record {
		c.records.Add(1)
	}
}
func (c *counting) Save(dst []byte) []byte { return dst }
func (c *counting) Restore([]byte) error   { return nil }
func (c *counting) CutOff(error)           {}

// BenchmarkLog: records of 100 bytes through the log of three servers in one
// process, written by one of them as fast as it takes them.
func BenchmarkLog(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprintf("servers=%d", n), func(b *testing.B) {
			list := peers(b, n, false)
			if n == 1 {
				list = []Embedded{{}}
			}
			logs, machines := make([]*Log, n), make([]*counting, n)
			var opening sync.WaitGroup
			for i, e := range list {
				opening.Go(func() {
					machines[i] = new(counting)
					var err error
					if logs[i], err = Open(b.Context(), Config{Machine: machines[i], Embedded: &e}); err != nil {
						b.Error(err)
					}
				})
			}
			opening.Wait()
			if b.Failed() {
				return
			}
			record := make([]byte, 100)
			for b.Loop() {
				for {
					retry := logs[0].Retry()
					if logs[0].Append(record, nil) == nil {
						break
					}
					<-retry
				}
			}
			for _, m := range machines {
				for m.records.Load() < uint64(b.N) {
					time.Sleep(time.Millisecond)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			for _, l := range logs {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				l.Close(ctx)
				cancel()
			}
		})
	}
}
