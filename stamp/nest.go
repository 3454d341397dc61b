package stamp

// MaxDepth is how many arrays and objects may be open at once in what counts as
// JSON. It is encoding/json's limit. Some receivers' parsers recurse, and
// without it 128 KB of brackets would take them as many levels down.
const MaxDepth = 10_000

// tooDeep is what skipNested returns when it has no room to remember what it is
// inside of. It is negative like bad.
const tooDeep = -2

// skipValue goes over a value that lies in the outermost array or object.
func skipValue(data []byte, i int) int {
	if i == len(data) || data[i] != '{' && data[i] != '[' {
		return skipScalar(data, i)
	}
	var near [1]uint64
	end := skipNested(data, i, near[:], 64)
	if end == tooDeep {
		return skipDeep(data, i)
	}
	return end
}

// skipDeep is skipValue for a value of more than 64 levels. It starts over, so
// that such a value is read twice and all others pay nothing for it. It is not
// inlined so that its array is on no one else's stack.
//
//go:noinline
func skipDeep(data []byte, i int) int {
	var far [(MaxDepth + 63) / 64]uint64
	return skipNested(data, i, far[:], MaxDepth-1) // The outermost is one, too.
}

// skipNested goes over an array or object of at most max levels. It does not
// recurse: what it is inside of is a bit for each level, for which it is lent
// room.
func skipNested(data []byte, i int, room []uint64, max int) int {
	in := levels{objects: room}
	for {
		// A value should begin here. If it opens a level, the next one is the
		// first in it.
		first := i < len(data) && (data[i] == '{' || data[i] == '[')
		if first {
			if in.depth == max {
				return tooDeep
			}
			in.push(data[i])
			i++
		} else if i = skipScalar(data, i); i < 0 {
			return bad
		}

		// It may have been the last one in any number of levels.
		i = skipSpace(data, i)
		for i < len(data) && data[i] == in.closer {
			i++
			first = false
			if !in.pop() {
				return i
			}
			i = skipSpace(data, i)
		}

		// If not, there is another one to come: after a comma, unless it is
		// the first.
		if !first {
			if i == len(data) || data[i] != ',' {
				return bad
			}
			i = skipSpace(data, i+1)
		}
		if in.closer == '}' {
			if i = skipName(data, i); i < 0 {
				return bad
			}
		}
	}
}

// levels are the arrays and objects a scan is inside of.
type levels struct {
	// objects has a bit for each level, set if the level is an object. Those
	// at depth and above mean nothing.
	objects []uint64
	// depth is how many levels are open. Invariant: depth <= 64*len(objects).
	depth int
	// closer is the bracket that closes the innermost level.
	closer byte
}

// push goes one level down, into what opener opens.
func (l *levels) push(opener byte) {
	word, bit := l.depth/64, uint64(1)<<(l.depth%64)
	l.objects[word] &^= bit
	l.closer = ']'
	if opener == '{' {
		l.objects[word] |= bit
		l.closer = '}'
	}
	l.depth++
}

// pop goes one level up, and reports whether there is one.
func (l *levels) pop() bool {
	l.depth--
	if l.depth == 0 {
		return false
	}
	above := uint(l.depth - 1)
	l.closer = ']'
	if l.objects[above/64]>>(above%64)&1 == 1 {
		l.closer = '}'
	}
	return true
}
