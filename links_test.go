package crier

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const index = "docs/README.md"

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	named   = regexp.MustCompile(`<a id="([^"]+)">`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// linksOf returns where the links of a document lead within the repository: paths,
// each with the heading that it names, if any.
func linksOf(t *testing.T, path string) (targets [][2]string) {
	for _, m := range link.FindAllStringSubmatch(fences.ReplaceAllString(read(t, path), ""), -1) {
		if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
			continue
		}
		name, anchor, _ := strings.Cut(m[1], "#")
		target := path
		if name != "" {
			target = filepath.Join(filepath.Dir(path), name)
		}
		targets = append(targets, [2]string{target, anchor})
	}
	return targets
}

// anchorsOf returns the places of a document that links may name: its headings,
// and what has an id.
func anchorsOf(t *testing.T, path string) (anchors []string) {
	text := fences.ReplaceAllString(read(t, path), "")
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		anchors = append(anchors, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		anchors = append(anchors, m[1])
	}
	return anchors
}

// TestIndex: people who come with a question find every page of docs/.
func TestIndex(t *testing.T) {
	var listed []string
	for _, target := range linksOf(t, index) {
		listed = append(listed, target[0])
	}
	for _, path := range documents(t) {
		if strings.HasPrefix(path, "docs/") && path != index && !slices.Contains(listed, path) {
			t.Errorf("%s does not link to %s", index, path)
		}
	}
	if !slices.ContainsFunc(linksOf(t, "README.md"), func(target [2]string) bool { return target[0] == index }) {
		t.Errorf("README.md does not link to %s", index)
	}
}

// TestLinks: what documents link to is there, and has the heading.
func TestLinks(t *testing.T) {
	for _, path := range documents(t) {
		for _, target := range linksOf(t, path) {
			name, anchor := target[0], target[1]
			if _, err := os.Stat(name); err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if anchor != "" && strings.HasSuffix(name, ".md") && !slices.Contains(anchorsOf(t, name), anchor) {
				t.Errorf("%s: %s has no heading #%s", path, name, anchor)
			}
		}
	}
}
