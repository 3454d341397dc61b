package lambda

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An Alias is the name that a function's API has at AWS. Many handlers build it
// themselves, to post to connections. In the processes of the function, and
// nowhere else, it leads to an address of this machine, and nothing that is for
// it leaves the machine. The same names in other regions lead nowhere.
//
// In Node and Python, connections to port 443 of the name are led inside the
// process. The code is in alias.cjs and alias.py. The process, and each Node
// and Python that it starts, loads it because of NODE_OPTIONS and PYTHONPATH.
// Other executables are led by a Proxy, if they follow HTTPS_PROXY.
//
// Programs that do neither are not led: executables that ignore HTTPS_PROXY,
// and what a handler in Node or Python starts, such as curl.
type Alias struct {
	Name  string // such as criercrier.execute-api.us-east-1.amazonaws.com
	To    string // an address such as 127.0.0.1:45678; if empty, the name leads nowhere
	Files string // the directory in which alias.cjs and alias.py are installed
	Proxy *Proxy // for executables; nil: there is none
}

var (
	//go:embed alias.cjs
	aliasNode []byte
	//go:embed alias.py
	aliasPython []byte
)

// family returns how the names of an API begin, in all regions.
func family(alias string) string {
	parts := strings.SplitN(alias, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".") + "."
}

// environment changes an environment for processes that must follow the alias.
// files is what install has returned.
func (a Alias) environment(env []string, files string, executable bool) []string {
	v := variables(slices.Clone(env))
	v.set("_CRIER_ALIAS", a.Name+"="+a.To)
	require := "--require " + nodeQuoted(filepath.Join(files, "alias.cjs"))
	v.set("NODE_OPTIONS", strings.TrimSpace(v.get("NODE_OPTIONS")+" "+require))
	v.set("PYTHONPATH", strings.TrimSuffix(files+string(os.PathListSeparator)+v.get("PYTHONPATH"), string(os.PathListSeparator)))
	switch {
	case v.proxied():
		// The user's own proxy is no place for the alias.
		upper, lower := v.get("NO_PROXY"), v.get("no_proxy")
		v.set("NO_PROXY", withName(cmp.Or(upper, lower), a.Name))
		v.set("no_proxy", withName(cmp.Or(lower, upper), a.Name))
	case executable && a.Proxy != nil:
		for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
			v.set(name, a.Proxy.URL())
		}
		for _, name := range []string{"NO_PROXY", "no_proxy"} {
			v.set(name, "localhost,127.0.0.1,::1") // whatever it was, there was no proxy
		}
	}
	return v
}

// withName adds a name to those for which there is no proxy; * is all names.
func withName(names, name string) string {
	if strings.TrimSpace(names) == "*" {
		return names
	}
	return strings.TrimPrefix(names+","+name, ",")
}

// tellOfAlias logs that an executable seems to build the alias. Whether it
// follows the alias depends on how its network code is made.
func (f *Function) tellOfAlias() {
	if f.code.client != "" || !mentions(f.code.program, ".execute-api.") {
		return
	}
	about := []any{"function", f.config.Name, "api", f.config.Alias.Name}
	const instead = "it could read AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI, or post to https://{domainName}/{stage}"
	if variables(f.config.Environment).proxied() {
		f.config.Log.Warn("the environment has a proxy, so this executable cannot be led to its API", append(about, "hint", instead)...)
		return
	}
	f.config.Log.Info("this executable reaches its API if it follows HTTPS_PROXY, as Go's net/http does", append(about, "hint", "otherwise "+instead)...)
}

// nodeQuoted returns a path as NODE_OPTIONS has it.
func nodeQuoted(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}

// variables are an environment: KEY=value, of which the last with a key counts.
type variables []string

func (v variables) get(name string) string {
	for _, line := range slices.Backward(v) {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value
		}
	}
	return ""
}

func (v *variables) set(name, value string) { *v = append(*v, name+"="+value) }

// proxied reports whether there is a proxy in them.
func (v variables) proxied() bool {
	return slices.ContainsFunc([]string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"}, func(name string) bool {
		return v.get(name) != "" || v.get(strings.ToLower(name)) != ""
	})
}

// install writes the files that processes load, if they are not there. Their
// directory's name is that of their content: criers of different versions do
// not disturb each other, and processes can load them at any time.
func (a Alias) install() (dir string, err error) {
	sum := sha256.Sum256(append(append([]byte{}, aliasNode...), aliasPython...))
	dir = filepath.Join(a.Files, "functions", hex.EncodeToString(sum[:8]))
	for name, text := range map[string][]byte{"alias.cjs": aliasNode, "sitecustomize.py": aliasPython} {
		err = errors.Join(err, writeOnce(filepath.Join(dir, name), text))
	}
	if err != nil {
		return "", fmt.Errorf("install what leads to %s: %w", a.Name, err)
	}
	return dir, nil
}

// writeOnce makes a file, whole or not at all, unless there is one.
func writeOnce(path string, text []byte) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // if it is still there
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
