//go:build !linux

package transport

func newWorker(t *Transport) (worker, error) { return newPump(t.config.Hub), nil }
