package autobahn

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// text is section 6.
func text() []Case { return slices.Concat(validText(), invalidText(), failFast(), sequences()) }

// greek is valid, and has characters of two and of three octets.
const greek = "\u03ba\u1f79\u03c3\u03bc\u03b5"

// validText is 6.1 and 6.2.
func validText() []Case {
	textCase := func(id, does, payload string, frames ...Frame) Case {
		return echoed(Case{ID: id, Does: does, Steps: once(0, frames...)}, Event{Text, []byte(payload)})
	}
	const middle = "middle frame payload"
	const latin = "Hello-µ@ßöäüàá-UTF-8!!"
	const half = len("Hello-µ@ßöä")
	return []Case{
		textCase("6.1.1", "sends an empty text message", "", last(opText, "")),
		textCase("6.1.2", "sends text in three empty fragments", "",
			fragment(opText, ""), fragment(opContinuation, ""), last(opContinuation, "")),
		textCase("6.1.3", "sends text in three fragments, of which the first and last are empty", middle,
			fragment(opText, ""), fragment(opContinuation, middle), last(opContinuation, "")),
		textCase("6.2.1", "sends valid UTF-8 in one frame", latin, last(opText, latin)),
		textCase("6.2.2", "sends valid UTF-8 in two fragments, cut between two characters", latin,
			fragment(opText, latin[:half]), last(opContinuation, latin[half:])),
		textCase("6.2.3", "sends valid UTF-8 in fragments of one octet", latin, fragments(opText, []byte(latin), 1)...),
		textCase("6.2.4", "sends valid UTF-8 in fragments of one octet", greek, fragments(opText, []byte(greek), 1)...),
	}
}

// notText completes a case in which the server must close with 1007.
func notText(c Case, want ...Event) Case {
	c.Want, c.Codes, c.ServerCloses = want, []int{1007}, true
	return c
}

// invalidText is 6.3.
func invalidText() []Case {
	const payload = greek + "\xed\xa0\x80" + "edited"
	return []Case{
		notText(Case{ID: "6.3.1", Does: "sends invalid UTF-8 in one frame", Steps: once(0, last(opText, payload))}),
		notText(Case{ID: "6.3.2", Does: "sends invalid UTF-8 in fragments of one octet",
			Steps: once(0, fragments(opText, []byte(payload), 1)...)}),
	}
}

// failFast is 6.4. After the first part, which is valid so far, the connection
// must stay open. After the second part, which nothing can mend, the server
// should close without waiting for the third.
func failFast() (list []Case) {
	const payload = greek + "\xf4\x90\x80\x80" + "edited"
	add := func(number int, does string, parts ...Step) {
		open := Event{Kind: StillOpen}
		parts[1].Pause = time.Second
		parts[2].After, parts[2].Pause = 1, patience // which passes only for a server that is not strict
		c := notText(Case{ID: fmt.Sprintf("6.4.%d", number), Does: does, Steps: parts}, open)
		c.Lax = [][]Event{{open, open}}
		list = append(list, c)
	}
	frame := appendFrame(nil, last(opText, payload))
	header := len(frame) - len(payload)
	for i, cut := range []struct {
		name     string
		from, to int
	}{{"a character beyond the last one", len(greek), len(greek) + 4}, {"one octet", 12, 13}} {
		add(1+i, "sends a fragment, waits, and sends another, in which "+cut.name+" makes the text invalid",
			Step{Frames: []Frame{fragment(opText, payload[:cut.from])}},
			Step{Frames: []Frame{fragment(opContinuation, payload[cut.from:cut.to])}},
			Step{Frames: []Frame{last(opContinuation, payload[cut.to:])}})
		add(3+i, "sends a part of a frame, waits, and sends another, in which "+cut.name+" makes the text invalid",
			Step{Raw: frame[:header+cut.from]},
			Step{Raw: frame[header+cut.from : header+cut.to]},
			Step{Raw: frame[header+cut.to:]})
	}
	return list
}

// sequences is 6.5 to 6.23, which send one text each.
func sequences() (list []Case) {
	for i, group := range utf8Groups() {
		for j, payload := range group.texts {
			c := Case{ID: fmt.Sprintf("6.%d.%d", 5+i, 1+j), Does: "sends " + group.name + ": " + octetsOf(payload),
				Steps: once(0, last(opText, payload))}
			if group.valid[j%len(group.valid)] == 'y' {
				list = append(list, echoed(c, Event{Text, []byte(payload)}))
			} else {
				list = append(list, notText(c))
			}
		}
	}
	return list
}

// octetsOf writes a payload in hexadecimal; of a long one the start.
func octetsOf(payload string) string {
	const most = 16
	if len(payload) > most {
		return fmt.Sprintf("% x … (%d octets)", payload[:most], len(payload))
	}
	return fmt.Sprintf("% x", payload)
}

// A utf8Group has texts of one kind. They follow Markus Kuhn's UTF-8 decoder
// test: https://www.cl.cam.ac.uk/~mgk25/ucs/examples/UTF-8-test.txt.
type utf8Group struct {
	name  string
	valid string // y or n for each text, or for all
	texts []string
}

func utf8Groups() []utf8Group {
	cutShort := octets("c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf")
	return []utf8Group{
		{"valid text", "y", []string{"hello$world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", greek}},
		{"the start of a valid text", "nynnynynyny", prefixes(greek)},
		{"the first character of a length", "y", octets("00 c280 e0a080 f0908080")},
		{"the first code of five or six octets", "n", octets("f888808080 fc8480808080")},
		{"the last character of a length", "y", octets("7f dfbf efbfbf f48fbfbf")},
		{"the last code of four, five or six octets", "n", octets("f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf")},
		{"a code at a boundary", "yyyyn", octets("ed9fbf ee8080 efbfbd f48fbfbf f4908080")},
		{"octets that continue nothing", "n", append(octets("80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf"),
			span(0x80, 0xbe, ""))},
		{"first octets that nothing follows", "n", []string{span(0xc0, 0xde, " "), span(0xe0, 0xee, " "),
			span(0xf0, 0xf6, " "), span(0xf8, 0xfa, " "), span(0xfc, 0xfc, " ")}},
		{"a code without its last octet", "n", cutShort},
		{"codes without their last octets", "n", []string{strings.Join(cutShort, "")}},
		{"octets that are in no text", "n", octets("fe ff fefeffff")},
		{"a slash in too many octets", "n", octets("c0af e080af f08080af f8808080af fc80808080af")},
		{"the last code that is too long", "n", octets("c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf")},
		{"NUL in too many octets", "n", octets("c080 e08080 f0808080 f880808080 fc8080808080")},
		{"a surrogate", "n", octets("eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf")},
		{"a pair of surrogates", "n", octets("eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf " +
			"edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf")},
		{"a code point that is no character", "y", nonCharacters()},
		{"a special", "y", octets("efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf")},
	}
}

// octets are texts that are written in hexadecimal.
func octets(words string) (list []string) {
	for word := range strings.FieldsSeq(words) {
		b, err := hex.DecodeString(word)
		if err != nil {
			panic(err)
		}
		list = append(list, string(b))
	}
	return list
}

// prefixes are the starts of s: of one octet, of two, up to all.
func prefixes(s string) (list []string) {
	for i := range len(s) {
		list = append(list, s[:i+1])
	}
	return list
}

// span is the octets from first to last, with sep after each.
func span(first, last int, sep string) string {
	var octets []byte
	for b := first; b <= last; b++ {
		octets = append(append(octets, byte(b)), sep...)
	}
	return string(octets)
}

// nonCharacters are the last two code points of each plane.
func nonCharacters() (list []string) {
	for plane := range rune(17) {
		list = append(list, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return list
}
