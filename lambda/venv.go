package lambda

import (
	"os"
	"path/filepath"
	"strings"
)

// help says what to do about a crash, if that is known: packages that are
// installed in a virtual environment are not found by a Python outside it.
// https://docs.python.org/3/library/venv.html
func (c code) help(crash *Error) string {
	if c.name != "python" || crash.Type != "ModuleNotFoundError" {
		return ""
	}
	here, _ := os.Getwd() // without it, the code's directory must do
	for _, dir := range []string{c.root, here} {
		for _, name := range []string{".venv", "venv"} {
			environment := filepath.Join(dir, name)
			if !isFile(filepath.Join(environment, "pyvenv.cfg")) || strings.HasPrefix(c.program, environment+string(filepath.Separator)) {
				continue
			}
			if near, err := filepath.Rel(here, environment); err == nil && len(near) < len(environment) {
				environment = near
			}
			activate := ". " + filepath.Join(environment, "bin", "activate")
			if isFile(filepath.Join(environment, "Scripts", "activate.bat")) {
				activate = filepath.Join(environment, "Scripts", "activate")
			}
			return "activate " + environment + " before you start crier: " + activate
		}
	}
	return ""
}
