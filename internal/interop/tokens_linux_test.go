package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"crier/client"
)

const accessFile = "../../docs/access.md"

// makers are the languages of the programs in docs/access.md that make tokens:
// by the fence that each is in, and how it is run.
var makers = []struct {
	fence, file string
	command     []string
}{
	{"js", "token.mjs", []string{"node"}},
	{"python", "token.py", []string{"python3"}},
	{"go", "token.go", []string{"go", "run"}},
	{"php", "token.php", []string{"php"}},
}

// TestTokensOfDocument runs the programs as they stand in docs/access.md. Each
// prints a token, with which Ada gets in, under her name, and nowhere else.
func TestTokensOfDocument(t *testing.T) {
	text, err := os.ReadFile(accessFile)
	if err != nil {
		t.Fatal(err)
	}
	_, programs, _ := strings.Cut(string(text), "\n### From your own service\n")
	dir := t.TempDir()
	const secret = "a secret that nobody can guess, of more than 32 bytes"
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := serve(t, "--token-secret-file", filepath.Join(dir, "secret"))
	for _, m := range makers {
		t.Run(m.fence, func(t *testing.T) {
			program := regexp.MustCompile("(?s)```" + m.fence + "\n(.*?)```").FindStringSubmatch(programs)
			if program == nil {
				t.Fatalf("%s has no program in %s", accessFile, m.fence)
			}
			if err := os.WriteFile(filepath.Join(dir, m.file), []byte(program[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(m.command[0], append(m.command[1:], m.file)...)
			cmd.Dir = dir
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v; make deps installs what is missing", err)
			}
			checkAda(t, url, strings.TrimSuffix(string(out), "\n"))
		})
	}
}

// checkAda: the token is Ada's, for the topics game-*.
func checkAda(t *testing.T, url, token string) {
	t.Helper()
	header := map[string][]string{"Authorization": {"Bearer " + token}}
	for _, c := range []struct {
		query  string
		status int // of the refusal; 0: there is none
	}{
		{"/live?topic=game-7", 0},
		{"/live?topic=game-7&user=ada", 0},
		{"/?topic=game-", 0},
		{"/live?topic=game-7&user=bob", 403},
		{"/live?topic=lobby", 403},
		{"/", 403},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, err := client.Dial(ctx, url+c.query, client.Handshake{Header: header})
		switch refused, ok := err.(*client.Refused); {
		case err == nil && c.status != 0:
			t.Errorf("%s: the token gets in", c.query)
		case err != nil && (!ok || refused.Status != c.status):
			t.Errorf("%s: %v", c.query, err)
		}
		if err != nil {
			continue
		}
		if strings.HasPrefix(c.query, "/live") {
			if greeting, _, err := conn.Next(); err != nil || !strings.Contains(string(greeting), `"user":"ada"`) {
				t.Errorf("%s: %s, %v", c.query, greeting, err)
			}
		}
		conn.HangUp()
	}
	if _, err := client.Dial(t.Context(), url+"/?topic=game-7", client.Handshake{}); err == nil {
		t.Error("without a token, the door is open")
	}
}
