package stamp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// slowAppend is what Append should do, said in terms of encoding/json and
// without a thought to speed. Stamped text must be equal to the byte.
func slowAppend(s Stamp, in string) string {
	name := s.Name
	if name == "" {
		name = "data"
	}
	trimmed := strings.Trim(in, " \t\r\n")
	var members []string
	switch {
	case !json.Valid([]byte(in)):
		members = []string{slowString(name) + ":" + slowString(in)}
	case trimmed[0] == '{':
		return slowObject(s, trimmed)
	case trimmed[0] == '[':
		var elements []json.RawMessage
		must(json.Unmarshal([]byte(in), &elements))
		for i, e := range elements {
			members = append(members, fmt.Sprintf(`"%d":%s`, i, e))
		}
	case trimmed != "null":
		members = []string{slowString(name) + ":" + trimmed}
	}
	for _, k := range slowKeys(s) {
		members = append(members, fmt.Sprintf(`"%s":%s`, k.name, k.value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// slowObject is slowAppend for an object. It cuts the text up after each name
// and each value, says of each piece what becomes of it, and joins them again.
func slowObject(s Stamp, in string) string {
	keys, done := slowKeys(s), map[string]bool{}
	dec := json.NewDecoder(strings.NewReader(in))
	dec.UseNumber()
	must2(dec.Token())
	out, last := "{", 1 // in[:last] has been dealt with.
	members := false
	for ; dec.More(); members = true {
		name := must2(dec.Token()).(string)
		var value json.RawMessage
		must(dec.Decode(&value))
		end := int(dec.InputOffset())
		piece := in[last : end-len(value)] // a comma, unless it is the first; the name; the colon
		last = end
		k, own := findKey(keys, name)
		switch {
		case !own:
			out += piece + string(value)
		case !done[name]:
			out += piece + k.value
			done[name] = true
		default:
			comma := strings.IndexByte(piece, ',')
			out += piece[:comma]
		}
	}
	out += in[last : len(in)-1]
	for _, k := range keys {
		if done[k.name] {
			continue
		}
		if members {
			out += ","
		}
		out += fmt.Sprintf(`"%s":%s`, k.name, k.value)
		members = true
	}
	return out + "}"
}

type slowKey struct{ name, value string }

// slowKeys are the stamps of s in order.
func slowKeys(s Stamp) (keys []slowKey) {
	if s.Topic != "" {
		keys = append(keys, slowKey{"_topic", slowString(s.Topic)})
	}
	return append(keys, slowKey{"_now", fmt.Sprint(s.Now)}, slowKey{"_me", "false"})
}

func findKey(keys []slowKey, name string) (slowKey, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return slowKey{}, false
}

// slowString is JSON.stringify, byte by byte.
func slowString(s string) string {
	short := map[byte]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case short[c] != "":
			b.WriteString(short[c])
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return `"` + b.String() + `"`
}

// slowFind is what Object should do for one name.
func slowFind(data []byte, name string) (value []byte, ok bool) {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil, false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return nil, false
	}
	return members[name], true
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func must2[T any](v T, err error) T {
	must(err)
	return v
}

// A writer makes up JSON, with all that stamping has to look out for.
type writer struct {
	*rand.Rand
	strings.Builder
}

func (w *writer) pick(from ...string) { w.WriteString(from[w.IntN(len(from))]) }

func (w *writer) space() {
	if w.IntN(4) == 0 {
		w.pick(" ", "\n", "\t", "\r", "  ", " \r\n\t ")
	}
}

func (w *writer) value(depth int) {
	w.space()
	defer w.space()
	switch n := w.IntN(10); {
	case n < 3 && depth > 0:
		w.list("{", "}", func() {
			w.space()
			w.name()
			w.space()
			w.WriteByte(':')
			w.value(depth - 1)
		})
	case n < 5 && depth > 0:
		w.list("[", "]", func() { w.value(depth - 1) })
	case n < 7:
		w.string()
	default:
		w.pick("0", "-0", "1.0", "9007199254740993", "1e400", "-1.5E-7", "true", "false", "null", `""`)
	}
}

func (w *writer) list(open, close string, member func()) {
	w.WriteString(open)
	w.space()
	for i := range w.IntN(6) {
		if i > 0 {
			w.WriteByte(',')
		}
		member()
	}
	w.WriteString(close)
}

// name writes a member's name: often a stamp's, often with escapes in it.
func (w *writer) name() {
	if w.IntN(3) == 0 {
		w.string()
		return
	}
	names := []string{"_me", "_now", "_topic", "_mE", "a", "data", "__proto__", "action", ""}
	w.WriteByte('"')
	for _, c := range names[w.IntN(len(names))] {
		switch w.IntN(8) {
		case 0:
			fmt.Fprintf(w, `\u%04x`, c)
		case 1:
			fmt.Fprintf(w, `\u%04X`, c)
		default:
			w.WriteRune(c)
		}
	}
	w.WriteByte('"')
}

func (w *writer) string() {
	w.WriteByte('"')
	for range w.IntN(12) {
		w.pick("a", "b", "word", " ", "é", "😀", "\x7f", "\u2028", `\"`, `\\`, `\/`, `\n`, `\u0041`, `\ud83d\ude00`, `\ud800`, "'", "{", "]", ",", ":")
	}
	w.WriteByte('"')
}

// spoil changes a few bytes, so that the result is nearly JSON.
func (w *writer) spoil(s string) string {
	const bytes = "{}[]\",:\\ u0e-.tn_\x00\xff"
	for range 1 + w.IntN(2) {
		at := w.IntN(len(s) + 1)
		insert := bytes[w.IntN(len(bytes)):][:1]
		if at == len(s) || w.IntN(2) == 0 {
			s = s[:at] + insert + s[at:]
		} else if w.IntN(2) == 0 {
			s = s[:at] + insert + s[at+1:]
		} else {
			s = s[:at] + s[at+1:]
		}
	}
	return s
}

func TestAgainstReference(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := writer{Rand: rand.New(rand.NewPCG(seed, 0))}
	stamps := []Stamp{
		{Now: 1700000000000},
		{Now: 1, Topic: "a"},
		{Now: -1, Topic: "\"\n", Name: "payload"},
	}
	n := 50_000
	if testing.Short() {
		n = 5_000
	}
	for i := range n {
		w.Reset()
		w.value(4)
		in := w.String()
		if i%3 == 0 {
			in = w.spoil(in)
		}
		s := stamps[i%len(stamps)]
		if i%7 == 0 {
			s = stamps[0]
		}
		checkAppend(t, s, in, slowAppend(s, in))
		checkObject(t, []byte(in), []string{"_me", "action", "", "a"})
	}
}

// checkObject compares Object with encoding/json.
func checkObject(t *testing.T, data []byte, names []string) {
	t.Helper()
	values := make([][]byte, len(names))
	ok := Object(data, names, values)
	for i, name := range names {
		want, wantOK := slowFind(data, name)
		if ok != wantOK || string(values[i]) != string(want) || (values[i] == nil) != (want == nil) {
			t.Fatalf("Object(%q) found %q for %q, %v; want %q, %v", data, values[i], name, ok, want, wantOK)
		}
	}
}
