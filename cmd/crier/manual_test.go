package main

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// What writes the manual is in a test, so that it is no part of the program.
var manual = flag.String("manual", "", "the directory to write the manual's pages to")

// TestManual: there is a page for each command, made of what --help says. To
// write them to a directory:
//
//	go test ./cmd/crier -count 1 -run Manual -manual /absolute/path
func TestManual(t *testing.T) {
	dir := *manual
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot()
	root.InitDefaultCompletionCmd()
	// The same sources make the same pages. https://reproducible-builds.org/specs/source-date-epoch/
	seconds, _ := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	date := time.Unix(seconds, 0).UTC()
	header := &doc.GenManHeader{Section: "1", Source: "crier", Manual: "crier", Date: &date}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			continue // has no page
		}
		page, err := os.ReadFile(filepath.Join(dir, "crier-"+cmd.Name()+".1"))
		if err != nil || !strings.Contains(string(page), cmd.Short) {
			t.Errorf("the page of crier %s does not say %q: %v", cmd.Name(), cmd.Short, err)
		}
	}
}

// TestHelpFits: a terminal has 80 columns.
func TestHelpFits(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Long + "\n" + cmd.UsageString()) {
			if n := columns(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s --help has a line of %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newRoot())
}
