package lambda

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// openCode opens a function whose code is in files of its own.
func openCode(t *testing.T, files map[string]string, handler string, change func(*Config)) testFunction {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return openFunction(t, "", handler, func(c *Config) {
		c.Directory = dir
		if change != nil {
			change(c)
		}
	})
}

// TestOutput: lines come whole, the last one, too.
func TestOutput(t *testing.T) {
	f := openFunction(t, "node", "index.prints", nil)
	f.invoke(t, "{}")
	if got := f.printed.String(); got != "one\ntwo\n\nthree\nfour\nfive\n" {
		t.Errorf("got %q", got)
	}
}

// talkers print in many ways, and then answer, fail, or never answer.
var talkers = map[string]string{
	"index.js": `
exports.handler = async (event) => {
  for (let i = 0; i < 20; i++) process.stdout.write("part ");
  console.error("[" + event.n);
  console.log(process.env);
  process.stdout.write(event.n + "]");
  if (event.then === "throw") throw new Error("thrown");
  if (event.then === "hang") await new Promise((resolve) => setTimeout(resolve, 1e6));
  if (event.then === "exit") process.exit(1);
};`,
	"app.py": `
import os, pprint, sys, time
def handler(event, context):
    for i in range(20):
        print("part ", end="")
    print("[%d" % event["n"], file=sys.stderr)
    pprint.pprint(dict(os.environ), width=20)
    print("%d]" % event["n"], end="")
    if event.get("then") == "throw": raise ValueError("thrown")
    if event.get("then") == "hang": time.sleep(1e6)
    if event.get("then") == "exit": os._exit(1)
`,
}

// TestOutputComesFirst: what is printed for an event has been passed on when its
// answer is there, whatever the answer.
func TestOutputComesFirst(t *testing.T) {
	for _, handler := range []string{"index.handler", "app.handler"} {
		f := openCode(t, talkers, handler, func(c *Config) {
			c.Timeout, c.Concurrency = 300*time.Millisecond, 1
		})
		n := 0
		for _, then := range []string{"", "throw", "", "hang", "", "exit", "", "", ""} {
			n++
			f.invoke(t, fmt.Sprintf(`{"n":%d,"then":%q}`, n, then))
			if got := f.printed.String(); !strings.Contains(got, fmt.Sprintf("\n%d]", n)) {
				t.Fatalf("%s, then %q: the answer is there before the output:\n%s", handler, then, got)
			}
		}
	}
}

// TestPrintsStandTogether: what is printed for an event, in however many writes,
// is passed on at once, though other processes print, too.
func TestPrintsStandTogether(t *testing.T) {
	for _, handler := range []string{"index.handler", "app.handler"} {
		f := openCode(t, talkers, handler, func(c *Config) {
			c.Concurrency, c.quiet = 4, patience // a machine may have more to do for a while
		})
		var all sync.WaitGroup
		for n := range 40 {
			all.Go(func() {
				if _, err := f.invoke(t, fmt.Sprintf(`{"n":%d}`, n)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		f.printed.mu.Lock()
		for _, block := range f.printed.blocks {
			first, rest, _ := strings.Cut(strings.TrimLeft(block, "part "), "\n")
			last := rest[strings.LastIndex(strings.TrimSuffix(rest, "\n"), "\n")+1:]
			if strings.TrimPrefix(first, "[") != strings.TrimSuffix(last, "]\n") || strings.Count(block, "part [") != 1 {
				t.Errorf("%s: a block is\n%s", handler, block)
			}
		}
		f.printed.mu.Unlock()
	}
}

// TestLongOutput: what never ends is passed on in pieces.
func TestLongOutput(t *testing.T) {
	f := openCode(t, map[string]string{"index.js": `
exports.handler = async () => {
  process.stdout.write("x".repeat(3e6));
  process.stdout.write("y".repeat(20) + "\n");
  setInterval(() => console.log("again"), 5);
  await new Promise((resolve) => setTimeout(resolve, 1e6));
};`}, "index.handler", nil)
	wait, err := f.Start("", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	f.printed.waitFor(t, "again")
	f.Close()
	wait(context.Background())
	text, _, _ := strings.Cut(f.printed.String(), "again")
	if want := strings.Repeat("x", 3e6) + strings.Repeat("y", 20); strings.ReplaceAll(text, "\n", "") != want {
		t.Errorf("of %d characters there are %d", len(want), len(text)-strings.Count(text, "\n"))
	}
	for line := range strings.Lines(text) {
		if len(line) > maxLine+1 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
}

// TestStartFailureIsToldOnce: at once, before anybody waits, and not again with
// each event. A change of the code is a new beginning.
func TestStartFailureIsToldOnce(t *testing.T) {
	for handler, want := range map[string]string{
		"throws.handler": `cause="Error: at the door"`,
		"broken.handler": `cause="SyntaxError: `,
		"leaves.handler": "the process ended with exit status 4",
	} {
		f := openFunction(t, "node", handler, nil)
		f.log.waitFor(t, want)
		once := f.printed.String()
		if strings.TrimSpace(once) == "" {
			t.Errorf("%s: nothing is printed", handler)
		}
		for range 3 {
			if _, err := f.invoke(t, "{}"); err == nil {
				t.Errorf("%s: it answers", handler)
			}
		}
		told := strings.Count(f.log.String(), "function failed")
		if got := f.printed.String(); got != once || told != 1 {
			t.Errorf("%s: it is told %d times, and printed\n%s", handler, told, got)
		}
		f.Reload()
		f.log.waitTimes(t, "function failed", 2)
		if got := f.printed.String(); got != once+once {
			t.Errorf("%s: after a change it printed\n%s", handler, got)
		}
	}
}

// waitTimes returns when the printer has the text that many times.
func (p *printer) waitTimes(t *testing.T, text string, times int) {
	t.Helper()
	for deadline := time.Now().Add(patience); strings.Count(p.String(), text) < times; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %q %d times, got\n%s", text, times, p)
		}
	}
}

// TestReportedEndIsToldOnce: a process that ends after it has reported why is not
// told of again; one that gave another answer is.
func TestReportedEndIsToldOnce(t *testing.T) {
	f := openCode(t, map[string]string{"index.js": `
exports.handler = async (event) => {
  if (event.answer) setTimeout(() => process.exit(9), 1);
  else setTimeout(() => { throw new Error("on its own"); });
  if (!event.answer) await new Promise((resolve) => setTimeout(resolve, 1e6));
};`}, "index.handler", func(c *Config) { c.Concurrency = 1 })
	for range 3 {
		if _, err := f.invoke(t, "{}"); err == nil || err.Error() != "Error: on its own" {
			t.Errorf("got %v", err)
		}
	}
	if _, err := f.invoke(t, `{"answer":true}`); err != nil {
		t.Error(err)
	}
	f.log.waitFor(t, "exit status 9")
	if got := strings.Count(f.log.String(), "function failed"); got != 1 {
		t.Errorf("%d failures are logged:\n%s", got, f.log)
	}
}
