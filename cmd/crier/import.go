package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"crier/api"
	"crier/importer"
)

// importAPI writes the crier.yaml at path for the API that another file
// describes.
func importAPI(from, path string, overwrite bool, out io.Writer) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	home := filepath.Dir(path)
	dir, err := relative(home, filepath.Dir(from))
	if err != nil {
		return err
	}
	beside := func(name string) string { return filepath.Join(filepath.Dir(from), filepath.FromSlash(name)) }
	result, err := importer.Convert(importer.Source{
		Name:   filepath.Base(from),
		Text:   text,
		Dir:    filepath.ToSlash(dir),
		Read:   func(name string) ([]byte, error) { return os.ReadFile(beside(name)) },
		Exists: func(name string) bool { _, err := os.Stat(beside(name)); return err == nil },
		Env:    os.LookupEnv,
		Region: api.Region(),
	})
	if err != nil {
		return err
	}
	files := map[string][]byte{path: result.File}
	for name, code := range result.Code {
		files[filepath.Join(home, filepath.FromSlash(name))] = code
	}
	if err := writeAll(files, overwrite); err != nil {
		return err
	}
	next := "crier gateway"
	if result.Tables > 0 {
		next += " --dynamodb"
	}
	next += " --watch" + strings.TrimSuffix(" "+path, " crier.yaml")
	// The text comes from a file that anyone may have written.
	_, err = fmt.Fprintf(harmlessLines{out}, "wrote %s: %s, %s, %s\n%s\nNext: %s\n", path,
		count(result.Routes, "route"), count(result.Functions, "function"), count(result.Tables, "table"), result.Report(), next)
	return err
}

// writeAll writes files: all of them, or none if one is there already and may
// not be overwritten.
func writeAll(files map[string][]byte, overwrite bool) error {
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil && !overwrite {
			return fmt.Errorf("%s is there already; --force overwrites it", name)
		}
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(name, files[name], 0o666); err != nil {
			return err
		}
	}
	return nil
}

// relative returns a directory as it is seen from another, or, on another
// volume, as it is seen from anywhere.
func relative(home, dir string) (string, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if seen, err := filepath.Rel(home, dir); err == nil {
		return seen, nil
	}
	return dir, nil
}

// count says how many there are of something.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
