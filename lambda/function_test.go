package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen; it matters only when it does not.
const patience = 30 * time.Second

// A printer remembers what a function printed.
type printer struct {
	mu     sync.Mutex
	text   strings.Builder
	blocks []string // the lines that came together
}

func (p *printer) print(lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	block := strings.Join(lines, "\n") + "\n"
	p.blocks = append(p.blocks, block)
	p.text.WriteString(block)
}

func (p *printer) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// waitFor returns when the printer has the text.
func (p *printer) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(p.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %q, got\n%s", text, p)
		}
	}
}

type testFunction struct {
	*Function
	printed, log *printer
}

func openFunction(t *testing.T, dir, handler string, change func(*Config)) testFunction {
	t.Helper()
	f := testFunction{printed: &printer{}, log: &printer{}}
	config := Config{
		Name:        "test",
		Directory:   filepath.Join("testdata", dir),
		Handler:     handler,
		Environment: append(os.Environ(), "MINE=yes"),
		Region:      "eu-west-1",
		Memory:      128,
		Timeout:     patience,
		Concurrency: 10,
		Output:      f.printed.print,
		Log:         slog.New(slog.NewTextHandler(f.log, nil)),
	}
	if change != nil {
		change(&config)
	}
	var err error
	if f.Function, err = Open(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func (f testFunction) invoke(t *testing.T, event string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := f.Invoke(ctx, []byte(event))
	return string(answer), err
}

// await waits until something is true of a function, which is locked meanwhile.
func (f testFunction) await(t *testing.T, otherwise string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		done := is()
		f.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

// A handled is what a handler answers to an event, or the start of the error.
type handled struct{ dir, handler, event, want string }

// handle invokes each handler twice: the second event finds what the first has left.
func handle(t *testing.T, tests []handled) {
	for _, test := range tests {
		t.Run(test.dir+"/"+test.handler, func(t *testing.T) {
			t.Parallel()
			f := openFunction(t, test.dir, test.handler, func(c *Config) { c.Concurrency = 1 })
			for range 2 {
				got, err := f.invoke(t, test.event)
				var failed *Error
				if err != nil && !errors.As(err, &failed) {
					t.Fatal(err)
				}
				if failed != nil {
					got = "error: " + failed.Error()
				}
				if got != test.want && !(failed != nil && strings.HasPrefix(got, test.want)) {
					t.Errorf("got %s, want %s\n%s", got, test.want, f.printed)
				}
			}
		})
	}
}

// TestNodeAnswers: in all the ways in which handlers may answer.
func TestNodeAnswers(t *testing.T) {
	handle(t, []handled{
		{"node", "index.echo", `{"a":[1,"ö",null]}`, `{"a":[1,"ö",null]}`},
		{"node", "index.callback", `{}`, `"called"`},
		{"node", "index.late", `{"ms":20}`, `"late"`},
		{"node", "index.waits", `{}`, `true`},
		{"node", "index.waitsNot", `{}`, `false`},
		{"node", "index.twice", `{}`, `"first"`},
		{"node", "index.asyncCallback", `{}`, `"called"`},
		{"node", "index.asyncCallbackLate", `{}`, `null`}, // the promise is resolved first
		{"node", "index.both", `{}`, `"called"`},
		{"node", "index.throwsLate", `{}`, `"called"`},
		{"node", "index.nothing", `{}`, `null`},
		{"node", "index.undefined", `{}`, `null`},
		{"node", "index.succeed", `{}`, `"succeeded"`},
		{"node", "index.deep.handler", `{}`, `"deep"`},
		{"node", "module.handler", `{}`, `"ready1"`},
		{"node", "common.handler", `{}`, `"common"`},
		{"node", "esm/index.handler", `{}`, `"esm"`},
		{"node", "src/index.handler", `{}`, `"in src"`},
	})
}

// TestNodeFailures are told with their type and message, or how the process ended.
func TestNodeFailures(t *testing.T) {
	handle(t, []handled{
		{"node", "index.callbackError", `{}`, `error: TypeError: no`},
		{"node", "index.callbackText", `{}`, `error: string: just text`},
		{"node", "index.fail", `{}`, `error: Error: failed`},
		{"node", "index.throws", `{}`, `error: RangeError: thrown`},
		{"node", "index.rejects", `{}`, `error: RangeError: rejected`},
		{"node", "index.rejectsNothing", `{}`, `error: string: handled`},
		{"node", "index.circle", `{}`, `error: TypeError: Converting circular structure`},
		{"node", "index.big", `{}`, `error: Function.ResponseSizeTooLarge: Response payload size exceeded`},
		{"node", "index.never", `{}`, `error: Runtime.NodeJsExit: the promise was never resolved`},
		{"node", "index.uncaught", `{}`, `error: Error: nobody caught this`},
		{"node", "index.unhandled", `{}`, `error: Runtime.UnhandledPromiseRejection: nobody handled this`},
		{"node", "index.forgets", `{}`, `error: Runtime.UnhandledPromiseRejection: forgotten`},
		{"node", "index.exits", `{}`, `error: Runtime.ExitError: the process ended with exit status 3; it last said "I leave"`},
		{"node", "index.killed", `{}`, `error: Runtime.ExitError: the process ended with signal: killed`},
		{"node", "index.notAFunction", `{}`, `error: Runtime.HandlerNotFound: index.js does not export a function notAFunction`},
		{"node", "index.missing", `{}`, `error: Runtime.HandlerNotFound: index.js does not export a function missing`},
		{"node", "broken.handler", `{}`, `error: SyntaxError: Unexpected identifier`},
		{"node", "throws.handler", `{}`, `error: Error: at the door`},
		{"node", "missing.handler", `{}`, `error: Error: Cannot find module 'no-such-package'`},
		{"node", "leaves.handler", `{}`, `error: Runtime.ExitError: the process ended with exit status 4; it last said "goodbye"`},
	})
}

// TestPython: what handlers answer, and how their failures are told.
func TestPython(t *testing.T) {
	handle(t, []handled{
		{"python", "app.echo", `{"a":[1,"ö",null]}`, `{"a": [1, "ö", null]}`},
		{"python", "app.nothing", `{}`, `null`},
		{"python", "package/module.handler", `{}`, `"in a package"`},
		{"python", "app.throws", `{}`, `error: ValueError: thrown`},
		{"python", "app.exits", `{}`, `error: Runtime.ExitError: the process ended with exit status 3; it last said "I leave"`},
		{"python", "app.unserializable", `{}`, `error: TypeError: Object of type set is not JSON serializable`},
		{"python", "app.not_a_function", `{}`, `error: AttributeError: app has no function not_a_function`},
		{"python", "broken.handler", `{}`, `error: SyntaxError: `},
		{"python", "missing.handler", `{}`, `error: ModuleNotFoundError: No module named 'no_such_module'`},
	})
}

// TestContext: a handler is told what Lambda tells.
func TestContext(t *testing.T) {
	for dir, handler := range map[string]string{"node": "index.context", "python": "app.context"} {
		f := openFunction(t, dir, handler, nil)
		answer, err := f.invoke(t, "{}")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]any{}
		json.Unmarshal([]byte(answer), &got)
		if id := got["id"].(string); !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) {
			t.Errorf("%s: the request id is %q, want a UUID", dir, id)
		}
		if left := got["remaining"].(float64); left > 30_000 || left < 20_000 {
			t.Errorf("%s: %v ms are left, want almost 30 s", dir, left)
		}
		if trace := got["trace"].(string); !regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`).MatchString(trace) {
			t.Errorf("%s: the trace is %q, want all that X-Ray's SDKs need", dir, trace)
		}
		delete(got, "trace")
		delete(got, "id")
		delete(got, "remaining")
		want := map[string]any{
			"name": "test", "version": "$LATEST", "memory": "128", "arn": "arn:aws:lambda:eu-west-1:123456789012:function:test",
			"handler": handler, "root": true, "mine": "yes",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got\n%v, want\n%v", dir, got, want)
		}
	}
}

// TestTimeout: a handler that hangs is ended, and the next event finds a new process.
func TestTimeout(t *testing.T) {
	for dir, handler := range map[string]string{"node": "index.hangs", "python": "app.hangs"} {
		f := openFunction(t, dir, handler, func(c *Config) { c.Timeout = 250 * time.Millisecond; c.Concurrency = 1 })
		for range 2 {
			_, err := f.invoke(t, "{}")
			if err == nil || err.Error() != "Sandbox.Timedout: Task timed out after 0.25 seconds" {
				t.Errorf("%s: got %v", dir, err)
			}
		}
	}
}

// TestOneAtATime: an environment has one event at a time, as many work as are needed, and no more than allowed.
func TestOneAtATime(t *testing.T) {
	f := openFunction(t, "node", "index.count", func(c *Config) { c.Concurrency = 3 })
	for i := range 5 { // one after the other: one process
		if got, err := f.invoke(t, "{}"); err != nil || got != fmt.Sprint(i+1) {
			t.Fatalf("got %s, %v", got, err)
		}
	}
	f = openFunction(t, "node", "index.late", func(c *Config) { c.Concurrency = 3 })
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if got, err := f.invoke(t, `{"ms":30}`); err != nil || got != `"late"` {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	all.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.live) != 3 || f.waiting.Len() != 0 {
		t.Errorf("%d environments, %d invocations wait; want 3 and 0", len(f.live), f.waiting.Len())
	}
}

// TestWithdraw: who gives up waiting is not served, and takes nothing from others.
func TestWithdraw(t *testing.T) {
	f := openFunction(t, "node", "index.sleeps", func(c *Config) { c.Concurrency = 1 })
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error)
	go func() {
		_, err := f.Invoke(ctx, []byte(`{"ms":300}`))
		first <- err
	}()
	f.await(t, "nobody takes the event", func() bool { return f.waiting.Len() == 0 && len(f.idle) == 0 && f.starting == 0 })
	impatient, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	if _, err := f.Invoke(impatient, []byte(`{"ms":1}`)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no environment became free") {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got, err := f.invoke(t, `{"ms":1}`); err != nil || got != `"awake"` {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestCloseWhileBusy: Close waits for nothing but the processes' end.
func TestCloseWhileBusy(t *testing.T) {
	f := openFunction(t, "node", "index.hangs", func(c *Config) { c.Concurrency = 2 })
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := f.Invoke(context.Background(), []byte("{}"))
			errs <- err
		}()
	}
	f.await(t, "the events are not taken", func() bool { return f.waiting.Len() == 2 && f.starting == 0 })
	start := time.Now()
	f.Close()
	for range 4 {
		if err := <-errs; !errors.Is(err, errClosed) {
			t.Errorf("got %v", err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
}

// TestCrashWhileIdle: a process that ends between two events is told of, and replaced.
func TestCrashWhileIdle(t *testing.T) {
	f := openFunction(t, "node", "index.diesLater", nil)
	for range 3 {
		if got, err := f.invoke(t, "{}"); err != nil || got != `"well"` {
			t.Fatalf("got %s, %v", got, err)
		}
		f.log.waitFor(t, "exit status 9")
		f.log.mu.Lock()
		f.log.text.Reset()
		f.log.mu.Unlock()
	}
}

// TestReload: new code answers from the next event on; what is being handled is finished.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "index.js"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`exports.handler = async (e) => { await new Promise((r) => setTimeout(r, e.ms)); return 1 }`)
	f := openFunction(t, "node", "index.handler", func(c *Config) { c.Directory = dir; c.Watch = true })
	slow, err := f.Start("", []byte(`{"ms":400}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.invoke(t, `{"ms":0}`); err != nil || got != "1" {
		t.Fatalf("got %s, %v", got, err)
	}
	write(`exports.handler = async () => 2`)
	f.log.waitFor(t, "msg=reload")
	if got, err := f.invoke(t, "{}"); err != nil || got != "2" {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := slow(context.Background()); err != nil || string(got) != "1" {
		t.Errorf("what was being handled got %s, %v", got, err)
	}
	write(`not JavaScript`)
	f.log.waitFor(t, "SyntaxError")
	write(`exports.handler = async () => 3`)
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if got, _ := f.invoke(t, "{}"); got == "3" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the mended code is not loaded")
		}
	}
}

// TestReloadOfWhatIsNew: a directory that comes, with others in it, is watched as
// those that were there, and so is the root that is made anew.
func TestReloadOfWhatIsNew(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "dist", "src", "index.js")
	write := func(file string, version int) {
		t.Helper()
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, fmt.Appendf(nil, "exports.handler = async () => %d", version), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(source, 1)
	f := openFunction(t, "node", "dist/src/index.handler", func(c *Config) { c.Directory = dir; c.Watch = true; c.Concurrency = 1 })
	answers := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			got, _ := f.invoke(t, "{}")
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	}
	answers("1")
	// As a compiler that begins anew, in one step.
	fresh := t.TempDir()
	write(filepath.Join(fresh, "dist", "src", "index.js"), 2)
	err := os.RemoveAll(filepath.Join(dir, "dist"))
	if err == nil {
		err = os.Rename(filepath.Join(fresh, "dist"), filepath.Join(dir, "dist"))
	}
	if err != nil {
		t.Fatal(err)
	}
	answers("2")
	write(source, 3)
	answers("3")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(source, 4)
	answers("4")
	write(source, 5)
	answers("5")
}

// TestPythonLogging: what the logging module is told is printed as Lambda does.
func TestPythonLogging(t *testing.T) {
	f := openFunction(t, "python", "app.logs", nil)
	id, err := f.invoke(t, "{}")
	if err != nil {
		t.Fatal(err)
	}
	id = strings.Trim(id, `"`)
	want := regexp.MustCompile(`^\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t` + id + `\tan event\n\[WARNING\]\t[^\t]+\t` + id + `\ttake care\n$`)
	f.printed.waitFor(t, "take care\n")
	if got := f.printed.String(); !want.MatchString(got) {
		t.Errorf("printed %q", got)
	}
}

// TestOpenRefuses: mistakes in the configuration are told at once.
func TestOpenRefuses(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	os.WriteFile(text, nil, 0o644)
	os.WriteFile(filepath.Join(filepath.Dir(text), "app.ts"), nil, 0o644)
	for want, config := range map[string]Config{
		"no such file or directory":               {Directory: "nowhere", Handler: "index.handler"},
		"is not a directory":                      {Directory: "doc.go", Handler: "index.handler"},
		"no file":                                 {Directory: "testdata/node", Handler: "nothing.handler"},
		"with one of .py":                         {Directory: "testdata/node", Handler: "index.handler", Runtime: "python3.12"},
		`there is no runtime "cobol"`:             {Directory: "testdata/node", Handler: "index.handler", Runtime: "cobol"},
		"is not executable; chmod +x makes it so": {Bootstrap: text},
		"is a directory; the executable":          {Bootstrap: "testdata"},
		"must be compiled to JavaScript first":    {Directory: filepath.Dir(text), Handler: "app.handler"},
	} {
		if _, err := Open(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
