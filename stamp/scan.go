package stamp

// The skip functions go over JSON without building anything. Each takes the
// index where something should begin and returns the index after its last
// byte; bad if it is not there.
const bad = -1

// skipSpace goes over white space, of which there may be none.
func skipSpace(data []byte, i int) int {
	for i < len(data) && isSpace(data[i]) {
		i++
	}
	return i
}

// isSpace reports whether c is white space in JSON, which is less than in
// Unicode and less than in JavaScript.
func isSpace(c byte) bool {
	return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t')
}

// skipColon goes over a colon and the white space around it: from a name to
// its value.
func skipColon(data []byte, i int) int {
	i = skipSpace(data, i)
	if i == len(data) || data[i] != ':' {
		return bad
	}
	return skipSpace(data, i+1)
}

// skipName goes over the name of a member, to its value.
func skipName(data []byte, i int) int {
	i = skipString(data, i)
	if i < 0 {
		return bad
	}
	return skipColon(data, i)
}

// skipScalar goes over a string, number, true, false or null.
func skipScalar(data []byte, i int) int {
	if i == len(data) {
		return bad
	}
	switch data[i] {
	case '"':
		return skipString(data, i)
	case 't':
		return skipWord(data, i, "true")
	case 'f':
		return skipWord(data, i, "false")
	case 'n':
		return skipWord(data, i, "null")
	default:
		return skipNumber(data, i)
	}
}

// skipWord goes over word.
func skipWord(data []byte, i int, word string) int {
	end := i + len(word)
	if end > len(data) || string(data[i:end]) != word {
		return bad
	}
	return end
}

// skipNumber goes over a number: an integer without needless zeros in front,
// then perhaps a fraction, then perhaps an exponent.
func skipNumber(data []byte, i int) int {
	if i < len(data) && data[i] == '-' {
		i++
	}
	if i < len(data) && data[i] == '0' {
		i++
	} else if i = skipDigits(data, i); i < 0 {
		return bad
	}
	if i < len(data) && data[i] == '.' {
		if i = skipDigits(data, i+1); i < 0 {
			return bad
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		return skipDigits(data, i)
	}
	return i
}

// skipDigits goes over one or more digits.
func skipDigits(data []byte, i int) int {
	start := i
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return bad
	}
	return i
}

// skipString goes over a string with its quotes.
func skipString(data []byte, i int) int {
	if i == len(data) || data[i] != '"' {
		return bad
	}
	i++
	for {
		i += plain(data[i:])
		switch {
		case i == len(data):
			return bad
		case data[i] == '"':
			return i + 1
		case data[i] == '\\':
			if i = skipEscape(data, i); i < 0 {
				return bad
			}
		default: // a control character
			return bad
		}
	}
}

// skipEscape goes over one escape sequence, which begins with the backslash at
// data[i]. Half of a surrogate pair is as good as any other.
func skipEscape(data []byte, i int) int {
	if i+1 == len(data) {
		return bad
	}
	switch data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		end := i + len(`\u0000`)
		if end > len(data) || !isHex(data[i+2:end]) {
			return bad
		}
		return end
	default:
		return bad
	}
}

// isHex reports whether there is nothing but hexadecimal digits in s.
func isHex(s []byte) bool {
	for _, c := range s {
		if c-'0' > 9 && (c|0x20)-'a' > 5 {
			return false
		}
	}
	return true
}
