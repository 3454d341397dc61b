package importer

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A function is one that the source describes.
type function struct {
	name     string // in crier.yaml
	line     int    // of the source
	deployed string // at AWS; may be empty
	logical  string // in a template: where sam build leaves it

	runtime, handler             string
	timeout, memory, concurrency int
	unknown                      map[string]string // why, by the name of such a number
	environment                  []variable
	layers, triggers             []string

	// Where its code is.
	directory string // beside the source
	remote    string // in S3
	artifact  string // in a zip file
	inline    string // in the template
	image     bool   // in a container's image
	build     string // what SAM builds it with
	bundled   string // the plugin that bundles it

	used bool
}

// use adds the integration of a function, unless it is there, and returns its name.
func (c *conversion) use(f *function) string {
	if !f.used {
		f.used = true
		c.addIntegration(c.run(f))
	}
	return f.name
}

// elsewhere returns an integration for a function that crier cannot run.
func (c *conversion) elsewhere(line int, name, why string) integration {
	port := 9001
	for _, i := range c.service.integrations {
		if i.invoke != "" {
			port++
		}
	}
	c.fill(line, "integrations."+name+".invoke", why)
	return integration{
		name:    name,
		invoke:  fmt.Sprintf("http://localhost:%d/2015-03-31/functions/function/invocations", port),
		comment: "To do: " + why + ". Run it with Lambda's Runtime Interface Emulator, and say here where.",
	}
}

// run returns the integration of a function.
func (c *conversion) run(f *function) integration {
	i := integration{name: f.name}
	l := &lambda{timeout: min(max(f.timeout, 1), 900), memory: min(max(f.memory, 0), 10240), concurrency: min(max(f.concurrency, 0), 1000), environment: f.environment}
	for _, setting := range slices.Sorted(maps.Keys(f.unknown)) {
		c.fill(f.line, "integrations."+f.name+".lambda."+setting, f.unknown[setting])
	}
	if holes.MatchString(f.directory + f.artifact) {
		f.remote, f.directory, f.artifact = f.directory+f.artifact, "", ""
	}
	why := ""
	switch runtime := f.runtime; {
	case f.image:
		why = "it is a container's image"
	case strings.HasPrefix(runtime, "nodejs"), strings.HasPrefix(runtime, "python"):
		i.comment = c.script(f, l)
	case strings.HasPrefix(runtime, "provided") && path.Ext(f.handler) == ".php":
		why = "it is PHP, which needs a layer of its own"
	case strings.HasPrefix(runtime, "provided"), strings.HasPrefix(runtime, "go1"):
		i.comment = c.executable(f, l)
	case runtime == "":
		i.comment = c.script(f, l)
	default:
		why = fmt.Sprintf("its runtime is %s; crier runs nodejs, python, and executables", runtime)
	}
	for _, trigger := range f.triggers {
		c.leave(0, trigger, "functions get events of the WebSocket API only")
	}
	for _, layer := range f.layers {
		c.leave(f.line, "the layer "+layer, "what functions have of it must be installed beside their code")
	}
	if why != "" {
		return c.elsewhere(f.line, f.name, why)
	}
	i.lambda = l
	return i
}

// script places a handler in JavaScript or Python. It returns what must be said of it.
func (c *conversion) script(f *function, l *lambda) (comment string) {
	l.handler, l.runtime = path.Clean(f.handler), f.runtime
	if strings.HasPrefix(f.runtime, "python") { // a.b.handler is the function of a/b.py
		if i := strings.LastIndexByte(l.handler, '.'); i > 0 {
			l.handler = strings.ReplaceAll(l.handler[:i], ".", "/") + l.handler[i:]
		}
	}
	file, name, _ := strings.Cut(path.Base(l.handler), ".")
	if known := file != "" && name != ""; !known || holes.MatchString(l.handler) {
		c.fill(f.line, "integrations."+f.name+".lambda.handler", "it is not known: "+f.handler)
		if !known {
			l.handler = "index.handler"
			comment = "To do: what is its handler? "
		}
	}
	switch {
	case f.inline != "":
		extension := ".js"
		if strings.HasPrefix(f.runtime, "python") {
			extension = ".py"
		}
		l.directory = path.Join("functions", notPlain.ReplaceAllString(f.name, "-"))
		c.code[path.Join(l.directory, "index"+extension)] = []byte(f.inline)
		for _, found := range imports.FindAllStringSubmatch(f.inline, -1) {
			if extension == ".js" && isSDK(found[1]) {
				c.extra("functions", found[1])
			}
		}
		return comment + "Its code was in " + c.source.Name + "."
	case f.remote != "" || f.directory == "":
		c.fill(f.line, "integrations."+f.name+".lambda.directory", "where its code is on this machine; it is deployed from "+f.remote)
		return comment + "To do: where is its code? It is deployed from " + f.remote + "."
	}
	l.directory = c.here(f.directory)
	if strings.HasPrefix(f.runtime, "python") {
		return comment + c.python(f, l)
	}
	return comment + c.node(f, l)
}

// notPlain matches what may not be part of a directory's name.
var notPlain = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// executable places a function that is one.
func (c *conversion) executable(f *function, l *lambda) (comment string) {
	directory, name := f.directory, "bootstrap"
	switch {
	case f.remote != "" || f.directory == "":
		c.fill(f.line, "integrations."+f.name+".lambda.bootstrap", "where its executable is on this machine; it is deployed from "+f.remote)
		l.bootstrap = name
		return "To do: where is its executable? It is deployed from " + f.remote + "."
	case f.artifact != "":
		l.bootstrap = c.here(path.Join(path.Dir(f.artifact), name))
		c.step("unzip", "-o", c.here(f.artifact), "-d", path.Dir(l.bootstrap))
		return ""
	case strings.HasPrefix(f.runtime, "go1"):
		name = f.handler
		c.leave(f.line, "the runtime go1.x", f.name+" runs as executables of other runtimes do, which needs aws-lambda-go 1.18 or newer")
	case f.build != "":
		directory = c.builtBySAM(f)
	case f.logical == "" && f.handler != "": // Serverless
		name = f.handler
	}
	l.bootstrap = c.here(path.Join(directory, name))
	switch {
	case f.build != "" && !strings.HasPrefix(f.runtime, "go1"):
	case c.exists(path.Join(directory, "main.go")) && (f.logical != "" || len(c.functions) == 1):
		c.step("go", "build", "-C", c.here(directory), "-o", name, ".")
	default:
		c.todo("build " + l.bootstrap)
	}
	return ""
}

// builtBySAM returns the directory in which sam build leaves a function.
func (c *conversion) builtBySAM(f *function) string {
	command := []string{"sam", "build"}
	if c.here(".") != "." {
		command = append(command, "--template", c.here(c.source.Name), "--build-dir", c.here(".aws-sam/build"))
	}
	c.step(command...)
	return ".aws-sam/build/" + f.logical
}

// complete resolves what variables of functions say, and adds the functions that they name.
func (c *conversion) complete() {
	for _, r := range c.stack.of(kindTable, kindGlobalTable, kindSimpleTable) {
		c.table(r)
	}
	c.service.environment = c.finish(c.service.environment)
	for done := 0; done < len(c.service.integrations) || c.useInvoked(); done++ { // it grows meanwhile
		if l := c.service.integrations[done].lambda; l != nil {
			l.environment = c.finish(l.environment)
		}
	}
	if c.regional && !slices.ContainsFunc(c.service.environment, func(v variable) bool { return v.name == "AWS_REGION" }) {
		c.service.environment = append(c.service.environment, variable{name: "AWS_REGION", value: newText(c.stack.region)})
	}
	c.finishBuilding()
	var unused []string
	for _, f := range c.functions {
		if !f.used {
			unused = append(unused, at(f.line, f.name))
		}
	}
	if len(unused) > 0 {
		c.leave(0, "functions: "+strings.Join(unused, ", "), "no route leads there")
	}
}

// useInvoked adds a function that the code of others names, and reports whether there was one. The code invokes it by
// the name that it has at AWS, so it has that name here, too.
func (c *conversion) useInvoked() bool {
	i := slices.IndexFunc(c.functions, func(f *function) bool {
		taken := slices.ContainsFunc(c.service.integrations, func(i integration) bool { return i.name == f.deployed })
		return !f.used && !taken && c.mentioned(f.deployed)
	})
	if i < 0 {
		return false
	}
	c.functions[i].name = c.functions[i].deployed
	c.use(c.functions[i])
	return true
}

// finish returns variables as functions find them here.
func (c *conversion) finish(list []variable) (finished []variable) {
	for _, v := range list {
		if v.value != nil {
			if v.value = c.stack.eval(v.value); v.value == nil {
				continue
			}
			v.value = c.localize(v.value)
		}
		finished = append(finished, v)
	}
	return finished
}

// endpoint matches the host of the API at AWS.
var endpoint = regexp.MustCompile(apiID + `\.execute-api\.[a-z0-9-]+\.amazonaws\.com`)

// localize turns what is at AWS into what is here: the API's host, functions' names, tables whose names have holes.
// The host is the one that leads functions to crier, wherever it listens; it does so in AWS_REGION only.
func (c *conversion) localize(t *tree) *tree {
	if t.kind != scalar {
		return newText("${…}", "it is no text")
	}
	text := t.text
	if endpoint.MatchString(text) {
		text = endpoint.ReplaceAllString(text, apiID+".execute-api."+c.stack.region+".amazonaws.com")
		c.regional = true
	}
	name := text
	if found := functionName.FindStringSubmatch(text); found != nil {
		name = found[1]
	}
	if i := slices.IndexFunc(c.functions, func(f *function) bool { return f.name == name || f.deployed == name }); i >= 0 && name != "" {
		text = strings.Replace(text, name, c.use(c.functions[i]), 1)
	}
	for _, table := range c.service.tables {
		if len(t.missing) > 0 && plainName(text) == table.name {
			return newText(table.name)
		}
	}
	return newText(text, t.missing...)
}
