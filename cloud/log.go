package cloud

import "time"

// report logs a connect or a disconnect: one line.
func (h *handler) report(ev *event, start time.Time, what string, err error, more ...any) {
	attributes := append([]any{
		"requestId", ev.Context.RequestID, "connectionId", ev.Context.ConnectionID, "ms", time.Since(start).Milliseconds(),
	}, more...)
	if err != nil {
		h.log.Error(what, append(attributes, "error", err)...)
		return
	}
	h.log.Info(what, attributes...)
}

// reportStrange logs an event that the function is not for, and returns err.
func (h *handler) reportStrange(err error) error {
	h.log.Error("event", "error", err)
	return err
}

// reportClaim logs that a publication is not gone on with, and why: one line.
func (h *handler) reportClaim(r *rest, err error) {
	attributes := []any{"requestId", r.Request, "connectionId", r.Sender, "after", r.After}
	if err != nil {
		h.log.Error("continue", append(attributes, "error", err)...)
		return
	}
	h.log.Info("another invocation goes on", attributes...)
}

// reportMessage logs a message: one line, however many hear it. It carries the counts as metrics, too.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func (h *handler) reportMessage(request, connection string, start time.Time, size int, c *counts, err error) {
	attributes := []any{
		"requestId", request, "connectionId", connection, "ms", time.Since(start).Milliseconds(), "bytes", size, "App", h.name,
		"Deliveries", c.delivered.Load(), "Retries", c.retried.Load(), "Lost", c.lost.Load() + c.slow.Load(),
		"unsure", c.unsure.Load(), "slow", c.slow.Load(), "hanging", c.hanging.Load(),
		"gone", c.gone.Load(), "refused", c.refused.Load(), "continued", c.rests.Load(), "_aws", metrics(start),
	}
	switch {
	case err != nil:
		h.log.Error("message", append(attributes, "error", err)...)
	case c.lost.Load()+c.refused.Load()+c.slow.Load()+c.hanging.Load() > 0:
		h.log.Warn("message", attributes...)
	default:
		h.log.Info("message", attributes...)
	}
}

// metrics says which members of a log line are metrics.
func metrics(at time.Time) any {
	type metric struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	d := directive{Namespace: "crier", Dimensions: [][]string{{"App"}}}
	for _, name := range []string{"Deliveries", "Retries", "Lost"} { // each costs something every month
		d.Metrics = append(d.Metrics, metric{name, "Count"})
	}
	return struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}{at.UnixMilli(), []directive{d}}
}
