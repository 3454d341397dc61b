package stamp

// Strings decodes a JSON array of at most max strings, given with its brackets
// and nothing around them. If raw is anything else, ok is false.
func Strings(raw []byte, max int) (list []string, ok bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	w := walkFrom(raw, 0)
	for w.step() {
		s, ok := String(raw[w.value:w.end])
		if !ok || len(list) == max {
			return nil, false
		}
		list = append(list, s)
	}
	return list, w.whole()
}
