package serve

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"crier/cluster"
)

var clusterLine = regexp.MustCompile(`(?m)^crier_cluster_\w+ .*$`)

// clusterLines returns what is reported of a shared log that measures so.
func clusterLines(measure func() (cluster.Stats, bool)) []string {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(clusterMetrics{measure})
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return clusterLine.FindAllString(w.Body.String(), -1)
}

// TestClusterMetrics: each number of the shared log has a metric of its own.
func TestClusterMetrics(t *testing.T) {
	stats := cluster.Stats{
		State: "ready", Servers: 1, Waiting: 2, Behind: 3, Batches: 4, Records: 5, Bytes: 6, Gaps: 7, Resent: 8,
		Deaths: 9, Incarnations: 10, Checkpoints: 11, Disagreements: 12,
	}
	want := []string{
		"crier_cluster_batches_total 4", "crier_cluster_behind_batches 3", "crier_cluster_bytes_total 6",
		"crier_cluster_checkpoints_total 11", "crier_cluster_deaths_total 9", "crier_cluster_disagreements_total 12",
		"crier_cluster_gaps_filled_total 7", "crier_cluster_incarnations_total 10", "crier_cluster_ready 1",
		"crier_cluster_records_total 5", "crier_cluster_resent_total 8", "crier_cluster_servers 1",
		"crier_cluster_waiting_bytes 2",
	}
	if got := clusterLines(func() (cluster.Stats, bool) { return stats, true }); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestNotJoined: before a server has joined the others, it says that it is not
// ready, and counts nothing.
func TestNotJoined(t *testing.T) {
	stats, ready := newLink().measure()
	if ready || stats != (cluster.Stats{}) {
		t.Errorf("ready is %v, and it counts %+v", ready, stats)
	}
	if lines := clusterLines(newLink().measure); !slices.Contains(lines, "crier_cluster_ready 0") {
		t.Errorf("it does not say that it is not ready: %q", lines)
	}
}

// TestClusterMetricsOfAServer: a server with a log on disk has them, and counts.
// One without has none.
func TestClusterMetricsOfAServer(t *testing.T) {
	if lines := clusterLine.FindAllString(scrape(t, open(t, nil)), -1); len(lines) > 0 {
		t.Errorf("without a shared log: %q", lines)
	}
	s := open(t, func(c *Config) {
		c.Cluster = &cluster.Config{Embedded: &cluster.Embedded{Dir: t.TempDir()}}
	})
	for deadline := time.Now().Add(patience); !s.home.ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server does not become ready: ", s.home.unready())
		}
	}
	for _, want := range []string{"ready 1", "servers 1", "incarnations_total 1", "disagreements_total 0"} {
		if text := scrape(t, s); !strings.Contains(text, "\ncrier_cluster_"+want+"\n") {
			t.Errorf("no %q in\n%s", want, strings.Join(clusterLine.FindAllString(text, -1), "\n"))
		}
	}
	before := value(t, s, "crier_cluster_records_total")
	enter(t, s, "topic=a")
	if after := value(t, s, "crier_cluster_records_total"); after <= before {
		t.Errorf("a client came, and %v records became %v", before, after)
	}
}

func scrape(t *testing.T, s *Server) string {
	t.Helper()
	resp, err := http.Get("http" + strings.TrimPrefix(s.URL(), "ws") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s %v\n%s", resp.Status, err, text)
	}
	return string(text)
}

// value returns the value of a metric without labels.
func value(t *testing.T, s *Server, name string) (v float64) {
	t.Helper()
	text := scrape(t, s)
	line := regexp.MustCompile(`(?m)^` + name + ` (.*)$`).FindStringSubmatch(text)
	if line == nil {
		t.Fatalf("no %s in\n%s", name, text)
	}
	if _, err := fmt.Sscan(line[1], &v); err != nil {
		t.Fatal(err)
	}
	return v
}
