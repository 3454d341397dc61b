package lambda

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Config says what a function is.
type Config struct {
	Name        string
	Directory   string        // of the code: the working directory, and LAMBDA_TASK_ROOT
	Handler     string        // such as index.handler; what a bootstrap makes of it is its own affair
	Bootstrap   string        // the executable, if the function is one
	Runtime     string        // nodejs… or python…; if empty, what the handler's file is written in
	Environment []string      // KEY=value, of the processes, beside what Lambda sets
	Region      string        // in the function's ARN
	Memory      int           // megabytes, as the function is told
	Timeout     time.Duration // of an invocation
	Concurrency int           // environments at once
	Watch       bool          // reload when a file of the code changes

	Output func(line string) // gets what the function prints, line by line, from one goroutine at a time per environment
	Log    *slog.Logger
}

// A Function is a Lambda function that can be invoked.
type Function struct {
	config       Config
	code         code
	launcher     *launcher
	environments sync.WaitGroup
	helpers      sync.WaitGroup // the launcher, the watcher: they outlive the environments
	closing      chan struct{}  // closed when environments are to end whatever they do
	stop         chan struct{}  // closed when the helpers are to end
	closeOnce    sync.Once

	mu       sync.Mutex
	waiting  []*invocation  // oldest first. Invariant: empty, or idle is
	idle     []*environment // the one used last is last
	live     map[*environment]struct{}
	starting int    // of live
	crash    string // how the last environment ended that should not have
	closed   bool
}

// An invocation is an event on its way through the function.
type invocation struct {
	id      string
	payload []byte
	done    chan outcome // has room for one
}

type outcome struct {
	payload []byte
	err     error
}

// Open starts a function, and with it a first environment, so that mistakes in the code are told before somebody waits.
// An error is one of the configuration.
func Open(config Config) (*Function, error) {
	f := &Function{
		config:  config,
		closing: make(chan struct{}),
		stop:    make(chan struct{}),
		live:    make(map[*environment]struct{}),
	}
	var err error
	if f.code, err = findCode(config); err != nil {
		return nil, fmt.Errorf("function %s: %w", config.Name, err)
	}
	var changes <-chan struct{}
	if config.Watch {
		watcher, err := newWatcher(f.code)
		if err != nil {
			return nil, fmt.Errorf("function %s: watch its files: %w", config.Name, err)
		}
		changes = watcher.changes
		f.helpers.Go(func() { watcher.run(f.stop) })
	}
	f.launcher = newLauncher()
	f.helpers.Go(func() { f.launcher.run(f.stop) })
	f.mu.Lock()
	f.grow()
	f.mu.Unlock()
	if changes != nil {
		f.helpers.Go(func() { f.reloadOn(changes) })
	}
	return f, nil
}

// Invoke has the function handle an event and returns its answer. The error is an *Error if the function failed,
// and otherwise the context's: then the function goes on until its own time-out, as Lambda's do, but nobody is told.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return f.Start(payload)(ctx)
}

// Start is Invoke in two steps: it hands the event over and returns at once. Events go to processes in the order in which
// they were started. wait may be called once; if it is not, nobody is told what came of the event.
func (f *Function) Start(payload []byte) (wait func(context.Context) ([]byte, error)) {
	v := &invocation{id: newUUID(), payload: payload, done: make(chan outcome, 1)}
	f.submit(v)
	return func(ctx context.Context) ([]byte, error) {
		select {
		case o := <-v.done:
			return o.payload, o.err
		case <-ctx.Done():
			return nil, f.withdraw(v, ctx.Err())
		}
	}
}

// submit gives an invocation to an environment, or has it wait for one.
func (f *Function) submit(v *invocation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		v.done <- outcome{err: errClosed}
		return
	}
	if n := len(f.idle); n > 0 {
		e := f.idle[n-1]
		f.idle = f.idle[:n-1]
		e.work <- v
		return
	}
	f.waiting = append(f.waiting, v)
	f.grow()
}

// withdraw takes back an invocation for which nobody waits any more.
func (f *Function) withdraw(v *invocation, cause error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.waiting, v)
	if i < 0 {
		return cause
	}
	f.waiting = slices.Delete(f.waiting, i, i+1)
	if f.crash != "" {
		return fmt.Errorf("no environment became free; the last one %s: %w", f.crash, cause)
	}
	return fmt.Errorf("no environment became free: %w", cause)
}

// grow starts an environment if it is needed and allowed. It requires f.mu.
func (f *Function) grow() {
	wanted := max(len(f.waiting), 1) // the first one starts before somebody waits
	if f.closed || f.starting+len(f.idle) >= wanted || len(f.live) >= f.config.Concurrency {
		return
	}
	e := newEnvironment(f)
	f.live[e] = struct{}{}
	f.starting++
	f.environments.Go(e.run)
}

// ready says that e waits for work. It returns what waits already.
func (f *Function) ready(e *environment) *invocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started(e)
	if e.stale || f.closed {
		return nil
	}
	if len(f.waiting) > 0 {
		v := f.waiting[0]
		f.waiting = slices.Delete(f.waiting, 0, 1)
		return v
	}
	f.idle = append(f.idle, e)
	return nil
}

// started counts e as started, once. It requires f.mu.
func (f *Function) started(e *environment) {
	if e.starting {
		e.starting = false
		f.starting--
	}
}

// gone says that e has ended: because of crash, if it should not have.
func (f *Function) gone(e *environment, crash *Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	failedToStart := e.starting && crash != nil
	f.started(e)
	delete(f.live, e)
	if i := slices.Index(f.idle, e); i >= 0 {
		f.idle = slices.Delete(f.idle, i, i+1)
	}
	if crash != nil {
		f.crash = crash.Message
	}
	select {
	case v := <-e.work: // it was given to e, which did not take it
		f.waiting = slices.Insert(f.waiting, 0, v)
	default:
	}
	if failedToStart && !e.stale {
		// The next one would fail, too: whoever waits is told, instead of starting one process after the other.
		for _, v := range f.waiting {
			v.done <- outcome{err: crash}
		}
		f.waiting = nil
	}
	if len(f.waiting) > 0 || e.stale {
		f.grow()
	}
}

// retire has e end when it is idle. It requires f.mu.
func (f *Function) retire(e *environment) {
	f.started(e)
	if !e.stale {
		e.stale = true
		close(e.retired)
	}
}

// Reload has all environments end: at once, or when they have answered. A new one starts.
func (f *Function) Reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := range f.live {
		f.retire(e)
	}
	f.idle = nil
	f.grow()
}

func (f *Function) reloadOn(changes <-chan struct{}) {
	for range changes {
		f.config.Log.Info("reload", "function", f.config.Name)
		f.Reload()
	}
}

// Close ends the function's processes, whatever they are doing, and waits until they are gone.
func (f *Function) Close() { f.closeOnce.Do(f.close) }

func (f *Function) close() {
	f.mu.Lock()
	f.closed = true
	for _, v := range f.waiting {
		v.done <- outcome{err: errClosed}
	}
	f.waiting = nil
	for e := range f.live {
		f.retire(e)
	}
	f.mu.Unlock()
	close(f.closing)
	f.environments.Wait()
	close(f.stop)
	f.helpers.Wait()
}

// newUUID returns a request's id. Some runtimes put it into a URL as it is.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
