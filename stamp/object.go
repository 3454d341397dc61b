package stamp

// Object reports whether data is one JSON object, and finds members of it:
// values[i] becomes the JSON text of the last top-level member named names[i],
// as JSON.parse would have it, or nil if there is none. The texts are parts of
// data. There must be as many values as names. If data is not a JSON object
// all of them become nil.
//
// An escape in data is compared as what it stands for, which is U+FFFD for half
// of a surrogate pair.
func Object(data []byte, names []string, values [][]byte) bool {
	clear(values[:len(names)])
	open := skipSpace(data, 0)
	if open == len(data) || data[open] != '{' {
		return false
	}
	w := walkFrom(data, open)
	for w.step() {
		for i, name := range names {
			if sameName(w.name, name) {
				// No one's append may write over what follows.
				values[i] = data[w.value:w.end:w.end]
			}
		}
	}
	if !w.whole() {
		clear(values[:len(names)])
	}
	return w.whole()
}
