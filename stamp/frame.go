package stamp

import "strconv"

// A key is the name of a stamp. The order is that in which stamps the client
// did not mention are written.
type key uint8

const (
	keyTopic key = iota
	keyNow
	keyMe
	numKeys
	noKey = numKeys
)

var keyNames = [numKeys]string{keyTopic: "_topic", keyNow: "_now", keyMe: "_me"}

// A frame is one message being written.
type frame struct {
	Stamp
	// out ends in the part of the message that is written.
	out []byte
	// stamped says which stamps out has. Invariant: it has each once.
	stamped [numKeys]bool
	// me is where in out the word false of the _me stamp begins, once
	// stamped[keyMe].
	me int
	// open says that the message gets neither stamps nor a closing brace.
	// members is then whether it has members.
	open, members bool
}

// json writes data if it is JSON. If it is not, f is of no further use.
func (f *frame) json(data []byte) bool {
	i := skipSpace(data, 0)
	switch {
	case i == len(data):
		return false
	case data[i] == '{':
		return f.object(data, i)
	case data[i] == '[':
		return f.array(data, i)
	default:
		return f.scalar(data, i)
	}
}

// object writes the object that opens at data[open], copying whatever lies
// between the stamps in one go.
func (f *frame) object(data []byte, open int) bool {
	copied := open // Of data[open:copied], all that others may see is in out.
	w := walkFrom(data, open)
	for w.step() {
		k := f.keyOf(w.name)
		switch {
		case k == noKey:
			continue
		case f.stamped[k]:
			// A repeated name is never the first, so there is a comma in
			// front of it to drop with it.
			f.out = append(f.out, data[copied:w.comma]...)
		default:
			f.out = append(f.out, data[copied:w.value]...)
			f.stamp(k)
		}
		copied = w.end
	}
	if !w.whole() {
		return false
	}
	f.out = append(f.out, data[copied:w.close]...)
	f.finish(!w.empty())
	return true
}

// array writes the array that opens at data[open] as an object whose names
// are the indexes, which is what {...array} makes of it in JavaScript.
func (f *frame) array(data []byte, open int) bool {
	f.out = append(f.out, '{')
	w := walkFrom(data, open)
	for n := int64(0); w.step(); n++ {
		if n > 0 {
			f.out = append(f.out, ',')
		}
		f.out = append(f.out, '"')
		f.out = strconv.AppendInt(f.out, n, 10)
		f.out = append(f.out, '"', ':')
		f.out = append(f.out, data[w.value:w.end]...)
	}
	f.finish(!w.empty())
	return w.whole()
}

// scalar writes the string, number, true, false or null that begins at data[i].
func (f *frame) scalar(data []byte, i int) bool {
	end := skipScalar(data, i)
	if end < 0 || skipSpace(data, end) < len(data) {
		return false
	}
	if data[i] == 'n' {
		// {...null} has no members.
		f.out = append(f.out, '{')
		f.finish(false)
		return true
	}
	f.openName()
	f.out = append(f.out, data[i:end]...)
	f.finish(true)
	return true
}

// text writes data as a JSON string.
func (f *frame) text(data []byte) {
	f.openName()
	f.out = AppendString(f.out, data)
	f.finish(true)
}

// openName writes the brace and the name in front of the only value.
func (f *frame) openName() {
	f.out = append(f.out, '{')
	if f.Name == "" {
		f.out = append(f.out, `"data":`...)
		return
	}
	f.out = AppendString(f.out, f.Name)
	f.out = append(f.out, ':')
}

// finish writes the stamps that are still missing and the closing brace.
// Members says whether there is something to set them apart from.
func (f *frame) finish(members bool) {
	if f.open {
		f.members = members
		return
	}
	for k := range numKeys {
		if f.stamped[k] || k == keyTopic && f.Topic == "" {
			continue
		}
		if members {
			f.out = append(f.out, ',')
		}
		members = true
		f.out = append(f.out, '"')
		f.out = append(f.out, keyNames[k]...)
		f.out = append(f.out, '"', ':')
		f.stamp(k)
	}
	f.out = append(f.out, '}')
}

// stamp writes the value of k, whose name is already there.
func (f *frame) stamp(k key) {
	f.stamped[k] = true
	switch k {
	case keyTopic:
		f.out = AppendString(f.out, f.Topic)
	case keyNow:
		f.out = strconv.AppendInt(f.out, f.Now, 10)
	case keyMe:
		f.me = len(f.out)
		f.out = append(f.out, "false"...)
	}
}

// keyOf tells which stamp a member's name, as written, is the name of.
func (f *frame) keyOf(name []byte) key {
	// Nearly all names are out at their first byte: an escaped _ begins with
	// a backslash.
	if len(name) == 0 || name[0] != '_' && name[0] != '\\' {
		return noKey
	}
	for k, want := range keyNames {
		if sameName(name, want) && (key(k) != keyTopic || f.Topic != "") {
			return key(k)
		}
	}
	return noKey
}
