package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
)

// A natsLogger is what the NATS in this process logs to. NATS is chatty, and
// repeats what is wrong at every try: what it notices is for debugging, and of
// the same fault there is a line a minute.
type natsLogger struct {
	log *slog.Logger

	mu    sync.Mutex
	last  map[string]time.Time // by what is said, without numbers
	fatal error                // the first
}

const (
	natsQuiet = time.Minute
	natsKinds = 200 // of faults that are remembered
)

func newNATSLogger(log *slog.Logger) *natsLogger {
	return &natsLogger{log: log, last: make(map[string]time.Time)}
}

func (l *natsLogger) Tracef(string, ...any) {}

func (l *natsLogger) Debugf(string, ...any) {}

func (l *natsLogger) Noticef(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("NATS: " + fmt.Sprintf(format, args...))
	}
}

func (l *natsLogger) Warnf(format string, args ...any) { l.tell(slog.LevelWarn, format, args...) }

func (l *natsLogger) Errorf(format string, args ...any) { l.tell(slog.LevelError, format, args...) }

// Fatalf keeps what NATS cannot go on with. Then it would exit; it is Open's to
// return that.
func (l *natsLogger) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf(format, args...)
	}
}

// broken returns what NATS cannot go on with.
func (l *natsLogger) broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *natsLogger) tell(level slog.Level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if level, text = inOurWords(level, text); l.first(text) {
		l.log.Log(context.Background(), level, text)
	}
}

// first reports whether the like of it was not said within a minute.
func (l *natsLogger) first(text string) bool {
	kind := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.last[kind]) < natsQuiet {
		return false
	}
	if len(l.last) >= natsKinds {
		clear(l.last)
	}
	l.last[kind] = now
	return true
}

// inOurWords returns what a line of NATS means to somebody who has never heard
// of NATS.
func inOurWords(level slog.Level, text string) (slog.Level, string) {
	switch {
	case strings.Contains(text, "Plaintext passwords detected"), // it is made up, and never leaves the process
		strings.Contains(text, "Waiting for routing to be established"),
		strings.Contains(text, "has not established contact with a meta leader"),
		strings.Contains(text, "Metalayer blocking snapshot"):
		return slog.LevelDebug, "NATS: " + text
	case strings.Contains(text, "solicited routes will not be verified"):
		return slog.LevelDebug, "NATS verifies no names of servers; the cluster key says who they are"
	case strings.Contains(text, "TLS route handshake error"):
		_, why, _ := strings.Cut(text, "handshake error: ")
		return slog.LevelWarn, "A server or a stranger cannot join the cluster: " +
			"it has another --cluster-key or none (" + why + ")"
	case strings.Contains(text, "rid:") && strings.Contains(text, "authentication error"):
		return slog.LevelWarn, "A server or a stranger cannot join the cluster: " +
			"it may have a --cluster-key, which this server has not (" + text + ")"
	case strings.Contains(text, "Error trying to connect to route"):
		_, why, _ := strings.Cut(text, "): ")
		return slog.LevelInfo, "A server of the cluster is not reached: " + why
	case strings.Contains(text, "duplicate name"):
		return slog.LevelError, "Another server of the cluster has this one's name; " +
			"it may have a copy of its data directory (" + text + ")"
	}
	return level, "NATS: " + text
}
