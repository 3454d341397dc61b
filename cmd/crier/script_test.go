package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"crier": main})
}

// TestScripts runs testdata/script/*.txt, with crier as a program, and npm packages in $MODULES. Beside the usual
// commands there are
//
//	served FILE          wait until the server whose output goes to FILE tells its address, and set $URL, $HTTP and $HTTPHOST to it
//	await FILE PATTERN   wait until FILE has what the pattern describes, and set $FOUND to its first group
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("they start many processes")
	}
	modules, err := filepath.Abs("../../examples/lambda/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Setup: func(env *testscript.Env) error {
			env.Setenv("MODULES", modules)
			return nil
		},
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"served": served, "await": await},
	})
}

var told = regexp.MustCompile(`ws(s?://\S+)`)

func served(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: served FILE")
	}
	found := awaitMatch(ts, args[0], told)
	ts.Setenv("URL", found[0])
	ts.Setenv("HTTP", "http"+found[1])
	_, address, _ := strings.Cut(found[1], "://")
	host, _, _ := strings.Cut(address, "/")
	ts.Setenv("HTTPHOST", host)
}

// await waits until a file has what a pattern describes.
func await(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: await FILE PATTERN")
	}
	if found := awaitMatch(ts, args[0], regexp.MustCompile(args[1])); len(found) > 1 {
		ts.Setenv("FOUND", found[1])
	}
}

func awaitMatch(ts *testscript.TestScript, file string, pattern *regexp.Regexp) []string {
	var text []byte
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, _ = os.ReadFile(ts.MkAbs(file))
		if found := pattern.FindStringSubmatch(string(text)); found != nil {
			return found
		}
	}
	ts.Fatalf("%s does not come to have %s; it has\n%s", file, pattern, text)
	return nil
}
