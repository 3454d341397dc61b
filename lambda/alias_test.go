package lambda

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const testAlias = "criercrier.execute-api.eu-west-1.amazonaws.com"

// TestAliasEnvironment: what is added to an environment, and what becomes of
// what is in it.
func TestAliasEnvironment(t *testing.T) {
	p, err := NewProxy([]string{testAlias}, "127.0.0.1:1", "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	a := Alias{Name: testAlias, To: "127.0.0.1:45678", Proxy: p}
	require := `--require "/a \"b\\c/alias.cjs"`
	own := "localhost,127.0.0.1,::1"
	for _, test := range []struct {
		name       string
		env        []string
		executable bool
		want       map[string]string
	}{
		{"nothing before", nil, false, map[string]string{
			"_CRIER_ALIAS": testAlias + "=127.0.0.1:45678", "NODE_OPTIONS": require, "PYTHONPATH": `/a "b\c`,
			"HTTPS_PROXY": "", "https_proxy": "", "NO_PROXY": "", "no_proxy": "",
		}},
		{"options", []string{"NODE_OPTIONS=--no-warnings", "NODE_OPTIONS=--enable-source-maps", "PYTHONPATH=/x" + string(os.PathListSeparator) + "/y"}, false, map[string]string{
			"NODE_OPTIONS": "--enable-source-maps " + require, "PYTHONPATH": strings.Join([]string{`/a "b\c`, "/x", "/y"}, string(os.PathListSeparator)),
		}},
		{"an executable", nil, true, map[string]string{
			"NODE_OPTIONS": require, "HTTPS_PROXY": p.URL(), "https_proxy": p.URL(), "HTTP_PROXY": "", "NO_PROXY": own, "no_proxy": own,
		}},
		{"an executable, exceptions from no proxy", []string{"NO_PROXY=.amazonaws.com", "no_proxy=*"}, true, map[string]string{
			"HTTPS_PROXY": p.URL(), "NO_PROXY": own, "no_proxy": own,
		}},
		{"a proxy", []string{"HTTPS_PROXY=http://proxy:3128"}, false, map[string]string{
			"HTTPS_PROXY": "http://proxy:3128", "https_proxy": "", "NO_PROXY": testAlias, "no_proxy": testAlias,
		}},
		{"a proxy, for an executable", []string{"all_proxy=socks5://proxy", "no_proxy=a,b"}, true, map[string]string{
			"all_proxy": "socks5://proxy", "HTTPS_PROXY": "", "https_proxy": "", "NO_PROXY": "a,b," + testAlias, "no_proxy": "a,b," + testAlias,
		}},
		{"a proxy for nobody", []string{"HTTPS_PROXY=http://proxy", "NO_PROXY=*", "no_proxy=c"}, false, map[string]string{
			"NO_PROXY": "*", "no_proxy": "c," + testAlias,
		}},
		{"no proxy, said twice", []string{"HTTPS_PROXY=http://proxy", "HTTPS_PROXY="}, true, map[string]string{"HTTPS_PROXY": p.URL()}},
	} {
		before := strings.Join(test.env, "\n")
		got := variables(a.environment(test.env, `/a "b\c`, test.executable))
		for name, want := range test.want {
			if got := got.get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", test.name, name, got, want)
			}
		}
		if strings.Join(test.env, "\n") != before {
			t.Errorf("%s: the environment itself was changed", test.name)
		}
	}
}

// TestAliasFiles: the files are there once, however many ask for them, and
// processes load them wherever they are.
func TestAliasFiles(t *testing.T) {
	a := Alias{Name: testAlias, To: "127.0.0.1:1", Files: filepath.Join(t.TempDir(), `a "b c`)}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if _, err := a.install(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	dir, err := a.install()
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("there are %v", entries)
	}
	for program, args := range map[string][]string{
		"node":    {"-p", "globalThis[Symbol.for('crier.alias')]"},
		"python3": {"-c", "import sys; print(sys._crier_alias)"},
	} {
		cmd := exec.Command(program, args...)
		cmd.Env = a.environment(os.Environ(), dir, false)
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != testAlias {
			t.Errorf("%s: got %s, %v", program, out, err)
		}
	}
	a.Files = filepath.Join(dir, "alias.cjs") // a file
	if _, err := Open(Config{Name: "test", Directory: "testdata/node", Handler: "index.echo", Alias: a}); err == nil || !strings.Contains(err.Error(), "install what leads to "+testAlias) {
		t.Errorf("got %v", err)
	}
}

// TestOwnSitecustomize: a module that Python would have loaded without us is
// loaded, too.
func TestOwnSitecustomize(t *testing.T) {
	a := Alias{Name: testAlias, Files: t.TempDir()}
	dir, err := a.install()
	if err != nil {
		t.Fatal(err)
	}
	own := t.TempDir()
	if err := os.WriteFile(filepath.Join(own, "sitecustomize.py"), []byte("import builtins\nbuiltins.mine = __file__\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", "import sys, sitecustomize; print(mine, sitecustomize.__file__, sys._crier_alias, sys.path)")
	cmd.Env = a.environment(append(os.Environ(), "PYTHONPATH="+own), dir, false)
	out, err := cmd.CombinedOutput()
	if path := filepath.Join(own, "sitecustomize.py"); err != nil || !strings.HasPrefix(string(out), path+" "+path+" "+testAlias) || strings.Contains(string(out), dir) {
		t.Errorf("got %s, %v", out, err)
	}
}

// TestNotLed: a function whose process could not be prepared does not start.
func TestNotLed(t *testing.T) {
	for dir, handler := range map[string]string{"node": "index.echo", "python": "app.echo"} {
		f := openFunction(t, dir, handler, func(c *Config) { c.Environment = append(c.Environment, "_CRIER_ALIAS="+testAlias+"=127.0.0.1:1") })
		_, err := f.invoke(t, "{}")
		if err == nil || !strings.Contains(err.Error(), "would leave the machine") {
			t.Errorf("%s: got %v", dir, err)
		}
	}
}

// TestNoCrier: without a crier to lead it to, the alias leads nowhere.
func TestNoCrier(t *testing.T) {
	a := Alias{Name: testAlias, Files: t.TempDir()}
	dir, err := a.install()
	if err != nil {
		t.Fatal(err)
	}
	for program, code := range map[string]string{
		"node":    "require('https').get('https://" + testAlias + "').on('error', (e) => console.log(e.code))",
		"python3": "import socket\ntry: socket.create_connection(('" + testAlias + "', 443))\nexcept OSError as e: print(type(e))",
	} {
		cmd := exec.Command(program, map[string]string{"node": "-e", "python3": "-c"}[program], code)
		cmd.Env = a.environment(os.Environ(), dir, false)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "there is no crier that it could lead to") {
			t.Errorf("%s: got %s, %v", program, out, err)
		}
	}
}

// TestTellOfAlias: a person is told of executables that may not be led, and of
// no others.
func TestTellOfAlias(t *testing.T) {
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "bootstrap")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	builds, buildsNot := script("curl https://$1.execute-api.$AWS_REGION.amazonaws.com\n"), script("curl https://$1\n")
	for _, test := range []struct{ path, env, want string }{
		{builds, "", "level=INFO msg=\"this executable reaches its API if it follows HTTPS_PROXY"},
		{builds, "HTTPS_PROXY=http://proxy", "level=WARN msg=\"the environment has a proxy"},
		{builds, "https_proxy=http://proxy", "level=WARN msg=\"the environment has a proxy"},
		{buildsNot, "", ""},
		{buildsNot, "HTTPS_PROXY=http://proxy", ""},
	} {
		log := &printer{}
		f := &Function{
			config: Config{Name: "f", Environment: []string{test.env}, Alias: Alias{Name: testAlias}, Log: slog.New(slog.NewTextHandler(log, nil))},
			code:   code{program: test.path},
		}
		f.tellOfAlias()
		if got := log.String(); test.want == "" && got != "" || !strings.Contains(got, test.want) || test.want != "" && !strings.Contains(got, "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI") {
			t.Errorf("%q: got %q, want %q", test.env, got, test.want)
		}
	}
}
