package importer

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// building is what must be built and installed, of what the functions' code says.
type building struct {
	entries map[string][]string // files for esbuild, by the directory that they are in, as it is seen from crier.yaml
	modules bool                // of these, some are ES modules
	scanned map[string]bool     // files of code that have been read
	extras  map[string][]string // npm packages that no package.json names, by the directory to install them in
}

// stem returns the file that a handler is in, without its extension: src/index of src/index.handler.
func stem(handler string) string {
	directory, name := path.Split(handler)
	module, _, _ := strings.Cut(name, ".")
	return path.Join(directory, module)
}

// firstOf returns the first extension with which there is a file; nothing if there is none.
func (c *conversion) firstOf(file string, extensions ...string) string {
	for _, extension := range extensions {
		if c.exists(file + extension) {
			return extension
		}
	}
	return ""
}

// node places a handler for Node: where it is, or where it will be when it has been built.
func (c *conversion) node(f *function, l *lambda) (comment string) {
	file := path.Join(f.directory, stem(l.handler))
	if f.build != "" && !strings.HasPrefix(f.build, "nodejs") { // by esbuild, make and the like
		l.directory = c.here(c.builtBySAM(f))
		return ""
	}
	extension := c.firstOf(file, ".js", ".mjs", ".cjs")
	source := c.firstOf(file, ".ts", ".mts", ".cts", ".tsx", ".jsx")
	if extension == ".js" && c.isModule(file+extension) && c.packageType(f.directory) != "module" {
		source = extension // which a plugin turns into what Node reads
	}
	c.install(f.directory, file+extension, file+source)
	switch {
	case source != "" && source != extension && extension != "" && f.bundled == "":
		return "" // built beside its source
	case source != "":
		if c.entries == nil {
			c.entries = make(map[string][]string)
		}
		c.modules = c.modules || c.packageType(f.directory) == "module"
		if entry := c.here(file + source); !slices.Contains(c.entries[l.directory], entry) {
			c.entries[l.directory] = append(c.entries[l.directory], entry)
		}
		l.directory = path.Join(l.directory, "dist")
	case extension == "" && !holes.MatchString(l.handler):
		if text, ok := c.read("package.json"); ok && strings.Contains(text, `"build"`) {
			c.npm("run", "build", c.here("."))
		} else {
			c.todo("build " + c.here(file) + ".js, which is not there")
		}
	}
	return ""
}

// extra notes an npm package that no package.json names.
func (c *conversion) extra(directory, name string) {
	if c.extras == nil {
		c.extras = make(map[string][]string)
	}
	c.extras[directory] = union(c.extras[directory], []string{name})
}

// finishBuilding says how to build what must be built.
func (c *conversion) finishBuilding() {
	if len(c.service.tables) > 0 && !c.installed(".", "dynalite") {
		c.extra(".", "dynalite")
	}
	for _, directory := range slices.Sorted(maps.Keys(c.extras)) {
		// In one command: the next would remove what this one has not saved.
		c.npm(slices.Concat([]string{"install", "--no-save"}, c.extras[directory], []string{directory})...)
	}
	for _, directory := range slices.Sorted(maps.Keys(c.entries)) {
		command := append([]string{"npx", "--yes", "esbuild"}, c.entries[directory]...)
		command = append(command, "--bundle", "--packages=external", "--platform=node")
		if c.modules {
			command = append(command, "--format=esm")
		}
		c.step(append(command, "--outdir="+path.Join(directory, "dist"), "--outbase="+directory)...)
	}
}

// npm notes a command of npm in a directory.
func (c *conversion) npm(words ...string) {
	directory := words[len(words)-1]
	words = append([]string{"npm"}, words[:len(words)-1]...)
	if directory != "." {
		words = append(words, "--prefix", directory)
	}
	c.step(words...)
}

var (
	moduleSyntax = regexp.MustCompile(`(?m)^\s*(import\s+[\w{*'"]|export\s+(const|let|async|function|default|\{|class|\*))`)
	imports      = regexp.MustCompile(`(?:require\(|from|import)\s*['"]([^'"]+)['"]`)
)

// isModule reports whether a file is an ES module, by what it says.
func (c *conversion) isModule(file string) bool {
	text, _ := c.read(file)
	return moduleSyntax.MatchString(text)
}

// packageType returns the type that the nearest package.json names.
func (c *conversion) packageType(directory string) string {
	var p struct{ Type string }
	text, _ := c.read(path.Join(c.nearest(directory, "package.json"), "package.json"))
	json.Unmarshal([]byte(text), &p)
	return p.Type
}

// nearest returns the directory of the nearest file of a name: in a directory, or in one that it is in.
func (c *conversion) nearest(directory, name string) string {
	for range 6 {
		if c.exists(path.Join(directory, name)) {
			return directory
		}
		directory = path.Join(directory, "..")
	}
	return "."
}

// install says what npm must install, for what the code imports.
func (c *conversion) install(directory string, files ...string) {
	var sdks []string
	for _, file := range files {
		for _, name := range c.imported(file, 0) {
			if isSDK(name) && !c.installed(directory, name) {
				sdks = append(sdks, name)
			}
		}
	}
	home := c.nearest(directory, "package.json")
	text, ok := c.read(path.Join(home, "package.json"))
	var p struct{ Dependencies, DevDependencies map[string]string }
	json.Unmarshal([]byte(text), &p)
	if ok && len(p.Dependencies)+len(p.DevDependencies) > 0 && !c.exists(path.Join(home, "node_modules")) {
		c.npm("install", c.here(home))
	}
	if !ok {
		home = directory
	}
	for _, sdk := range sdks { // Lambda has them
		_, dependency := p.Dependencies[sdk]
		_, development := p.DevDependencies[sdk]
		if !dependency && !development {
			c.extra(c.here(home), sdk)
		}
	}
}

// isSDK reports whether a package is one that Lambda has.
func isSDK(name string) bool { return name == "aws-sdk" || strings.HasPrefix(name, "@aws-sdk/") }

// installed reports whether a package is where Node would look for it.
func (c *conversion) installed(directory, name string) bool {
	for range 6 {
		if c.exists(path.Join(directory, "node_modules", name)) {
			return true
		}
		directory = path.Join(directory, "..")
	}
	return false
}

// imported returns the packages that a file imports, and those that it imports of its own kind do.
func (c *conversion) imported(file string, depth int) (names []string) {
	if depth > 10 || c.scanned[file] {
		return nil
	}
	text := c.scan(file)
	for _, found := range imports.FindAllStringSubmatch(text, -1) {
		name := found[1]
		if !strings.HasPrefix(name, ".") {
			names = append(names, name)
			continue
		}
		next := path.Join(path.Dir(file), name)
		next += c.firstOf(next, ".js", ".ts", ".mjs", ".cjs", ".mts", "/index.js", "/index.ts")
		names = append(names, c.imported(next, depth+1)...)
	}
	return names
}

// scan reads a file of code, and remembers that it did.
func (c *conversion) scan(file string) string {
	if c.scanned == nil {
		c.scanned = make(map[string]bool)
	}
	c.scanned[file] = true
	text, _ := c.read(file)
	return text
}

// mentioned reports whether a text in the code that has been read is the name.
func (c *conversion) mentioned(name string) bool {
	if name == "" || holes.MatchString(name) {
		return false
	}
	for file := range c.scanned {
		text, _ := c.read(file)
		if slices.ContainsFunc([]string{`"`, "'", "`"}, func(quote string) bool { return strings.Contains(text, quote+name+quote) }) {
			return true
		}
	}
	return false
}

// python says what pip must install.
func (c *conversion) python(f *function, l *lambda) (comment string) {
	if strings.HasPrefix(f.build, "makefile") {
		l.directory = c.here(c.builtBySAM(f))
		return ""
	}
	if c.exists(path.Join(f.directory, "requirements.txt")) {
		c.step("pip", "install", "-r", c.here(path.Join(f.directory, "requirements.txt")))
	}
	file := path.Join(f.directory, stem(l.handler)) + ".py"
	if !c.exists(file) && !holes.MatchString(l.handler) {
		c.todo("build " + c.here(file) + ", which is not there")
	}
	if strings.Contains(c.scan(file), "boto3") {
		c.step("pip", "install", "boto3")
	}
	return ""
}
