package stamp

// A walk goes over the members of the object, or the elements of the array,
// that is a whole JSON text:
//
//	w := walkFrom(data, open)
//	for w.step() {
//		// w.name, data[w.value:w.end]
//	}
//	if !w.whole() {
//		// not JSON after all, whatever step has shown so far
//	}
//
// Between steps, the text looks like this:
//
//	{ "a" : 1 , "name" : 2 , ... }
//	^         ^          ^^      ^
//	open      comma  value end   close (at last)
type walk struct {
	data []byte
	// closer is the bracket that ends the walk.
	closer byte
	// comma is the index of the comma in front of the current member, if it
	// is not the first.
	comma int
	// name is the current member's name as it is written, without the quotes.
	// Elements of arrays have none.
	name []byte
	// data[value:end] is the current value. Before the first step value is 0,
	// which it cannot be later because there is a bracket in front.
	value, end int
	// close is the index of the closing bracket, 0 until it is known that the
	// walk came to it and that nothing but white space follows.
	close int
}

// walkFrom begins a walk over the object or array that opens at data[open].
func walkFrom(data []byte, open int) walk {
	w := walk{data: data, closer: '}', end: open + 1}
	if data[open] == '[' {
		w.closer = ']'
	}
	return w
}

// step moves on to the next member. After it has returned false it must not be
// called again.
func (w *walk) step() bool {
	i := skipSpace(w.data, w.end)
	if i == len(w.data) {
		return false
	}
	if w.data[i] == w.closer {
		if skipSpace(w.data, i+1) == len(w.data) {
			w.close = i
		}
		return false
	}
	if !w.empty() {
		if w.data[i] != ',' {
			return false
		}
		w.comma = i
		i = skipSpace(w.data, i+1)
	}
	if w.closer == '}' {
		nameEnd := skipString(w.data, i)
		if nameEnd < 0 {
			return false
		}
		w.name = w.data[i+1 : nameEnd-1]
		if i = skipColon(w.data, nameEnd); i < 0 {
			return false
		}
	}
	w.value, w.end = i, skipValue(w.data, i)
	return w.end >= 0
}

// whole reports, after the last step, whether the text was JSON.
func (w *walk) whole() bool { return w.close > 0 }

// empty reports whether there was nothing yet between the brackets.
func (w *walk) empty() bool { return w.value == 0 }
