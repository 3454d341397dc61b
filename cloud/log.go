package cloud

import (
	"errors"
	"time"
)

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

// reportTask logs that the rest of a publication is not gone on with, and why: one line. It returns the error that Lambda gets,
// which hands the event out again if there is one.
func (h *handler) reportTask(r *rest, err error) error {
	attributes := []any{"requestId", r.Request, "after", r.After}
	switch {
	case errors.Is(err, errFinished):
		h.log.Info("the rest is finished already", attributes...)
		return nil
	case errors.Is(err, errTaken): // its invocation may have died just now
		h.log.Warn("another invocation goes on", attributes...)
	default:
		h.log.Error("continue", append(attributes, "error", err)...)
	}
	return err
}

// reportMessage logs a message: one line, however many hear it. It carries the counts as metrics, too.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func (h *handler) reportMessage(request, connection string, start time.Time, size int, c *counts, err error) {
	attributes := []any{
		"requestId", request, "connectionId", connection, "ms", time.Since(start).Milliseconds(), "bytes", size, "App", h.name, "Stack", h.stack,
		"Deliveries", c.delivered.Load(), "Retries", c.retried.Load(), "Lost", c.lost.Load() + c.slow.Load() + c.stale.Load(),
		"unsure", c.unsure.Load(), "slow", c.slow.Load(), "hanging", c.hanging.Load(),
		"stale", c.stale.Load(), "gone", c.gone.Load(), "refused", c.refused.Load(), "continued", c.rests.Load(), "_aws", metrics(start),
	}
	switch {
	case err != nil:
		h.log.Error("message", append(attributes, "error", err)...)
	case c.lost.Load()+c.refused.Load()+c.slow.Load()+c.stale.Load()+c.hanging.Load() > 0:
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
	d := directive{Namespace: "crier", Dimensions: [][]string{{"Stack"}}}
	for _, name := range []string{"Deliveries", "Retries", "Lost"} { // each costs something every month
		d.Metrics = append(d.Metrics, metric{name, "Count"})
	}
	return struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}{at.UnixMilli(), []directive{d}}
}
