package wiretest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// metrics are the numbers of /metrics, by name and labels: crier_connections{app="chat"}.
type metrics map[string]float64

func (s server) metrics(t *testing.T) metrics {
	t.Helper()
	m, err := s.readMetrics()
	if err != nil {
		t.Fatalf("/metrics: %v", err)
	}
	return m
}

// behind are the servers behind a balancer, by its address. It changes only while
// no test runs.
var behind = make(map[server][]server)

// readMetrics is metrics for every goroutine: it does not end the test. Those of
// several servers are added up, as by those who watch them.
func (s server) readMetrics() (metrics, error) {
	m := make(metrics)
	if behind[s] == nil {
		return m, s.addMetrics(m)
	}
	for _, each := range behind[s] {
		if err := each.addMetrics(m); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// addMetrics adds the metrics of one server.
func (s server) addMetrics(m metrics) error {
	a, err := s.tryAsk("GET /metrics")
	if err != nil {
		return err
	}
	if a.status != 200 {
		return fmt.Errorf("%d %s", a.status, a.body)
	}
	for line := range strings.Lines(a.body) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		m[name] += n
	}
	return nil
}

// connections is how many are open, in all apps.
func (m metrics) connections() (n float64) {
	for name, value := range m {
		if strings.HasPrefix(name, "crier_connections{") {
			n += value
		}
	}
	return n
}

const memoryMetric = "process_resident_memory_bytes"

// memory is what the server's process takes, in bytes; 0 if it does not tell.
func (m metrics) memory() float64 { return m[memoryMetric] }

// settles waits until the server holds no more than before: connections, topics, messages, goroutines.
func (s server) settles(t *testing.T, before metrics) {
	t.Helper()
	var after metrics
	defer func() {
		if t.Failed() {
			t.Logf("connections %v, were %v", after.connections(), before.connections())
			for _, name := range held {
				t.Logf("%s %v, was %v", name, after[name], before[name])
			}
		}
	}()
	eventually(t, "the server holds no more than before", func() bool {
		after = s.metrics(t)
		for _, name := range held {
			if after[name] > before[name] {
				return false
			}
		}
		return after.connections() <= before.connections()
	})
}

// held are the numbers that grow with what the server holds for its clients.
var held = []string{"go_goroutines", "crier_topics", "crier_backlog_bytes"}
