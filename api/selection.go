package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Selection is a route selection expression, such as $request.body.action or
// ${request.body.service}/${request.body.action}.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html
type Selection struct {
	text  string
	parts []part // at least one
}

// A part of an expression is fixed text, or a path into the message.
type part struct {
	text string
	path []step // nil: the text counts
}

// A step goes from a JSON value to one in it, or to all.
type step struct {
	name  string // of a member
	index int    // of an element, if there is no name; counted from the end if negative
	all   bool   // every member or element
}

// bodyVariable is the only variable that a message has.
const bodyVariable = "request.body"

// ParseSelection reads an expression.
func ParseSelection(text string) (Selection, error) {
	s := Selection{text: text}
	if text == "" {
		return s, errors.New("the expression is empty")
	}
	var fixed strings.Builder
	flush := func() {
		if fixed.Len() > 0 {
			s.parts = append(s.parts, part{text: fixed.String()})
			fixed.Reset()
		}
	}
	for rest := text; rest != ""; {
		var variable string
		switch {
		case strings.HasPrefix(rest, `\`) && len(rest) > 1: // "\$default" is the text $default
			fixed.WriteByte(rest[1])
			rest = rest[2:]
			continue
		case strings.HasPrefix(rest, "${"):
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return s, fmt.Errorf("%s has no }", rest)
			}
			variable, rest = rest[2:end], rest[end+1:]
		case rest[0] == '$':
			end := endOfVariable(rest)
			variable, rest = rest[1:end], rest[end:]
		default:
			fixed.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		path, ok := strings.CutPrefix(variable, bodyVariable)
		if !ok {
			return s, fmt.Errorf("there is no variable $%s: a message has $request.body", variable)
		}
		steps, err := parsePath(path)
		if err != nil {
			return s, fmt.Errorf("$%s: %w", variable, err)
		}
		flush()
		s.parts = append(s.parts, part{path: steps})
	}
	flush()
	return s, nil
}

// endOfVariable returns where a variable without braces ends.
func endOfVariable(text string) int {
	depth := 0
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth > 0, c == '.', c == '_', c == '*', '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z', c >= 0x80:
		default:
			return i
		}
	}
	return len(text)
}

// parsePath reads the part of JSONPath that names places in a message: .name,
// ['name'], [0], [-1], .* and [*].
func parsePath(text string) ([]step, error) {
	steps := []step{}
	for text != "" {
		var name string
		switch {
		case strings.HasPrefix(text, ".."):
			return nil, errors.New(".. is not known here")
		case text[0] == '.':
			end := strings.IndexAny(text[1:], ".[")
			if end < 0 {
				end = len(text) - 1
			}
			name, text = text[1:1+end], text[1+end:]
			if name == "" {
				return nil, errors.New("there is no name after a dot")
			}
			steps = append(steps, step{name: name, all: name == "*"})
		case text[0] == '[':
			end := strings.IndexByte(text, ']')
			if end < 0 {
				return nil, fmt.Errorf("%s has no ]", text)
			}
			name, text = text[1:end], text[end+1:]
			s, err := parseBracket(name)
			if err != nil {
				return nil, err
			}
			steps = append(steps, s)
		default:
			return nil, fmt.Errorf("want a dot or [ at %s", text)
		}
	}
	return steps, nil
}

func parseBracket(text string) (step, error) {
	if text == "*" {
		return step{all: true}, nil
	}
	if n := len(text); n >= 2 && (text[0] == '\'' || text[0] == '"') && text[n-1] == text[0] {
		return step{name: text[1 : n-1]}, nil
	}
	index, err := strconv.Atoi(text)
	if err != nil {
		return step{}, fmt.Errorf("[%s] is neither a number nor a name in quotes", text)
	}
	return step{index: index}, nil
}

// String returns the expression as it was written.
func (s Selection) String() string { return s.text }

// Key returns the route key that a message selects. A message that is not JSON
// selects none, if its body counts.
func (s Selection) Key(message []byte) (key string, ok bool) {
	var body any
	if s.readsBody() {
		d := json.NewDecoder(bytes.NewReader(message))
		d.UseNumber()
		if d.Decode(&body) != nil {
			return "", false
		}
		if _, err := d.Token(); err != io.EOF {
			return "", false
		}
	}
	var b strings.Builder
	for _, p := range s.parts {
		if p.path == nil {
			b.WriteString(p.text)
			continue
		}
		b.WriteString(stringify(follow(body, p.path)))
	}
	return b.String(), true
}

func (s Selection) readsBody() bool {
	for _, p := range s.parts {
		if p.path != nil {
			return true
		}
	}
	return false
}

// missing is what a path leads to that leads nowhere.
type missing struct{}

// follow returns what a path leads to.
func follow(value any, path []step) any {
	for i, s := range path {
		if s.all {
			return followAll(value, path[i+1:])
		}
		switch v := value.(type) {
		case map[string]any:
			member, ok := v[s.name]
			if !ok {
				return missing{}
			}
			value = member
		case []any:
			index := s.index
			if index < 0 {
				index += len(v)
			}
			if s.name != "" || index < 0 || index >= len(v) {
				return missing{}
			}
			value = v[index]
		default:
			return missing{}
		}
	}
	return value
}

func followAll(value any, rest []step) any {
	list, ok := value.([]any)
	if !ok {
		return missing{}
	}
	found := []any{}
	for _, v := range list {
		if f := follow(v, rest); f != any(missing{}) {
			found = append(found, f)
		}
	}
	return found
}

// stringify returns a value as a route key: "the result is stringified", an
// array of two as [item1, item2].
func stringify(value any) string {
	switch v := value.(type) {
	case missing, nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = stringify(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	text, _ := json.Marshal(value) // of what was decoded: it cannot fail
	return string(text)
}
