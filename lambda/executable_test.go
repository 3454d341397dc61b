package lambda

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// vendored builds a program with a version of Go's library for Lambda, which
// reads these variables and does no more.
func vendored(t *testing.T, version string, variables ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":             "module old\n\ngo 1.20\n\nrequire github.com/aws/aws-lambda-go " + version + "\n",
		"main.go":            "package main\n\nimport \"github.com/aws/aws-lambda-go/lambda\"\n\nfunc main() { lambda.Start() }\n",
		"vendor/modules.txt": "# github.com/aws/aws-lambda-go " + version + "\n## explicit\ngithub.com/aws/aws-lambda-go/lambda\n",
		"vendor/github.com/aws/aws-lambda-go/lambda/x.go": fmt.Sprintf("package lambda\n\nimport \"os\"\n\nvar variables = %#v\n\nfunc Start() { println(os.Getenv(variables[0])) }\n", variables),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-mod=vendor", "-ldflags=-s -w", "-o", "bootstrap")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "bootstrap")
}

// TestOldGoLibrary: an executable that waits for RPC is refused at once, with
// what to do about it.
func TestOldGoLibrary(t *testing.T) {
	const port, api = "_LAMBDA_SERVER_PORT", "AWS_LAMBDA_RUNTIME_API"
	script := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexport "+port+"=1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, path, want string }{
		{"RPC", vendored(t, "v1.13.3", port), "aws-lambda-go v1.13.3, which"},
		{"RPC and the Runtime API", vendored(t, "v1.18.0", port, api), ""},
		{"the Runtime API", vendored(t, "v1.55.1", api), ""},
		{"an old library's types only", vendored(t, "v1.13.3", "HOME"), ""},
		{"a script", script, ""},
	} {
		_, err := findCode(Config{Directory: filepath.Dir(test.path), Bootstrap: test.path})
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "v1.18.0 or later")):
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
}

// TestMentions: a text is found wherever it is in a file.
func TestMentions(t *testing.T) {
	const text = "a text"
	path := filepath.Join(t.TempDir(), "file")
	for before := range 20 {
		long := strings.Repeat("x", 256<<10-before) // then the text may be in two parts of the file
		for _, file := range []string{text, long + text, long + text + long, long + long + text} {
			if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
				t.Fatal(err)
			}
			if !mentions(path, text) || mentions(path, text+"!") {
				t.Errorf("not found, or too much, in %d bytes, %d before the end of a part", len(file), before)
			}
		}
	}
	if os.WriteFile(path, nil, 0o644); mentions(path, text) {
		t.Error("found in nothing")
	}
}
