package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// oneLine makes one line of a text, so that no part of it can be mistaken for a
// separate line. JSON stays the same JSON: line breaks between its members are
// removed, and those that a string may contain become escapes. In other text,
// whatever a reader may take for the end of a line becomes an escape, and so
// does every control character except tab. Backslashes stay.
func oneLine(text []byte) []byte {
	if bytes.ContainsAny(text, "\n\r") {
		var b bytes.Buffer
		if json.Compact(&b, text) == nil {
			text = b.Bytes()
		}
	}
	return escape(text, endsLine)
}

// escape writes odd characters as JSON would, and bytes that are not UTF-8 as
// \xff.
func escape(text []byte, odd func(rune) bool) []byte {
	if !bytes.ContainsFunc(text, odd) && utf8.Valid(text) {
		return text
	}
	var b bytes.Buffer
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case !odd(r):
			b.Write(text[:size])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[size:]
	}
	return b.Bytes()
}

// endsLine reports whether some reader takes a character for the end of a line,
// or obeys it in another way.
func endsLine(r rune) bool {
	return r != '\t' && unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// jsonLine makes one line of JSON of a message: JSON stays, other text becomes
// a string, and a binary message a string in base64.
func jsonLine(data []byte, binary bool) []byte {
	switch {
	case binary:
		data = slices.Concat([]byte(`"`), []byte(base64.StdEncoding.EncodeToString(data)), []byte(`"`))
	case !json.Valid(data) || !utf8.Valid(data):
		var b strings.Builder
		quoted := json.NewEncoder(&b)
		quoted.SetEscapeHTML(false)
		quoted.Encode(string(data))
		data = []byte(b.String())
	}
	return oneLine(bytes.TrimRight(data, "\n"))
}
