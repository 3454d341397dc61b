// Module gives crier the path at which it can be fetched. Go programs name a
// package by the place of its module, and this repository has no place of its
// own: whoever publishes it says where.
//
//	go run ./internal/module github.com/you/crier
//
// It changes go.mod files, and the paths of crier's packages in Go sources and in
// the code to paste of crier's page. With the former path, it changes everything
// back.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "module: "+err.Error())
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("want the path at which the module can be fetched, such as github.com/you/crier")
	}
	if host, _, _ := strings.Cut(args[0], "/"); !wellFormed.MatchString(args[0]) || !strings.Contains(host, ".") {
		return fmt.Errorf("%q is no path that go get can fetch; it should look like github.com/you/crier", args[0])
	}
	return rename(".", args[0])
}

// wellFormed matches module paths. https://go.dev/ref/mod#go-mod-file-ident
var wellFormed = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)

// moduleLine is where a go.mod says which module it is of.
var moduleLine = regexp.MustCompile(`(?m)^module (\S+)$`)

// rename gives the module in a directory another path, and so the modules in it.
func rename(dir, path string) error {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	found := moduleLine.FindSubmatch(mod)
	if found == nil {
		return fmt.Errorf("%s names no module", filepath.Join(dir, "go.mod"))
	}
	former := string(found[1])
	packagePath := regexp.MustCompile(`"` + regexp.QuoteMeta(former) + `/([A-Za-z0-9_./-]+)"`)
	renamePackages := func(text []byte) []byte {
		return packagePath.ReplaceAllFunc(text, func(quoted []byte) []byte {
			name := string(packagePath.FindSubmatch(quoted)[1])
			if !isPackage(filepath.Join(dir, filepath.FromSlash(name))) {
				return quoted // another text that begins like that
			}
			return []byte(`"` + path + "/" + name + `"`)
		})
	}
	codeToPaste := filepath.Join(dir, "console", "page", "code.js")
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != dir && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "dist"):
			return fs.SkipDir
		case d.Name() == "go.mod":
			return rewrite(file, func(text []byte) ([]byte, error) {
				return moduleLine.ReplaceAllFunc(text, func(line []byte) []byte {
					return bytes.Replace(line, []byte(former), []byte(path), 1)
				}), nil
			})
		case d.Type().IsRegular() && filepath.Ext(file) == ".go":
			return rewrite(file, func(text []byte) ([]byte, error) {
				return format.Source(renamePackages(text)) // imports are sorted
			})
		case file == codeToPaste:
			return rewrite(file, func(text []byte) ([]byte, error) { return renamePackages(text), nil })
		}
		return nil
	})
}

func isPackage(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	return len(files) > 0
}

// rewrite changes a file, if that makes a difference.
func rewrite(file string, change func([]byte) ([]byte, error)) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	changed, err := change(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if bytes.Equal(text, changed) {
		return nil
	}
	return os.WriteFile(file, changed, 0o644)
}
