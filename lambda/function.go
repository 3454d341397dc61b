package lambda

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"crier/fair"
)

// Config describes a function.
type Config struct {
	Name        string
	Directory   string        // of the code: the working directory, and LAMBDA_TASK_ROOT
	Handler     string        // such as index.handler; a bootstrap may use it as it likes
	Bootstrap   string        // the executable, if the function is one
	Runtime     string        // nodejs… or python…; if empty, the language of the handler's file
	Environment []string      // KEY=value, of the processes, in addition to what Lambda sets
	Region      string        // in the function's ARN
	Memory      int           // megabytes, as reported to the function; not enforced
	Timeout     time.Duration // of an invocation
	Concurrency int           // how many environments there may be at once
	Watch       bool          // reload when a file of the code changes
	Alias       Alias         // of the function's API; if it has no name, there is none

	// Output gets what the function prints: lines that were printed together,
	// and those of an event before the event's answer. It is called by one
	// goroutine at a time for each environment, and must not wait.
	Output func(lines []string)
	Log    *slog.Logger

	quiet time.Duration // of an output; 0: the default
}

// maxWaiting is how many events may wait for one function: in all, and of one
// origin.
var maxWaiting = fair.Limits{Total: 10_000, PerKey: 1000}

// A Function is a Lambda function that can be invoked.
type Function struct {
	config       Config
	code         code
	aliasFiles   string // the directory of the files that make processes follow the alias
	launcher     *launcher
	environments sync.WaitGroup
	helpers      sync.WaitGroup // the launcher, the watcher: they outlive the environments
	closing      chan struct{}  // closed when environments must end at once
	stop         chan struct{}  // closed when the helpers must end
	closeOnce    sync.Once

	mu       sync.Mutex
	waiting  *fair.Queue[*invocation] // Invariant: empty, or idle is
	idle     []*environment           // the one used last is last
	live     map[*environment]struct{}
	starting int    // of live
	crash    string // how the last environment that crashed ended
	failing  string // how starts fail; empty if the last start succeeded
	closed   bool
}

// An invocation is an event on its way through the function.
type invocation struct {
	id      string
	from    string // its origin
	payload []byte
	done    chan outcome // has room for one

	waits *fair.Item[*invocation] // its place in Function.waiting, guarded by Function.mu; nil if it never waited
}

type outcome struct {
	payload []byte
	err     error
}

// Open starts a function. It starts a first environment, too, so that mistakes
// in the code are reported before an event arrives. An error means that the
// configuration is wrong.
func Open(config Config) (*Function, error) {
	f := &Function{
		config:  config,
		closing: make(chan struct{}),
		stop:    make(chan struct{}),
		live:    make(map[*environment]struct{}),
		waiting: fair.NewQueue[*invocation](maxWaiting),
	}
	var err error
	if f.code, err = findCode(config); err != nil {
		return nil, fmt.Errorf("function %s: %w", config.Name, err)
	}
	if config.Alias.Name != "" {
		if f.aliasFiles, err = config.Alias.install(); err != nil {
			return nil, fmt.Errorf("function %s: %w", config.Name, err)
		}
		f.tellOfAlias()
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

// Invoke hands an event to the function and returns its answer. The error is an
// *Error if the function failed, fair.ErrFull if too many events wait, and
// otherwise the context's: then the function goes on until its own time-out, as
// Lambda's do, but its result is lost. All events that come this way have the
// same origin, which has no name.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	wait, err := f.Start("", payload)
	if err != nil {
		return nil, err
	}
	return wait(ctx)
}

// Start hands an event over and returns at once. from names its origin. Events
// of one origin go to processes in the order in which they were started;
// origins take turns. The error is fair.ErrFull or nil. wait may be called once
// and does what Invoke does. If it is not called, the result of the event is
// lost.
func (f *Function) Start(from string, payload []byte) (wait func(context.Context) ([]byte, error), err error) {
	v := &invocation{id: newUUID(), from: from, payload: payload, done: make(chan outcome, 1)}
	if err := f.submit(v); err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		select {
		case o := <-v.done:
			return o.payload, o.err
		case <-ctx.Done():
			return nil, f.withdraw(v, ctx.Err())
		}
	}, nil
}

// submit gives an invocation to an environment, or makes it wait for one.
func (f *Function) submit(v *invocation) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		v.done <- outcome{err: errClosed}
		return nil
	}
	if n := len(f.idle); n > 0 {
		e := f.idle[n-1]
		f.idle = f.idle[:n-1]
		e.work <- v
		return nil
	}
	if v.waits, err = f.waiting.Push(v.from, v); err != nil {
		return fmt.Errorf("function %s: %w", f.config.Name, err)
	}
	f.grow()
	return nil
}

// withdraw takes back an invocation whose result is not wanted any more.
func (f *Function) withdraw(v *invocation, cause error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v.waits == nil || !f.waiting.Remove(v.waits) {
		return cause
	}
	if f.crash != "" {
		return fmt.Errorf("no environment became free; the last one %s: %w", f.crash, cause)
	}
	return fmt.Errorf("no environment became free: %w", cause)
}

// grow starts an environment if it is needed and allowed. It requires f.mu.
func (f *Function) grow() {
	wanted := max(f.waiting.Len(), 1) // the first one starts before an event waits
	if f.closed || f.starting+len(f.idle) >= wanted || len(f.live) >= f.config.Concurrency {
		return
	}
	e := newEnvironment(f)
	f.live[e] = struct{}{}
	f.starting++
	f.environments.Go(e.run)
}

// ready notes that e waits for work. It returns work that waits already.
func (f *Function) ready(e *environment) *invocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started(e)
	if e.stale || f.closed {
		return nil
	}
	f.failing = ""
	if next := f.waiting.Pop(); next != nil {
		return next.Value
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

// gone notes that e has ended. crash is why, if it should not have ended.
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
		v.waits = f.waiting.PushFront(v.from, v)
	default:
	}
	switch {
	case f.closed:
		f.refuse(errClosed)
	case failedToStart && !e.stale:
		// The next one would fail, too. So what waits fails now, instead of
		// starting one process after the other.
		f.refuse(crash)
	}
	if f.waiting.Len() > 0 || e.stale {
		f.grow()
	}
}

// failsAgain reports whether an environment's start fails, as the last one did.
func (f *Function) failsAgain(e *environment, crash *Error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !e.starting {
		return false
	}
	before := f.failing
	f.failing = crash.Error()
	return before == f.failing
}

// refuse reports to all waiting invocations that they will not be handled, and
// why. It requires f.mu.
func (f *Function) refuse(why *Error) {
	for next := f.waiting.Pop(); next != nil; next = f.waiting.Pop() {
		next.Value.done <- outcome{err: why}
	}
}

// retire makes e end when it is idle. It requires f.mu.
func (f *Function) retire(e *environment) {
	f.started(e)
	if !e.stale {
		e.stale = true
		close(e.retired)
	}
}

// Reload makes all environments end: at once if they are idle, and otherwise
// when they have answered. A new one starts.
func (f *Function) Reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := range f.live {
		f.retire(e)
	}
	f.idle = nil
	f.failing = ""
	f.grow()
}

func (f *Function) reloadOn(changes <-chan struct{}) {
	for range changes {
		f.config.Log.Info("reload", "function", f.config.Name)
		f.Reload()
	}
}

// Close ends the function's processes at once, whatever they are doing, and
// waits until they are gone.
func (f *Function) Close() { f.closeOnce.Do(f.close) }

func (f *Function) close() {
	f.mu.Lock()
	f.closed = true
	f.refuse(errClosed)
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
