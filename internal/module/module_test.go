package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const elsewhere = "example.com/somebody/crier"

// TestModule: under another path, the module is sound, and another module can
// fetch its client. With the former path it is what it was.
func TestModule(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds most packages again")
	}
	clone := t.TempDir()
	before := copySources(t, "../..", clone)
	former := string(moduleLine.FindSubmatch(before["go.mod"])[1])
	if err := rename(clone, elsewhere); err != nil {
		t.Fatal(err)
	}
	command(t, clone, "go", "list", "-test", "-deps", "./...") // every import is found
	command(t, clone, "go", "vet", "./client")
	command(t, clone, "go", "test", "-count=1", "-run", "^TestImports$", ".")
	command(t, clone, "go", "test", "-count=1", "-run", "^Example", "./client")
	if out := command(t, clone, "gofmt", "-l", "."); out != "" {
		t.Errorf("not formatted:\n%s", out)
	}
	t.Run("fetch", func(t *testing.T) { fetch(t, clone) })
	if err := rename(clone, former); err != nil {
		t.Fatal(err)
	}
	after := copySources(t, clone, t.TempDir())
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if !bytes.Equal(before[name], after[name]) {
			t.Errorf("%s is not what it was", name)
		}
	}
}

// fetch has a new module get the client from a proxy that has nothing else, and
// use it.
func fetch(t *testing.T, clone string) {
	proxy, user := t.TempDir(), t.TempDir()
	publish(t, clone, proxy)
	write(t, filepath.Join(user, "main.go"), []byte(`package main

import (
	"context"

	"`+elsewhere+`/client"
)

func main() {
	room, err := client.Connect(context.Background(), "ws://localhost:8080", client.Options{Live: &client.Live{}})
	if err == nil {
		room.Topic("lobby").Send("hi there")
		room.Close()
	}
}
`))
	env := []string{"GOPROXY=file://" + filepath.ToSlash(proxy), "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOMODCACHE=" + t.TempDir(), "GOWORK=off"}
	commandIn(t, env, user, "go", "mod", "init", "example.org/game")
	commandIn(t, env, user, "go", "get", elsewhere+"/client")
	commandIn(t, env, user, "go", "build", "-o", os.DevNull, ".")
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(commandIn(t, env, user, "go", "mod", "edit", "-json")), &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Require) != 1 || mod.Require[0].Path != elsewhere || mod.Require[0].Version != "v0.1.0" {
		t.Errorf("a module that wants the client gets %v", mod.Require)
	}
}

// publish lays a module out as a proxy serves it.
// https://go.dev/ref/mod#goproxy-protocol
func publish(t *testing.T, module, proxy string) {
	dir := filepath.Join(proxy, filepath.FromSlash(elsewhere), "@v")
	mod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	sources := copySources(t, module, t.TempDir())
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if inner, _, nested := strings.Cut(name, "/"); nested && inner == "tools" || strings.HasPrefix(name, "internal/pebble/") {
			continue // modules of their own
		}
		file, err := z.Create(elsewhere + "@v0.1.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(sources[name])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "list"), []byte("v0.1.0\n"))
	write(t, filepath.Join(dir, "v0.1.0.info"), []byte(`{"Version":"v0.1.0","Time":"2026-01-01T00:00:00Z"}`))
	write(t, filepath.Join(dir, "v0.1.0.mod"), mod)
	write(t, filepath.Join(dir, "v0.1.0.zip"), archive.Bytes())
}

// copySources copies a tree without what is installed or built, and returns its
// files by their paths.
func copySources(t *testing.T, from, to string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "dist":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		name, err := filepath.Rel(from, path)
		if err != nil || name == "crier" { // the program
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)] = text
		write(t, filepath.Join(to, name), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	return commandIn(t, nil, dir, name, args...)
}

func commandIn(t *testing.T, env []string, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestRename: only go.mod files and paths of packages change, in Go sources and in
// the page's code to paste.
func TestRename(t *testing.T) {
	dir := t.TempDir()
	files := map[string][2]string{
		"go.mod":       {"module crier\n\ngo 1.26\n", "module example.com/b\n\ngo 1.26\n"},
		"tools/go.mod": {"module crier/tools\n", "module example.com/b/tools\n"},
		"hub/hub.go":   {"package hub\n", "package hub\n"},
		"a.go": {
			"package a\n\nimport (\n\t\"crier/hub\"\n\t\"de.example/x\"\n)\n\nvar _ = []string{\"crier\", \"crier/1.0\", \"xcrier/hub\", \"crier/hub\", \"crier/hub?\"}\n",
			"package a\n\nimport (\n\t\"de.example/x\"\n\t\"example.com/b/hub\"\n)\n\nvar _ = []string{\"crier\", \"crier/1.0\", \"xcrier/hub\", \"example.com/b/hub\", \"crier/hub?\"}\n",
		},
		"node_modules/a.go":    {"import \"crier/hub\"", "import \"crier/hub\""},
		"console/page/code.js": {"\"crier/hub\"; \"crier\"", "\"example.com/b/hub\"; \"crier\""},
		"console/page/seat.js": {"\"crier/hub\"", "\"crier/hub\""},
		"README.md":            {"\"crier/hub\"", "\"crier/hub\""},
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), []byte(text[0]))
	}
	if err := rename(dir, "example.com/b"); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text[1] {
			t.Errorf("%s is %q, %v, want %q", name, got, err, text[1])
		}
	}
}

// TestPaths: a path that nobody can fetch is refused before anything changes.
func TestPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{nil, {""}, {"crier"}, {"you/crier"}, {"https://example.com/crier"}, {"example.com/"}, {"example.com/a b"}, {"example.com/../b"}, {"a.b", "c.d"}} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), "github.com/you/crier") {
			t.Errorf("%q: %v", args, err)
		}
	}
	if err := run([]string{"example.com/crier"}); err == nil || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("without a module: %v", err)
	}
}
