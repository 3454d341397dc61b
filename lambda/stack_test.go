package lambda

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fallible are functions that fail in many ways.
var fallible = map[string]string{
	"index.js": `const { find } = require('./lib/find');
exports.sync = () => { find('ghost'); };
exports.promise = async () => { await null; find('ghost'); };
exports.callback = (event, context, callback) => callback(Object.assign(new Error('told'), { code: 'E1' }));
exports.cause = async () => { try { find('ghost'); } catch (cause) { throw new Error('outer', { cause }); } };
exports.uncaught = (event, context, callback) => { setTimeout(() => find('ghost')); };
exports.unhandled = async () => { setTimeout(async () => find('ghost')); await new Promise((r) => setTimeout(r, 1e6)); };
exports.forgets = async () => { Promise.reject('just text'); };
exports.text = async () => { throw 'just text'; };
exports.many = async () => { throw new AggregateError([new RangeError('first'), new RangeError('second')], 'both'); };
`,
	"lib/find.js": `exports.find = (id) => { throw new TypeError('no ' + id); };
`,
	"syntax.js":      "\nexports.handler = {;\n",
	"syntax.mjs":     "\nexport const handler = {;\n",
	"missing.js":     "require('no-such-package');\n",
	"missingown.mjs": "import './nothing.mjs';\n",
	"loads.js":       "require('./lib/throws');\n",
	"lib/throws.js":  "throw new Error('while it loads');\n",
	"module.mjs":     "export const handler = async () => { throw new Error('in a module'); };\n",
	"app.py": `import json
from lib.find import find

def fails(event, context):
    find("ghost")

def chain(event, context):
    try:
        find("ghost")
    except KeyError as error:
        raise ValueError("outer") from error

def dynamic(event, context):
    import importlib
    importlib.import_module("lib.throws")

def unserializable(event, context):
    return {1}
`,
	"lib/__init__.py": "",
	"lib/find.py":     "def find(id):\n    raise KeyError(id)\n",
	"lib/throws.py":   "raise RuntimeError('while it loads')\n",
	"broken.py":       "def handler(:\n",
	"absent.py":       "import no_such_module\n",
}

// TestStacks: an error is shown once, with the user's own frames.
func TestStacks(t *testing.T) {
	for handler, want := range map[string]string{
		"index.sync":         "TypeError: no ghost\n    at exports.find (lib/find.js:1)\n    at exports.sync (index.js:2)",
		"index.promise":      "TypeError: no ghost\n    at exports.find (lib/find.js:1)\n    at exports.promise (index.js:3)",
		"index.callback":     "Error: told\n    at exports.callback (index.js:4) {\n  code: 'E1'\n}",
		"index.uncaught":     "TypeError: no ghost\n    at exports.find (lib/find.js:1)\n    at Timeout._onTimeout (index.js:6)",
		"index.unhandled":    "Unhandled promise rejection: TypeError: no ghost\n    at exports.find (lib/find.js:1)\n    at Timeout._onTimeout (index.js:7)",
		"index.forgets":      "Unhandled promise rejection: just text",
		"index.text":         "just text",
		"index.cause":        "Error: outer\n    at exports.cause (index.js:5) {\n  [cause]: TypeError: no ghost\n      at exports.find (lib/find.js:1)\n      at exports.cause (index.js:5)\n}",
		"index.many":         "AggregateError: both\n    at exports.many (index.js:10) {\n  [errors]: [\n    RangeError: first\n        at exports.many (index.js:10),\n    RangeError: second\n        at exports.many (index.js:10)\n  ]\n}",
		"syntax.handler":     "syntax.js:2\nexports.handler = {;\n                   ^\n\nSyntaxError: Unexpected token ';'",
		"missing.handler":    "Error: Cannot find module 'no-such-package'\nRequire stack:\n- missing.js\n    at Object.<anonymous> (missing.js:1) {\n  code: 'MODULE_NOT_FOUND'\n}",
		"loads.handler":      "Error: while it loads\n    at Object.<anonymous> (lib/throws.js:1)\n    at Object.<anonymous> (loads.js:1)",
		"module.handler":     "Error: in a module\n    at handler (module.mjs:1)",
		"app.fails":          "Traceback (most recent call last):\n  File \"app.py\", line 5, in fails\n    find(\"ghost\")\n  File \"lib/find.py\", line 2, in find\n    raise KeyError(id)\nKeyError: 'ghost'",
		"app.dynamic":        "File \"app.py\", line 15, in dynamic\n    importlib.import_module(\"lib.throws\")\n  File \"",
		"app.unserializable": "TypeError: Object of type set is not JSON serializable",
		"app.chain":          "Traceback (most recent call last):\n  File \"app.py\", line 9, in chain\n    find(\"ghost\")\n  File \"lib/find.py\", line 2, in find\n    raise KeyError(id)\nKeyError: 'ghost'\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"app.py\", line 11, in chain\n    raise ValueError(\"outer\") from error\nValueError: outer",
		"broken.handler":     "  File \"broken.py\", line 1\n    def handler(:\n                ^\nSyntaxError: invalid syntax",
		"absent.handler":     "Traceback (most recent call last):\n  File \"absent.py\", line 1, in <module>\n    import no_such_module\nModuleNotFoundError: No module named 'no_such_module'",
	} {
		t.Run(handler, func(t *testing.T) {
			t.Parallel()
			f := openCode(t, fallible, handler, nil)
			_, err := f.invoke(t, "{}")
			var failed *Error
			if !errors.As(err, &failed) {
				t.Fatalf("got %v", err)
			}
			got := withoutMarks(columns.ReplaceAllString(f.printed.String(), "$1"))
			switch handler {
			case "app.dynamic", "app.unserializable": // Python's own frames are between and after
				if !strings.Contains(got, want) || strings.Contains(got, "<stdin>") || strings.Count(got, "Traceback") != 1 {
					t.Errorf("printed\n%s, want\n%s", got, want)
				}
			default:
				if got != want+"\n" {
					t.Errorf("printed\n%s, want\n%s", got, want)
				}
			}
			for _, frame := range append(failed.Trace, failed.NodeTrace...) {
				if strings.Contains(frame, "<stdin>") || strings.Contains(frame, "[eval") {
					t.Errorf("the trace has %s", frame)
				}
			}
		})
	}
}

// columns are where in its line a frame is.
var columns = regexp.MustCompile(`(js:\d+):\d+`)

// withoutMarks removes the lines with which Python ≥ 3.11 marks a part of a line.
func withoutMarks(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if marks := strings.TrimSpace(line); marks == "" || strings.Trim(marks, "^~") != "" || len(marks) < 2 {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestStackOfModules: Node itself says where a module is wrong, in words that
// change; ours are not among them.
func TestStackOfModules(t *testing.T) {
	for handler, want := range map[string]string{
		"syntax.handler":     "SyntaxError: Unexpected token ';'",
		"missingown.handler": "Error [ERR_MODULE_NOT_FOUND]: Cannot find module",
	} {
		files := map[string]string{}
		for _, name := range []string{"syntax.mjs", "missingown.mjs"} {
			files[name] = fallible[name]
		}
		f := openCode(t, files, handler, nil)
		f.invoke(t, "{}")
		got := f.printed.String()
		if !strings.Contains(got, want) || strings.Contains(got, "[eval") || strings.Contains(got, "node:internal") {
			t.Errorf("%s printed\n%s", handler, got)
		}
	}
}

// TestStackOutsideTheDirectory: a path there is relative, too, where that is
// shorter.
func TestStackOutsideTheDirectory(t *testing.T) {
	f := openCode(t, map[string]string{
		"app/index.js": "exports.handler = async () => { require('../beside').fail(); };",
		"beside.js":    "exports.fail = () => { throw new Error('outside'); };",
	}, "index.handler", func(c *Config) { c.Directory = filepath.Join(c.Directory, "app") })
	f.invoke(t, "{}")
	want := "Error: outside\n    at exports.fail (../beside.js:1)\n    at exports.handler (index.js:1)\n"
	if got := columns.ReplaceAllString(f.printed.String(), "$1"); got != want {
		t.Errorf("printed\n%s, want\n%s", got, want)
	}
	far := strings.Repeat("far/", 30)
	f = openCode(t, map[string]string{
		far + "index.js": "exports.handler = async () => { require('" + strings.Repeat("../", 30) + "beside').fail(); };",
		"beside.js":      "exports.fail = () => { throw new Error('outside'); };",
	}, "index.handler", func(c *Config) { c.Directory = filepath.Join(c.Directory, far) })
	f.invoke(t, "{}")
	if got := f.printed.String(); strings.Contains(got, "../") || !strings.Contains(got, "/beside.js:1:") {
		t.Errorf("from far away it printed\n%s", got)
	}
}

// TestVirtualEnvironment: a Python that lacks a package is told of the environment
// that is there and not active.
func TestVirtualEnvironment(t *testing.T) {
	files := map[string]string{
		"app.py":            "import no_such_module\n",
		"fine.py":           "handler = len\n",
		"venv/bin/activate": "",
	}
	const help = "help="
	for _, test := range []struct{ file, handler, want string }{
		{"venv/none", "app.handler", ""},
		{"venv/pyvenv.cfg", "fine.nobody", ""},
		{"venv/pyvenv.cfg", "app.handler", "venv before you start crier: . "},
	} {
		files[test.file] = ""
		f := openCode(t, files, test.handler, nil)
		delete(files, test.file)
		f.log.waitFor(t, "function failed")
		if got := f.log.String(); strings.Contains(got, help) != (test.want != "") || !strings.Contains(got, test.want) {
			t.Errorf("%s, %s: logged %s", test.file, test.handler, got)
		}
	}
}
