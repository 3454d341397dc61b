package lambda

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// code is a function's code, and how to run it.
type code struct {
	name       string // of the runtime, such as nodejs
	root       string // absolute
	program    string
	arguments  []string
	client     string   // the runtime client, which the program reads from its standard input
	extensions []string // of files that belong to the code; none: the program alone does
}

//go:embed node.mjs
var nodeClient string

//go:embed python.py
var pythonClient string

// languages are the runtimes with a client in this package.
var languages = []struct {
	code
	interpreters []string // the first that is installed is taken
}{
	{
		code:         code{name: "nodejs", arguments: []string{"--input-type=module", "-"}, client: nodeClient, extensions: []string{".js", ".mjs", ".cjs", ".json"}},
		interpreters: []string{"node"},
	},
	{
		code:         code{name: "python", arguments: []string{"-u", "-"}, client: pythonClient, extensions: []string{".py"}},
		interpreters: []string{"python3", "python"},
	},
}

// findCode looks for the code that config describes.
func findCode(config Config) (code, error) {
	root, err := filepath.Abs(config.Directory)
	if err != nil {
		return code{}, err
	}
	if info, err := os.Stat(root); err != nil {
		return code{}, err
	} else if !info.IsDir() {
		return code{}, fmt.Errorf("%s is not a directory", root)
	}
	if config.Bootstrap != "" {
		return findBootstrap(config, root)
	}
	for _, l := range languages {
		if config.Runtime != "" && !strings.HasPrefix(config.Runtime, l.name) {
			continue
		}
		if !slices.ContainsFunc(l.extensions, func(ext string) bool { return isFile(moduleFile(root, config.Handler) + ext) }) {
			if config.Runtime != "" {
				return code{}, noFile(root, config.Handler, l.extensions)
			}
			continue
		}
		found := l.code
		found.root = root
		for _, name := range l.interpreters {
			if found.program, err = exec.LookPath(name); err == nil {
				return found, nil
			}
		}
		return code{}, fmt.Errorf("%s is not installed, or not in PATH", l.interpreters[0])
	}
	if config.Runtime != "" {
		return code{}, fmt.Errorf("there is no runtime %q: there are nodejs and python; other languages bring a bootstrap", config.Runtime)
	}
	return code{}, noFile(root, config.Handler, []string{".js", ".mjs", ".cjs", ".py"})
}

func findBootstrap(config Config, root string) (code, error) {
	path, err := filepath.Abs(config.Bootstrap)
	if err != nil {
		return code{}, err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return code{}, err
	case info.IsDir():
		return code{}, fmt.Errorf("%s is a directory; the executable is wanted", path)
	case info.Mode()&0o111 == 0 && filepath.Ext(path) != ".exe":
		return code{}, fmt.Errorf("%s is not executable; chmod +x makes it so", path)
	}
	if err := checkExecutable(path); err != nil {
		return code{}, err
	}
	return code{name: "provided.al2023", root: root, program: path}, nil
}

// moduleFile returns the path of the file that a handler is in, without its
// extension: src/index of src/index.handler.
func moduleFile(root, handler string) string {
	dir, name := filepath.Split(filepath.FromSlash(handler))
	module, _, _ := strings.Cut(name, ".")
	return filepath.Join(root, dir, module)
}

func noFile(root, handler string, extensions []string) error {
	file := moduleFile(root, handler)
	if isFile(file + ".ts") {
		return fmt.Errorf("%s.ts must be compiled to JavaScript first", file)
	}
	return fmt.Errorf("the handler %s is not there: no file %s with one of %s", handler, file, strings.Join(extensions, " "))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// owns reports whether a file belongs to the code.
func (c code) owns(path string) bool {
	if len(c.extensions) == 0 {
		return path == c.program
	}
	return slices.Contains(c.extensions, filepath.Ext(path))
}

// home returns the directory that has all of the code.
func (c code) home() string {
	if len(c.extensions) == 0 {
		return filepath.Dir(c.program)
	}
	return c.root
}

// directories visits the directories in which the code may be, each before what
// is in it is looked at.
func (c code) directories(visit func(string) error) error {
	if len(c.extensions) == 0 {
		return visit(c.home())
	}
	root, err := filepath.EvalSymlinks(c.root)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it went while we looked
			return nil
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case path != root && passed(d.Name()):
			return filepath.SkipDir
		}
		return visit(path)
	})
}

// passed reports whether a directory is not the user's own code.
func passed(name string) bool {
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "__pycache__" || name == "venv"
}
