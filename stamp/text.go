package stamp

import (
	"bytes"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendString appends s to dst as a JSON string, in the way JSON.stringify
// writes it: nothing is escaped that need not be, \b \t \n \f \r are short, and
// other control characters are \u00 and two lower-case digits.
func AppendString[Text ~string | ~[]byte](dst []byte, s Text) []byte {
	dst = append(dst, '"')
	for {
		n := plain(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		dst = appendEscape(dst, s[n])
		s = s[n+1:]
	}
}

// appendEscape appends the escape sequence for c, which is not plain.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// String decodes a JSON string, given with its quotes and nothing around them.
// If raw is not one, ok is false. What stands for half of a surrogate pair
// becomes U+FFFD, since there is no UTF-8 for it.
func String(raw []byte) (s string, ok bool) {
	if len(raw) == 0 || skipString(raw, 0) != len(raw) {
		return "", false
	}
	raw = raw[1 : len(raw)-1]
	escape := bytes.IndexByte(raw, '\\')
	if escape < 0 {
		return string(raw), true
	}
	var b strings.Builder
	b.Grow(len(raw)) // An escape is longer than what it stands for.
	for escape >= 0 {
		b.Write(raw[:escape])
		r, size := unescape(raw[escape:])
		b.WriteRune(r)
		raw = raw[escape+size:]
		escape = bytes.IndexByte(raw, '\\')
	}
	b.Write(raw)
	return b.String(), true
}

// sameName reports whether a member's name, written as raw without the quotes,
// is name. Raw must have been found to be a JSON string.
func sameName(raw []byte, name string) bool {
	// An escape is longer than what it stands for.
	if len(raw) <= len(name) {
		return string(raw) == name && bytes.IndexByte(raw, '\\') < 0
	}
	return bytes.IndexByte(raw, '\\') >= 0 && sameEscaped(raw, name)
}

// sameEscaped is sameName for any raw.
func sameEscaped(raw []byte, name string) bool {
	var b [utf8.UTFMax]byte
	for len(raw) > 0 {
		n, size := 1, 1
		if b[0] = raw[0]; raw[0] == '\\' {
			var r rune
			r, size = unescape(raw)
			n = utf8.EncodeRune(b[:], r)
		}
		if len(name) < n || name[:n] != string(b[:n]) {
			return false
		}
		raw, name = raw[size:], name[n:]
	}
	return name == ""
}

// unescape decodes the escape sequence, or pair of them, that raw begins with
// and tells its size. It must have been found to be one.
func unescape(raw []byte) (r rune, size int) {
	switch raw[1] {
	case 'b':
		return '\b', 2
	case 't':
		return '\t', 2
	case 'n':
		return '\n', 2
	case 'f':
		return '\f', 2
	case 'r':
		return '\r', 2
	case 'u':
		return unescapeUnicode(raw)
	}
	return rune(raw[1]), 2
}

// unescapeUnicode decodes \u and four digits, and a second such sequence if
// both are one character's surrogates.
func unescapeUnicode(raw []byte) (r rune, size int) {
	const one, two = len(`\u0000`), len(`\u0000\u0000`)
	r = unhex(raw[2:one])
	if !utf16.IsSurrogate(r) {
		return r, one
	}
	if len(raw) >= two && raw[one] == '\\' && raw[one+1] == 'u' {
		pair := utf16.DecodeRune(r, unhex(raw[one+2:two]))
		if pair != utf8.RuneError {
			return pair, two
		}
	}
	return utf8.RuneError, one
}

// unhex is the number that hexadecimal digits stand for.
func unhex(digits []byte) (r rune) {
	for _, c := range digits {
		// The low four bits of a letter are 1 to 6.
		d := rune(c & 15)
		if c > '9' {
			d += 9
		}
		r = r<<4 | d
	}
	return r
}

// plain tells how many bytes at the start of s stand for themselves in a JSON
// string: those before the first quote, backslash or control character.
func plain[Text ~string | ~[]byte](s Text) int {
	const (
		ones = 0x0101010101010101
		tops = 0x80 * ones
	)
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		w := load64(s[n : n+8])
		// Where x is one of eight bytes, (x-k)&^x has its top bit set if
		// x < k. (It may be set wrongly, but only after a byte for which it
		// is set rightly, and we want the first.) There are two things to
		// look for: x^2 < 0x21 is true of the control characters and of the
		// quote, and x^'\\' < 1 of the backslash. Neither xor changes the top
		// bit, so one &^w does for both.
		quote := (w ^ 2*ones) - 0x21*ones
		slash := (w ^ '\\'*ones) - ones
		if found := (quote | slash) &^ w & tops; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for ; n < len(s); n++ {
		if c := s[n]; c < ' ' || c == '"' || c == '\\' {
			return n
		}
	}
	return n
}

// load64 loads eight bytes, the first one lowest. The compiler makes one load
// of it.
func load64[Text ~string | ~[]byte](s Text) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
