package wiretest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// script returns what JSON.stringify(JSON.parse(frame)) returns in JavaScript, numbers apart, which it writes in one form
// of its own: frames are the same to a receiver if it returns the same. What is not JSON it returns as it is.
func script(frame string) string {
	d := json.NewDecoder(strings.NewReader(frame))
	d.UseNumber()
	if !json.Valid([]byte(frame)) {
		return frame
	}
	return value(d)
}

// value reads a value. The JSON is known to be valid.
func value(d *json.Decoder) string {
	tok, _ := d.Token()
	switch tok := tok.(type) {
	case json.Delim:
		if tok == '{' {
			return object(d)
		}
		return array(d)
	case json.Number:
		return number(tok)
	case string:
		return strconv.Quote(tok)
	case nil:
		return "null"
	default:
		return fmt.Sprint(tok)
	}
}

// number rounds as JavaScript does, to float64. JSON has no infinity and stringify no -0.
func number(n json.Number) string {
	f, err := n.Float64()
	if err != nil {
		return "null"
	}
	return strconv.FormatFloat(f+0, 'g', -1, 64)
}

func array(d *json.Decoder) string {
	var list []string
	for d.More() {
		list = append(list, value(d))
	}
	d.Token() // the bracket
	return "[" + strings.Join(list, ",") + "]"
}

// object keeps an object's order: indexes first, by value, then names by when they first came. The last of equal names
// gives the value.
func object(d *json.Decoder) string {
	values := make(map[string]string)
	var names []string
	for d.More() {
		tok, _ := d.Token()
		name := tok.(string)
		if _, known := values[name]; !known {
			names = append(names, name)
		}
		values[name] = value(d)
	}
	d.Token() // the brace
	slices.SortStableFunc(names, func(a, b string) int {
		i, isIndex := index(a)
		k, isIndexToo := index(b)
		switch {
		case isIndex && isIndexToo:
			return i - k
		case isIndex:
			return -1
		case isIndexToo:
			return 1
		}
		return 0
	})
	members := make([]string, len(names))
	for i, name := range names {
		members[i] = strconv.Quote(name) + ":" + values[name]
	}
	return "{" + strings.Join(members, ",") + "}"
}

// index reports whether JavaScript takes a name for an array's index: an integer below 2^32-1, in its shortest form.
func index(name string) (i int, ok bool) {
	i, err := strconv.Atoi(name)
	return i, err == nil && 0 <= i && i < 1<<32-1 && strconv.Itoa(i) == name
}
