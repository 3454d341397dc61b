package localdb

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNone means that nothing that could be started is installed.
var ErrNone = errors.New("no DynamoDB is installed, and crier fetches none")

// A program is a DynamoDB that can be started.
type program struct {
	name     string // for people
	cmd      *exec.Cmd
	endpoint string // where it will be; empty if it prints that
}

//go:embed dynalite.js
var dynaliteScript string

// find returns the DynamoDB to start: the one that config names, or one that is installed.
func find(ctx context.Context, config Config) (program, error) {
	if config.Jar != "" {
		return java(config.Jar)
	}
	dir, err := filepath.Abs(config.Dir)
	if err != nil {
		return program{}, err
	}
	if found := above(dir, "node_modules/dynalite/package.json"); found != "" {
		return node(filepath.Dir(found))
	}
	if found := above(dir, "DynamoDBLocal.jar", ".dynamodb/DynamoDBLocal.jar"); found != "" { // the latter is serverless-dynamodb's
		return java(found)
	}
	if found := ofNPM(ctx); found != "" {
		return node(found)
	}
	return program{}, ErrNone
}

// above returns the first of some files in a directory or in one that it is in; nothing if there is none.
func above(dir string, files ...string) string {
	for {
		for _, file := range files {
			if path := filepath.Join(dir, filepath.FromSlash(file)); exists(path) {
				return path
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// ofNPM returns the directory of a dynalite that npm install --global or npx has installed; nothing if there is none.
func ofNPM(ctx context.Context) string {
	for _, place := range []struct {
		words   []string
		pattern string
	}{
		{[]string{"root", "--global"}, "dynalite"},
		{[]string{"config", "get", "cache"}, "_npx/*/node_modules/dynalite"},
	} {
		out, err := exec.CommandContext(ctx, "npm", place.words...).Output()
		root := strings.TrimSpace(string(out))
		if err != nil || !filepath.IsAbs(root) {
			continue
		}
		found, _ := filepath.Glob(filepath.Join(root, filepath.FromSlash(place.pattern), "package.json"))
		if len(found) > 0 {
			return filepath.Dir(found[0])
		}
	}
	return ""
}

// node runs dynalite.
func node(directory string) (program, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return program{}, fmt.Errorf("start dynalite in %s: node is not installed: https://nodejs.org", directory)
	}
	return program{name: "dynalite", cmd: exec.Command(path, "-e", dynaliteScript, directory)}, nil
}

// java runs DynamoDB Local, at a port that was free a moment ago: it does not choose one.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DynamoDBLocal.UsageNotes.html
func java(jar string) (program, error) {
	jar, err := filepath.Abs(jar)
	if err != nil {
		return program{}, err
	}
	if _, err := os.Stat(jar); err != nil {
		return program{}, fmt.Errorf("start DynamoDB Local: %w", err)
	}
	path, err := exec.LookPath("java")
	if err != nil {
		return program{}, fmt.Errorf("start %s: java is not installed: https://adoptium.net", jar)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return program{}, err
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	// With -sharedDb, all regions and access keys have the same tables.
	cmd := guarded(path, "-Djava.library.path=DynamoDBLocal_lib", "-jar", jar, "-inMemory", "-sharedDb", "-port", port)
	cmd.Dir = filepath.Dir(jar)
	cmd.Env = append(os.Environ(), "DDB_LOCAL_TELEMETRY=0")
	return program{name: "DynamoDB Local", cmd: cmd, endpoint: "http://127.0.0.1:" + port}, nil
}
