// Package browser has no code: its tests drive crier.js in Node and Deno, and the page and the examples in Chromium.
package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is where crier is built.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "browser")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "crier")
	code := 1
	if out, err := exec.Command("go", "build", "-o", program, "crier/cmd/crier").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// TestClient runs crier.js through restarts, sleeps and bad networks.
func TestClient(t *testing.T) { run(t, "client.test.mjs") }

// TestAccess runs crier.js with keys and tokens.
func TestAccess(t *testing.T) { run(t, "access.test.mjs") }

// TestLive runs crier.js against a model of live on a thousand bad days.
func TestLive(t *testing.T) { run(t, "live.test.mjs") }

// TestTypes compiles types.ts against crier.d.ts.
func TestTypes(t *testing.T) {
	needs(t)
	cmd := exec.Command("node", "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom",
		"--module", "nodenext", "types.ts")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPackage installs crier.js as an npm package, and uses it.
func TestPackage(t *testing.T) { run(t, "package.test.mjs") }

// TestPage uses the page as people do.
func TestPage(t *testing.T) { run(t, "page.test.mjs") }

// TestPageAccess uses the page with keys and tokens.
func TestPageAccess(t *testing.T) { run(t, "pageaccess.test.mjs") }

// TestPageLive uses the page's seats of live.
func TestPageLive(t *testing.T) { run(t, "pagelive.test.mjs") }

// TestPageTools sends bytes, saves conversations, shares seats, and manages the
// server's lists.
func TestPageTools(t *testing.T) { run(t, "pagetools.test.mjs") }

// TestPageReader uses the page with a screen reader, a keyboard, and fingers.
func TestPageReader(t *testing.T) { run(t, "pagereader.test.mjs") }

// TestPageServers looks at several servers on the page.
func TestPageServers(t *testing.T) { run(t, "pageservers.test.mjs") }

// TestFile opens pages from files.
func TestFile(t *testing.T) { run(t, "file.test.mjs") }

// TestExamples runs what is in examples/.
func TestExamples(t *testing.T) { run(t, "examples.test.mjs") }

// TestTutorial builds what docs/tutorial.md builds.
func TestTutorial(t *testing.T) { run(t, "tutorial.test.mjs") }

// TestExamplesReader uses the examples with a screen reader and fingers.
func TestExamplesReader(t *testing.T) { run(t, "examplesreader.test.mjs") }

// needs fails the test where the npm packages are not installed.
func needs(t *testing.T) {
	t.Helper()
	for _, name := range []string{"ws", "playwright-core", "axe-core", "typescript", "deno"} {
		if _, err := os.Stat(filepath.Join("node_modules", name)); err != nil {
			t.Fatalf("%v: run make deps, or npm ci in internal/browser", err)
		}
	}
}

// run has Node run a file of tests, while it runs others: they mostly wait.
func run(t *testing.T, file string) {
	t.Helper()
	t.Parallel()
	needs(t)
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: run make deps, or install Debian's package chromium", err)
	}
	cmd := exec.Command("node", "--test", "--test-reporter=spec", file)
	cmd.Env = append(os.Environ(), "PROGRAM="+program, "CHROMIUM="+chromium)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
		return
	}
	t.Logf("%s", out)
}
