package crier

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A pattern is a turn of phrase that makes people read twice.
type pattern struct {
	find  *regexp.Regexp
	now   string // an example
	plain string // what to write instead
}

// patterns are the worst of those that a machine can find with hardly a false
// alarm. A sentence that one of them catches is reworded.
var patterns = []pattern{
	{
		turn(`\b(for|to|from|by|with|of|than|at|on) who\b`),
		"It answers in the form of\n  who asked.", "It answers in the form that the client asked for.",
	}, {
		turn(`\bwho(so)?ever\b|\b(?-i:Who) (is|has|does|may|only|calls|asks|sends|reads|wants)\b[^.?]*\.`),
		"Whoever may connect hears everyone.", "Every client that may connect receives everything.",
	}, {
		turn(`\b(what|whatever) one\b|\b(hears?|heard)\b`),
		"What one says, everyone hears.", "Every message goes to everyone.",
	}, {
		turn(`\b(ha(s|ve|d)|having) (it|them|him|us|you|others|everybody|the \w+|\w+s)` +
			` (do|look|go|come|pass|keep|connect|take|wait|read|send|make|forget|trust|use|write|tell|start|stop|close|wake|ask)\b`),
		"To have it keep the certificates, add a volume.", "To keep the certificates, add a volume.",
	}, {
		turn(`\bbe (it|they) (a|an|the|in|on|by|for|from|with|because|that)\b|\b(is|are) to be\b`),
		"Any message counts, be it a heartbeat.", "Any message counts, also a heartbeat.",
	}, {
		turn(`\b(ha(s|ve|d)|having) yet to\b`),
		"It drops messages that readers have yet to read.", "It drops messages that readers have not read yet.",
	}, {
		turn(`\bbehind\b`),
		"The part behind the last slash is wrong.", "The part after the last slash is wrong.",
	}, {
		turn(`\bfor want of\b|\bsuch as (have|has|are|is|do|does)\b|\bbut for\b`),
		"It refuses for want of memory, but for small messages.", "It refuses because memory is used up, except for small messages.",
	},
}

var (
	fences = regexp.MustCompile("(?ms)^```.*?^```")
	// What a sentence has besides words: code, and where links lead.
	code = regexp.MustCompile("`[^`\n]*`|\\]\\([^)\n]*\\)|(?m:^ {4,}\\S.*$)")
	// Slow readers are behind; servers stand behind proxies.
	behind = turn(`\b(fall|falls|fell|fallen|falling|leaves nothing|[KM]iB) behind\b` +
		`|\bbehind (NAT|(a|the|your) (reverse )?(proxy|firewall|load balancer))\b`)
)

// turn compiles a pattern whose words may stand on two lines.
func turn(words string) *regexp.Regexp {
	return regexp.MustCompile("(?i)" + strings.ReplaceAll(words, " ", `\s+`))
}

// TestProse keeps the worst patterns out of every document.
func TestProse(t *testing.T) {
	paths := documents(t)
	if len(paths) < 14 {
		t.Errorf("only %d documents were found", len(paths))
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		words := words(string(text))
		for _, p := range patterns {
			for _, at := range p.find.FindAllStringIndex(words, -1) {
				line := 1 + strings.Count(string(text[:at[0]]), "\n")
				t.Errorf("%s:%d: %q; instead of\n\t%s\nwrite\n\t%s", path, line, words[at[0]:at[1]], p.now, p.plain)
			}
		}
	}
}

// TestPatterns: each pattern finds its example, and what to write instead is
// free of all patterns.
func TestPatterns(t *testing.T) {
	for _, p := range patterns {
		if !p.find.MatchString(words(p.now)) {
			t.Errorf("%v does not find %q", p.find, p.now)
		}
		for _, q := range patterns {
			if q.find.MatchString(words(p.plain)) {
				t.Errorf("%v finds %q", q.find, p.plain)
			}
		}
	}
	const fine = "A client that is 4 MiB\nbehind gets `behind`. For `x` who is that? crier is behind a\nproxy.\n\n    for who\n\n```\nwhoever\n```\n"
	for _, p := range patterns {
		if found := p.find.FindString(words(fine)); found != "" {
			t.Errorf("%v finds %q, which is no fault", p.find, found)
		}
	}
}

// words returns text without what is not prose or is allowed. Offsets stay as
// they are.
func words(text string) string {
	for _, not := range []*regexp.Regexp{fences, code, behind} {
		text = not.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat("#", len(s)) })
	}
	return text
}

// documents returns the paths of all documents that are ours.
func documents(t *testing.T) []string {
	var paths []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && slices.Contains([]string{".git", "node_modules", "dist"}, entry.Name()) {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
