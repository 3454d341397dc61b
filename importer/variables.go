package importer

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A resolver replaces the variables of a serverless.yml, such as ${self:custom.name, 'fallback'}.
// https://www.serverless.com/framework/docs/guides/variables
type resolver struct {
	c      *conversion
	root   *tree
	stage  string
	region string
	dotenv map[string]string
	files  map[string]*tree

	openStage    bool // the stage depends on an option that was not given
	steps, depth int
}

// resolve replaces all variables in a tree.
func (r *resolver) resolve(t *tree) *tree {
	if t == nil {
		return nil
	}
	r.steps++
	r.depth++
	defer func() { r.depth-- }()
	if r.steps > maxSteps || r.depth > maxDepth {
		r.steps = maxSteps + 1
		return hole("…", "it refers to itself")
	}
	switch t.kind {
	case scalar:
		return r.text(t.text)
	case list:
		resolved := &tree{kind: list}
		for _, item := range t.items {
			resolved.items = append(resolved.items, r.resolve(item))
		}
		return resolved
	case object:
		resolved := &tree{kind: object}
		for _, m := range t.members {
			resolved.members = append(resolved.members, member{m.name, r.resolve(m.value), m.line})
		}
		return resolved
	}
	return t
}

// text replaces the variables of a text. One that is all of it may stand for a list or an object.
func (r *resolver) text(text string) *tree {
	var b strings.Builder
	var missing []string
	rest := text
	for {
		start := strings.Index(rest, "${")
		if start < 0 {
			b.WriteString(rest)
			return newText(b.String(), missing...)
		}
		b.WriteString(rest[:start])
		length := bracesEnd(rest[start:])
		inner := rest[start+2 : max(start+length-1, start+2)]
		switch {
		case length == 0:
			b.WriteString(rest[start:])
			return newText(b.String(), missing...)
		case !isVariable(inner): // it is CloudFormation's
			b.WriteString(rest[start : start+length])
		default:
			value := r.variable(inner)
			if start == 0 && length == len(rest) && b.Len() == 0 {
				return value
			}
			b.WriteString(value.str())
			missing = union(missing, value.missing)
		}
		rest = rest[start+length:]
	}
}

// bracesEnd returns how long the variable is with which a text begins; 0 if it does not end.
func bracesEnd(text string) int {
	depth := 0
	for i := range len(text) {
		switch {
		case strings.HasPrefix(text[i:], "${"):
			depth++
		case text[i] == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// isVariable tells a variable of Serverless, such as self:service, from one of Fn::Sub, such as AWS::Region.
func isVariable(inner string) bool {
	end := strings.IndexAny(inner, ":(")
	if end <= 0 || strings.HasPrefix(inner[end:], "::") {
		return false
	}
	return strings.IndexFunc(strings.TrimSpace(inner[:end]), func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
	}) < 0
}

// variable returns the value of the first of its sources that has one.
func (r *resolver) variable(inner string) *tree {
	var unread string // a source that only AWS could be asked for
	for _, source := range sources(inner) {
		value, known := r.source(source)
		switch {
		case !known:
			unread = source
		case value != nil && unread != "":
			// The fallback of what cannot be read here: what it is for, but worth a word.
			if value.kind == scalar {
				return newText(value.text, append([]string{"this is the fallback; " + unread + " is not read here"}, value.missing...)...)
			}
			return value
		case value != nil:
			return value
		}
	}
	switch {
	case slices.Contains(sources(inner), "opt:stage"):
		r.openStage = true
		return newText(r.stage)
	case slices.Contains(sources(inner), "opt:region"):
		return newText(r.region)
	case unread != "":
		return hole(inner, unread+" is not read here")
	}
	return hole(inner, "nothing says what it is")
}

// sources splits what is between the braces at its commas.
func sources(inner string) (parts []string) {
	depth, start, quote := 0, 0, rune(0)
	for i, c := range inner {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '{' || c == '(':
			depth++
		case c == '}' || c == ')':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, strings.TrimSpace(inner[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(inner[start:]))
}

// source returns the value of one source: nil if it has none. It is not known if it cannot be asked here.
func (r *resolver) source(text string) (value *tree, known bool) {
	if len(text) >= 2 && (text[0] == '\'' || text[0] == '"') && text[len(text)-1] == text[0] {
		return r.resolve(newText(text[1 : len(text)-1])), true
	}
	if strings.HasPrefix(text, "${") {
		value = r.resolve(newText(text))
		return value, len(value.missing) == 0
	}
	// ${self:custom.${opt:stage}.name}: what is within goes first.
	text = r.text(text).str()
	kind, rest, ok := strings.Cut(text, ":")
	parameters := ""
	if i := strings.IndexByte(text, '('); i >= 0 && (!ok || i < len(kind)) {
		end := strings.IndexByte(text, ')')
		if end < i {
			return nil, false
		}
		kind, parameters, rest = text[:i], text[i+1:end], strings.TrimPrefix(text[end+1:], ":")
	} else if !ok {
		return literal(text), true
	}
	switch kind {
	case "self":
		return r.find(r.root, rest), true
	case "opt":
		return nil, true // none is given
	case "sls":
		if rest == "stage" {
			return newText(r.stage), true
		}
		return nil, false
	case "param":
		return r.param(rest), true
	case "env":
		return r.environment(rest), true
	case "file":
		return r.file(parameters, rest)
	case "strToBool":
		return literal(parameters), true
	case "aws":
		switch rest {
		case "region":
			return newText(r.region), true
		case "accountId":
			return newText(accountID), true
		}
	}
	return nil, false
}

// literal reads a fallback such as 5, true or null.
func literal(text string) *tree {
	if text == "null" || text == "" {
		return nil
	}
	return newText(text)
}

func (r *resolver) param(name string) *tree {
	for _, path := range [][]string{{"params", r.stage}, {"stages", r.stage, "params"}, {"params", "default"}, {"stages", "default", "params"}} {
		t := r.root
		for _, step := range path {
			t = r.resolveHere(t.get(step))
		}
		if value := t.get(name); value != nil {
			return r.resolve(value)
		}
	}
	return nil
}

// environment returns a variable of the environment, or of the .env files that are read beside it.
func (r *resolver) environment(name string) *tree {
	if value, ok := r.c.source.Env(name); ok {
		return newText(value)
	}
	if value, ok := r.dotenv[name]; ok {
		return newText(value)
	}
	return nil
}

// find returns what a path such as custom.tables.0.name leads to, resolved; nil if there is nothing.
func (r *resolver) find(t *tree, address string) *tree {
	if address != "" {
		for step := range strings.SplitSeq(address, ".") {
			t = r.resolveHere(t)
			if i, err := strconv.Atoi(step); err == nil && t.is(list) && i >= 0 && i < len(t.items) {
				t = t.items[i]
				continue
			}
			t = t.get(step)
		}
	}
	if t.is(null) {
		return nil
	}
	return r.resolve(t)
}

// resolveHere replaces a text that is a variable, and leaves what is deeper.
func (r *resolver) resolveHere(t *tree) *tree {
	if t.is(scalar) {
		return r.resolve(t)
	}
	return t
}

// file returns what another file says, or a part of it.
func (r *resolver) file(name, address string) (value *tree, known bool) {
	name = path.Clean(strings.TrimSpace(name))
	if !slices.Contains([]string{".yml", ".yaml", ".json"}, path.Ext(name)) {
		return nil, false // a program
	}
	t, seen := r.files[name]
	if !seen {
		text, ok := r.c.read(name)
		if ok {
			parsed, err := parseTree([]byte(text), false)
			if err != nil {
				r.c.leave(0, name, err.Error())
			}
			t = parsed
		}
		r.files[name] = t
	}
	if t == nil {
		return nil, true
	}
	return r.find(t, strings.TrimPrefix(address, ".")), true
}

// readDotenv reads lines such as NAME=value of .env files. The first file that has a name counts.
func (r *resolver) readDotenv() {
	for _, name := range []string{fmt.Sprintf(".env.%s.local", r.stage), ".env." + r.stage, ".env.local", ".env"} {
		text, _ := r.c.read(name)
		for line := range strings.Lines(text) {
			name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
			name, value = strings.TrimSpace(name), strings.TrimSpace(value)
			if _, seen := r.dotenv[name]; !ok || seen || strings.HasPrefix(name, "#") {
				continue
			}
			r.dotenv[name] = strings.Trim(value, `"'`)
		}
	}
}
