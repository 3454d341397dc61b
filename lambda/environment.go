package lambda

import (
	"fmt"
	"strings"
	"time"
)

// initTimeout is how long an environment may take until its first poll. "The
// Init phase is limited to 10 seconds."
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
const initTimeout = 10 * time.Second

// slowInit is how long the output of an environment that starts is held back.
const slowInit = time.Second

// An environment is one process of a function.
type environment struct {
	function *Function
	work     chan *invocation // has room for one; given by Function.submit
	retired  chan struct{}    // closed when the environment must end as soon as it is idle

	// Guarded by Function.mu.
	starting bool // it has not polled yet
	stale    bool // retired is closed

	// Owned by run.
	process *process
	api     *runtimeAPI
	poll    poll // of the runtime, which waits for an event
}

func newEnvironment(f *Function) *environment {
	return &environment{function: f, work: make(chan *invocation, 1), retired: make(chan struct{}), starting: true}
}

// run is the life of an environment. It returns when its process is gone.
func (e *environment) run() {
	crash := e.live()
	if e.process != nil {
		e.process.end()
	}
	if e.api != nil {
		e.api.close()
	}
	e.function.gone(e, crash)
}

// live starts the process and gives it work, until it is no longer wanted or
// does something wrong, which it returns.
func (e *environment) live() (crash *Error) {
	if err := e.start(); err != nil {
		return e.complain(&Error{Type: "Runtime.InvalidEntrypoint", Message: err.Error()})
	}
	if crash := e.initialize(); crash != nil {
		return e.complain(crash)
	}
	for {
		v, crash := e.awaitWork()
		if crash != nil {
			return e.complain(crash)
		}
		if v == nil {
			return nil
		}
		if crash := e.handle(v); crash != nil {
			return crash
		}
	}
}

// complain logs a crash that no invocation can report. What the process has
// printed is passed on first. If a start fails in the same way as the one
// before, this is logged once, with its output.
func (e *environment) complain(crash *Error) *Error {
	again := e.function.failsAgain(e, crash)
	if e.process != nil {
		e.process.output.settle()
		if again {
			e.process.output.drop()
		}
		e.process.output.release()
	}
	if !again {
		attributes := []any{"function", e.function.config.Name, "cause", crash}
		if help := e.function.code.help(crash); help != "" {
			attributes = append(attributes, "help", help)
		}
		e.function.config.Log.Warn("function failed", attributes...)
	}
	return crash
}

func (e *environment) start() (err error) {
	if e.api, err = newRuntimeAPI(e.function.config); err != nil {
		return fmt.Errorf("open the Runtime API: %w", err)
	}
	if e.process, err = e.function.startProcess(e.api.address()); err != nil {
		return fmt.Errorf("start the process: %w", err)
	}
	return nil
}

// initialize waits for the first poll. What is printed meanwhile waits, too: it
// may be a failure that is known.
func (e *environment) initialize() *Error {
	late := time.NewTimer(initTimeout)
	defer late.Stop()
	slow := time.NewTimer(slowInit)
	defer slow.Stop()
	for {
		select {
		case e.poll = <-e.api.polls:
			e.process.output.release()
			return nil
		case <-slow.C:
			e.process.output.release() // so that the user sees what it is doing
		case r := <-e.api.reports:
			if r.err != nil && r.id == "" {
				return r.err
			}
		case <-e.process.exited:
			return e.process.crash()
		case <-late.C:
			return &Error{Type: "Sandbox.Timedout", Message: fmt.Sprintf("did not start within %v", initTimeout)}
		case <-e.retired:
			return nil
		}
	}
}

// awaitWork returns the next invocation; nil if there will be none, because of
// a crash or because the environment is retired.
func (e *environment) awaitWork() (*invocation, *Error) {
	if v := e.function.ready(e); v != nil {
		return v, nil
	}
	for {
		select {
		case v := <-e.work:
			return v, nil
		case e.poll = <-e.api.polls: // it asks again: the last request was lost
		case <-e.process.exited:
			if e.isRetired() {
				return nil, nil
			}
			return nil, e.process.crash()
		case <-e.retired:
			select {
			case v := <-e.work: // it was given away just before
				return v, nil
			default:
				return nil, nil
			}
		}
	}
}

// handle has the process handle an invocation. It returns why the environment
// must end, or nil.
func (e *environment) handle(v *invocation) (crash *Error) {
	deadline := time.Now().Add(e.function.config.Timeout)
	e.poll.answer <- event{id: v.id, payload: v.payload, deadline: deadline}
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	answered, failed := false, false
	answer := func(o outcome) {
		if !answered {
			answered, failed = true, o.err != nil
			e.process.output.settle() // what it printed comes first
			v.done <- o
		}
	}
	fail := func(err *Error) *Error {
		switch {
		case !answered:
			answer(outcome{err: err})
		case !failed: // it has not reported why it ends
			return e.complain(err)
		}
		return err
	}
	for {
		select {
		case r := <-e.api.reports:
			if r.id == v.id {
				answer(r.outcome())
			}
		case e.poll = <-e.api.polls:
			answer(outcome{err: &Error{Type: "Runtime.NoAnswer", Message: "asked for the next event without answering this one"}})
			return nil
		case <-e.process.exited:
			select {
			case r := <-e.api.reports: // its last words
				if r.id == v.id {
					answer(r.outcome())
				}
			default:
			}
			return fail(e.process.crash())
		case <-late.C:
			return fail(&Error{Type: "Sandbox.Timedout", Message: fmt.Sprintf("Task timed out after %.2f seconds", e.function.config.Timeout.Seconds())})
		case <-e.function.closing:
			answer(outcome{err: errClosed})
			return errClosed
		}
	}
}

func (e *environment) isRetired() bool {
	select {
	case <-e.retired:
		return true
	default:
		return false
	}
}

// errClosed is what invocations get when the function is closed.
var errClosed = &Error{Type: "Sandbox.Closed", Message: "the function was closed"}

// An Error is a failure of the function: one that it reported, or that it could
// not report any more.
type Error struct {
	Type    string   `json:"errorType"`
	Message string   `json:"errorMessage"`
	Trace   []string `json:"stackTrace,omitempty"`
	// NodeTrace is what Node's runtime has instead.
	NodeTrace []string `json:"trace,omitempty"`
}

func (e *Error) Error() string {
	message, _, _ := strings.Cut(e.Message, "\n")
	if e.Type == "" {
		return message
	}
	return e.Type + ": " + message
}
