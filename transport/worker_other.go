//go:build !linux

package transport

func (t *Transport) newWorker() (worker, error) { return newPump(t.config.Hub), nil }
