package api

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"crier/lambda"
)

// A Live API can be replaced while it runs, from [Follow] to Close. Connections
// stay open, and an event ends in the version in which it began.
type Live struct {
	// Set once.
	stage       string
	aliases     []string
	path        string // of the file
	options     Options
	invocations *lambda.InvokeAPI // kept by all versions, because its address is shown to users
	stop        chan struct{}     // closed when the file should not be watched any more
	following   sync.WaitGroup    // the goroutine that replaces versions
	retiring    sync.WaitGroup    // the goroutines that close versions

	mu     sync.Mutex
	now    *version // gets new events
	before *version // may have unfinished events; nil if there was none
}

// A version is an API between two changes of its file.
type version struct {
	api    *API
	events sync.WaitGroup // added only while it is Live.now, under Live.mu
	hurry  chan struct{}  // closed when the version must end at once
}

// Follow opens the API of a file. With Options.Watch the API is replaced when
// its file changes. If the new file has mistakes, the API stays as it is.
func Follow(file *File, options Options) (*Live, error) {
	l := &Live{stage: file.Stage, aliases: file.Aliases(), path: file.Path, options: options, stop: make(chan struct{})}
	l.mu.Lock() // until functions find each other
	defer l.mu.Unlock()
	var err error
	if l.invocations, err = lambda.NewInvokeAPI(l.function); err != nil {
		return nil, err
	}
	l.options.invocations = l.invocations
	api, err := Open(file, l.options)
	if err != nil {
		l.invocations.Close()
		return nil, err
	}
	l.now = &version{api: api, hurry: make(chan struct{})}
	if options.Watch {
		changes, err := lambda.WatchFile(l.path, l.stop)
		if err != nil {
			api.Close()
			l.invocations.Close()
			return nil, fmt.Errorf("watch %s: %w", l.path, err)
		}
		l.following.Go(func() { l.reloadOn(changes) })
	}
	return l, nil
}

// reloadOn returns when changes is closed.
func (l *Live) reloadOn(changes <-chan struct{}) {
	for range changes {
		name := filepath.Base(l.path)
		err := l.reload()
		if err == nil {
			l.options.Log.Info("reload", "file", name)
			continue
		}
		for mistake := range strings.Lines(err.Error()) {
			l.options.Log.Warn(name+" is not reloaded", "cause", strings.TrimSpace(mistake))
		}
	}
}

// reload replaces the API with what its file says now.
func (l *Live) reload() error {
	file, err := Load(l.path)
	if err != nil {
		return err
	}
	if file.Stage != l.stage {
		return fmt.Errorf("the stage was %s, and is %s: crier must be started again for that", l.stage, file.Stage)
	}
	if aliases := file.Aliases(); !slices.Equal(aliases, l.aliases) { // the certificate has them
		return fmt.Errorf("the API's names at AWS were %s, and are %s: crier must be started again for another region",
			strings.Join(l.aliases, ", "), strings.Join(aliases, ", "))
	}
	api, err := Open(file, l.options)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.before != nil {
		close(l.before.hurry) // processes must not pile up
	}
	l.before, l.now = l.now, &version{api: api, hurry: make(chan struct{})}
	l.retire(l.before)
	return nil
}

// retire closes a version when its events are done, or when it must hurry.
func (l *Live) retire(v *version) {
	done := make(chan struct{})
	l.retiring.Go(func() {
		v.events.Wait()
		close(done)
	})
	l.retiring.Go(func() {
		select {
		case <-done:
		case <-v.hurry:
		}
		v.api.Close()
	})
}

// Close ends the functions at once, whatever they are doing, and waits for all
// events.
func (l *Live) Close() {
	close(l.stop)
	l.following.Wait()
	if l.before != nil {
		close(l.before.hurry)
	}
	l.now.api.Close()
	l.retiring.Wait()
	l.invocations.Close()
}

// enter returns the version for a new event. leave must follow.
func (l *Live) enter() *version {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.events.Add(1)
	return l.now
}

func (v *version) leave() { v.events.Done() }

// Stage returns the name of the stage, which is the API's path.
func (l *Live) Stage() string { return l.stage }

// InvokeURL returns where programs of this machine can invoke the functions.
func (l *Live) InvokeURL() string { return l.invocations.URL() }

// function returns the function of a name, or nil. If there is one, done must
// be called when it is not needed any more.
func (l *Live) function(name string) (f *lambda.Function, done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil { // it did not open
		return nil, nil
	}
	if f = l.now.api.function(name); f == nil {
		return nil, nil
	}
	l.now.events.Add(1)
	return f, l.now.leave
}

// Connect is as API.Connect.
func (l *Live) Connect(ctx context.Context, c *Connection, h Handshake) Admission {
	v := l.enter()
	defer v.leave()
	return v.api.Connect(ctx, c, h)
}

// Message is as API.Message.
func (l *Live) Message(c *Connection, data []byte, binary bool) (reply func(context.Context) []byte) {
	v := l.enter()
	wait := v.api.Message(c, data, binary)
	return func(ctx context.Context) []byte {
		defer v.leave()
		return wait(ctx)
	}
}

// Disconnect is as API.Disconnect.
func (l *Live) Disconnect(ctx context.Context, c *Connection, code uint16, reason string) {
	v := l.enter()
	defer v.leave()
	v.api.Disconnect(ctx, c, code, reason)
}
