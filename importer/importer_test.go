package importer

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"crier/api"
)

var rewrite = flag.Bool("rewrite", false, "write what sources become into testdata; read the diff")

// read returns a source in a directory of testdata; crier.yaml belongs in that directory.
func read(t *testing.T, directory, file string) Source {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(directory, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.ToSlash(filepath.Dir(file))
	beside := func(name string) string {
		return filepath.Join(directory, filepath.FromSlash(dir), filepath.FromSlash(name))
	}
	return Source{
		Name: filepath.Base(file), Text: text, Dir: dir, Region: "us-east-1",
		Read:   func(name string) ([]byte, error) { return os.ReadFile(beside(name)) },
		Exists: func(name string) bool { _, err := os.Stat(beside(name)); return err == nil },
		Env: func(name string) (string, bool) {
			value, ok := map[string]string{"API_KEY": "a secret", "TALK_TOKEN": "token"}[name]
			return value, ok
		},
	}
}

// TestConvert: each source becomes what is beside it, and crier gateway can read that.
func TestConvert(t *testing.T) {
	for directory, file := range map[string]string{
		"sam-chat":       "template.yaml",
		"sam-globals":    "template.yml",
		"sam-python":     "template.yaml",
		"sam-authorizer": "template.yaml",
		"sam-esbuild":    "template.yaml",
		"cdk":            "cdk.out/Echo.template.json",
		"cloudformation": "stack.yaml",
		"sls-authorizer": "serverless.yml",
		"sls-typescript": "backend/serverless.yml",
		"sls-go":         "serverless.yml",
		"sls-v4":         "serverless.yml",
		"sls-php":        "serverless.yml",
	} {
		t.Run(directory, func(t *testing.T) {
			directory := filepath.Join("testdata", directory)
			result, err := Convert(read(t, directory, file))
			if err != nil {
				t.Fatal(err)
			}
			result.Code["crier.yaml"] = result.File
			for _, name := range slices.Sorted(maps.Keys(result.Code)) {
				path := filepath.Join(directory, filepath.FromSlash(name))
				if *rewrite {
					os.MkdirAll(filepath.Dir(path), 0o777)
					os.WriteFile(path, result.Code[name], 0o666)
				}
				want, err := os.ReadFile(path)
				if err != nil || string(want) != string(result.Code[name]) {
					t.Errorf("%s is\n%s\nwant\n%s\n%v", name, result.Code[name], want, err)
				}
			}
			f, err := api.Parse("crier.yaml", result.File)
			if err != nil {
				t.Fatalf("crier gateway does not take it: %v", err)
			}
			if len(f.Routes) != result.Routes || len(f.Tables) != result.Tables || len(f.Routes) == 0 {
				t.Errorf("%d routes, %d tables; told are %d, %d", len(f.Routes), len(f.Tables), result.Routes, result.Tables)
			}
			if strings.Contains(string(result.File), "a secret") {
				t.Error("it has a secret of the environment")
			}
		})
	}
}

// FuzzConvert: whatever a file says, crier gateway takes what becomes of it.
func FuzzConvert(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.y*ml", "testdata/*/*/*.template.json", "testdata/*/*/serverless.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		result, err := Convert(source("any.yml", string(text), map[string]string{"src/a.ts": "import 'x'", "a.yml": "b: c", "package.json": "{}"}))
		if err != nil {
			return
		}
		if _, err := api.Parse("crier.yaml", result.File); err != nil {
			t.Errorf("%v\n%s", err, result.File)
		}
	})
}
