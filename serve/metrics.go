package serve

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"crier/cluster"
	"crier/door"
)

// metrics is what /metrics reports. Most numbers are read at each request, from
// where they are kept.
type metrics struct {
	home     *home
	messages atomic.Uint64
	closes   *prometheus.CounterVec
	refusals *prometheus.CounterVec

	throttled atomic.Uint64
}

func newMetrics(h *home) *metrics {
	m := &metrics{
		home: h,
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crier_closes_total",
			Help: "Connections that ended, by reason: client, lost, or a name from docs/limits.md.",
		}, []string{"reason"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crier_refusals_total",
			Help: "Requests and handshakes refused, by reason: a name from docs/limits.md.",
		}, []string{"reason"}),
	}
	m.closes.WithLabelValues("client")
	m.closes.WithLabelValues("lost")
	for _, no := range door.Refusals() {
		if no.Code != 0 {
			m.closes.WithLabelValues(no.Name)
		} else {
			m.refusals.WithLabelValues(no.Name)
		}
	}
	return m
}

func (m *metrics) closed(reason string)    { m.closes.WithLabelValues(reason).Inc() }
func (m *metrics) refused(no door.Refusal) { m.refusals.WithLabelValues(no.Name).Inc() }

func (m *metrics) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, m.closes, m.refusals,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if m.home.link != nil {
		registry.MustRegister(clusterMetrics{m.home.link.measure})
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

var (
	connectionsDesc = prometheus.NewDesc("crier_connections", "Open connections, by app.", []string{"app"}, nil)
	lingeringDesc   = prometheus.NewDesc("crier_sessions_lingering", "Sessions of live whose clients have no connection and may come back.", nil, nil)
	listenersDesc   = prometheus.NewDesc("crier_listeners", "Clients that listen to live by server-sent events.", nil, nil)
	topicsDesc      = prometheus.NewDesc("crier_topics", "Topics that somebody is subscribed to.", nil, nil)
	messagesDesc    = prometheus.NewDesc("crier_messages_received_total", "Messages that clients sent, and that were published over HTTP.", nil, nil)
	deliveriesDesc  = prometheus.NewDesc("crier_deliveries_total", "Messages handed to connections: one for each that gets it.", nil, nil)
	skippedDesc     = prometheus.NewDesc("crier_skipped_messages_total", "Messages that slow readers have missed, with --slow skip.", nil, nil)
	throttledDesc   = prometheus.NewDesc("crier_throttled_total", "Times that a client began to send faster than --rate or --rate-bytes, and was slowed down.", nil, nil)
	receivedDesc    = prometheus.NewDesc("crier_received_bytes_total", "Bytes read from connections.", nil, nil)
	hungDesc        = prometheus.NewDesc("crier_silent_connections_closed_total", "Connections that were closed before they had made a request, because others needed their place.", nil, nil)
	failedDesc      = prometheus.NewDesc("crier_accept_failures_total", "Connections that could not be accepted.", nil, nil)
	sentDesc        = prometheus.NewDesc("crier_sent_bytes_total", "Bytes written to connections.", nil, nil)
	backlogDesc     = prometheus.NewDesc("crier_backlog_bytes", "Memory that holds messages for those who may have yet to read them.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	counter := func(desc *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v))
	}
	open := m.home.connections.count()
	for _, mount := range m.home.config.Mounts() {
		gauge(connectionsDesc, float64(open[mount.Name]), mount.Name)
	}
	hub, transport := m.home.hub.Stats(), m.home.transport.Stats()
	gauge(lingeringDesc, float64(max(m.home.sessions.count()-open[liveName], 0)))
	gauge(listenersDesc, float64(m.home.listeners.count()))
	gauge(topicsDesc, float64(hub.Topics))
	gauge(backlogDesc, float64(hub.LogBytes))
	counter(messagesDesc, m.messages.Load())
	counter(deliveriesDesc, hub.Delivered)
	counter(throttledDesc, m.throttled.Load())
	counter(skippedDesc, uint64(hub.Missed))
	counter(receivedDesc, transport.BytesIn)
	counter(sentDesc, transport.BytesOut)
	counter(hungDesc, m.home.lobby.Hung.Load())
	counter(failedDesc, m.home.lobby.Failed.Load())
}

// clusterMetrics is what /metrics reports of the log that this server shares with
// others, or has on disk. Without one, nothing of it is registered.
type clusterMetrics struct {
	measure func() (stats cluster.Stats, ready bool)
}

// measure reads the numbers of the shared log. Before this server has joined the
// others, they are zero.
func (l *link) measure() (stats cluster.Stats, ready bool) {
	ready, _ = l.status()
	if log := l.log.Load(); log != nil {
		stats = log.Stats()
	}
	return stats, ready
}

var (
	serversDesc       = clusterDesc("servers", "Live servers that share the log, as this server sees it; 0 until it has joined them.")
	readyDesc         = clusterDesc("ready", "1 while this server has joined the others and reaches them, so that it takes clients; 0 otherwise.")
	batchesDesc       = clusterDesc("batches_total", "Batches of the shared log that this server has applied, its own and those of others.")
	recordsDesc       = clusterDesc("records_total", "Records in these batches: messages, and who came and went.")
	bytesDesc         = clusterDesc("bytes_total", "Bytes of these batches.")
	waitingDesc       = clusterDesc("waiting_bytes", "Bytes of records of this server that the log has not stored yet.")
	gapsDesc          = clusterDesc("gaps_filled_total", "Times that batches did not arrive by themselves, and were loaded from the log.")
	behindDesc        = clusterDesc("behind_batches", "Batches that are known to be in the log, and that this server has not applied yet.")
	resentDesc        = clusterDesc("resent_total", "Times that this server sent a batch again because nobody had confirmed that it is stored.")
	deathsDesc        = clusterDesc("deaths_total", "Servers that the log gave up because they had written nothing for eight seconds.")
	incarnationsDesc  = clusterDesc("incarnations_total", "Times that this server joined the log: 1 at its start, and one more each time that it was cut off.")
	checkpointsDesc   = clusterDesc("checkpoints_total", "Checkpoints of the log that became complete; what is before them can be removed.")
	disagreementsDesc = clusterDesc("disagreements_total", "Checkpoints that differ from what this server knows. It must be 0: otherwise versions differ, or there is a bug.")
)

func clusterDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("crier_cluster_"+name, help, nil, nil)
}

// Describe implements prometheus.Collector.
func (m clusterMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m clusterMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v)
	}
	counter := func(desc *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v))
	}
	stats, ready := m.measure()
	if ready {
		gauge(readyDesc, 1)
	} else {
		gauge(readyDesc, 0)
	}
	gauge(serversDesc, float64(stats.Servers))
	gauge(waitingDesc, float64(stats.Waiting))
	gauge(behindDesc, float64(stats.Behind))
	counter(batchesDesc, stats.Batches)
	counter(recordsDesc, stats.Records)
	counter(bytesDesc, stats.Bytes)
	counter(gapsDesc, stats.Gaps)
	counter(resentDesc, stats.Resent)
	counter(deathsDesc, stats.Deaths)
	counter(incarnationsDesc, stats.Incarnations)
	counter(checkpointsDesc, stats.Checkpoints)
	counter(disagreementsDesc, stats.Disagreements)
}
