package stamp

import "slices"

// Open is for messages with stamps of another kind. It appends to dst the
// object that [Stamp.Append] makes of data, but without its closing brace,
// without stamps, and without the top-level members that have one of names. The
// caller adds members of its own, with a comma before the first if members is
// true, and the brace.
//
// values[i] becomes the JSON text of the last member called names[i], a part of
// data, or nil. Bit i of twice is set if there is more than one. There must be
// as many values as names, and at most 64. Each of names begins with "_". What
// is not an object has none of these members.
func Open(dst, data []byte, names []string, values [][]byte) (out []byte, members bool, twice uint64) {
	dst = slices.Grow(dst, len(data)+16)
	if i := skipSpace(data, 0); i < len(data) && data[i] == '{' {
		if out, members, twice, ok := openObject(dst, data, i, names, values); ok {
			return out, members, twice
		}
	}
	clear(values[:len(names)])
	f := frame{out: dst, open: true}
	if !f.json(data) {
		f = frame{out: dst, open: true}
		f.text(data)
	}
	return f.out, f.members, 0
}

// openObject is Open for the object that opens at data[open]. ok is false if it
// is not JSON.
func openObject(dst, data []byte, open int, names []string, values [][]byte) (out []byte, members bool, twice uint64, ok bool) {
	clear(values[:len(names)])
	out = append(dst, '{')
	copied := open + 1 // what others may see of data[:copied] is in out
	w := walkFrom(data, open)
	for w.step() {
		if i := memberOf(w.name, names); i >= 0 {
			if values[i] != nil {
				twice |= 1 << i
			}
			values[i] = data[w.value:w.end:w.end]
			if members {
				out = append(out, data[copied:w.comma]...)
			}
			copied = w.end
			continue
		}
		if !members && w.comma > 0 { // the members before it are dropped, and so is the comma
			copied = w.comma + 1
		}
		members = true
	}
	if !w.whole() {
		return nil, false, 0, false
	}
	if members {
		out = append(out, data[copied:w.close]...)
	}
	return out, members, twice, true
}

// memberOf returns which of names a member's name is, as it is written, or -1.
func memberOf(name []byte, names []string) int {
	// Nearly all names are out at their first byte, as in frame.keyOf.
	if len(name) == 0 || name[0] != '_' && name[0] != '\\' {
		return -1
	}
	for i, want := range names {
		if sameName(name, want) {
			return i
		}
	}
	return -1
}
