// Package crier has no code: its test holds the project to ARCHITECTURE.md.
package crier

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestImports: every package of the program imports what ARCHITECTURE.md allows it to, and nothing else of ours.
func TestImports(t *testing.T) {
	allowed, module := allowedImports(t), modulePath(t)
	for path, imports := range packages(t) {
		name := strings.TrimPrefix(path, module+"/")
		if name == module || strings.HasPrefix(name, "internal/") || strings.HasPrefix(name, "examples/") {
			continue
		}
		allow, ok := allowed[name]
		if !ok {
			t.Errorf("ARCHITECTURE.md does not say what %s may import", name)
		}
		for _, imported := range imports {
			imported, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.Contains(allow, imported) {
				t.Errorf("%s imports %s; ARCHITECTURE.md allows it %q: dependencies point down only", name, imported, allow)
			}
		}
		for _, other := range allow {
			if !slices.Contains(imports, module+"/"+other) {
				t.Errorf("ARCHITECTURE.md says that %s imports %s; it does not", name, other)
			}
		}
		delete(allowed, name)
	}
	for name := range allowed {
		t.Errorf("ARCHITECTURE.md tells of a package %s; there is none", name)
	}
}

// allowedImports reads the lines of ARCHITECTURE.md such as
//
//	gateway → ws
func allowedImports(t *testing.T) map[string][]string {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "Dependencies point down only.")
	section, _, _ = strings.Cut(section, "An interface belongs")
	allowed := make(map[string][]string)
	for line := range strings.Lines(section) {
		if name, list, ok := strings.Cut(line, "→"); ok {
			allowed[strings.TrimSpace(name)] = strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \n", r) })
		}
	}
	if len(allowed) == 0 {
		t.Fatal("ARCHITECTURE.md has no table of imports")
	}
	return allowed
}

// modulePath returns the path of this module, which whoever publishes it chooses.
func modulePath(t *testing.T) string {
	out, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func packages(t *testing.T) map[string][]string {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	list := make(map[string][]string)
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		list[p.ImportPath] = p.Imports
	}
	return list
}

// TestPromisesAreHeld: the tests that docs/security.md names are there.
func TestPromisesAreHeld(t *testing.T) {
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+): ((?i:test|fuzz)[A-Za-z]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 30 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, n := range named {
		if !declares(t, n[1], n[2]) {
			t.Errorf("there is no %s in %s", n[2], n[1])
		}
	}
}

// declares reports whether a file of a directory has a function of that name.
func declares(t *testing.T, dir, function string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+function+"(") {
			return true
		}
	}
	return false
}
