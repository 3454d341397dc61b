package serve

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"crier/door"
)

// metrics is what /metrics reports. Most numbers are read at each request, from
// where they are kept.
type metrics struct {
	home     *home
	messages atomic.Uint64
	closes   *prometheus.CounterVec
	refusals *prometheus.CounterVec
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
	counter(skippedDesc, uint64(hub.Missed))
	counter(receivedDesc, transport.BytesIn)
	counter(sentDesc, transport.BytesOut)
	counter(hungDesc, m.home.lobby.Hung.Load())
	counter(failedDesc, m.home.lobby.Failed.Load())
}
