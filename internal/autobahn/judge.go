package autobahn

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// The suite's ratings. Failed covers several of the suite's: it rates the end of
// a connection apart (WRONG CODE, UNCLEAN, FAILED BY CLIENT), and Why says which
// it was.
const (
	OK            = "OK"
	NonStrict     = "NON-STRICT"
	Informational = "INFORMATIONAL"
	NotOffered    = "not offered" // the suite's UNIMPLEMENTED
	Failed        = "FAILED"
)

// A Verdict is what a case came to.
type Verdict struct {
	Rating string
	Close  string // how the server closed: a code, "no code" or "no frame"
	Why    string // if it failed
}

// String is the verdict as docs/autobahn.md has it, such as "OK 1000". It is
// empty for a case that was not played.
func (v Verdict) String() string {
	if v.Rating == Failed {
		return v.Rating + ": " + v.Why
	}
	return strings.TrimSpace(v.Rating + " " + v.Close)
}

// Seen is all that a client has seen of a connection.
type Seen struct {
	Events     []Event
	Code       int  // of the server's close frame; 0 if there was none
	First      bool // that close frame came before the client sent one
	Ended      bool // the server ended the connection in time
	Fault      error
	Extensions string // that the server agreed to
}

// noCode is the code of a close frame without one.
const noCode = 1005

// judge rates what was seen. It is stricter than the suite in five things:
//
//   - The end of a connection counts as much as its messages.
//   - A server fails if it does not close when it should. The suite closes the
//     connection itself then, and notes that.
//   - A close frame without a code answers only one without a code. For the
//     suite it is as good as any code.
//   - A server fails if it breaks a rule of the RFC in a frame it sends.
//   - Payloads are compared in all cases. In section 9 the suite compares their
//     lengths.
func (c Case) judge(s Seen) Verdict {
	v := Verdict{Rating: c.rate(s.Events), Close: s.describeClose()}
	switch {
	case s.Fault != nil:
		v.Why = s.Fault.Error()
	case v.Rating == Failed:
		v.Why = fmt.Sprintf("got %s; want %s; close: %s", describe(s.Events), describe(c.Want), v.Close)
	case !c.ServerCloses && s.First:
		v.Why = "the server closed first: " + v.Close
	case c.ServerCloses && !s.First && s.Code != 0:
		v.Why = "the server closed only when the client did: " + v.Close
	case !s.Ended:
		v.Why = "the server left the connection open: " + v.Close
	case c.Clean && s.Code == 0:
		v.Why = "the connection ended without a close frame"
	case s.Code != 0 && !slices.Contains(c.Codes, s.Code):
		v.Why = fmt.Sprintf("closed with %s; want one of %v", v.Close, c.Codes)
	case c.Offer != "" && s.Extensions != "":
		v.Why = "the server agreed to " + s.Extensions + ", which this client does not speak"
	case c.Offer != "":
		v.Rating = NotOffered
	}
	if v.Why != "" {
		v.Rating = Failed
	}
	return v
}

// rate rates events alone.
func (c Case) rate(events []Event) string {
	lax := slices.ContainsFunc(c.Lax, func(want []Event) bool { return same(events, want) })
	strict := same(events, c.Want)
	switch {
	case c.Informational && (strict || lax):
		return Informational
	case strict:
		return OK
	case lax:
		return NonStrict
	}
	return Failed
}

func same(a, b []Event) bool {
	return slices.EqualFunc(a, b, func(a, b Event) bool { return a.Kind == b.Kind && bytes.Equal(a.Payload, b.Payload) })
}

func (s Seen) describeClose() string {
	switch s.Code {
	case 0:
		return "no frame"
	case noCode:
		return "no code"
	}
	return fmt.Sprint(s.Code)
}

// describe lists events, the first of many, and the start of what is long.
func describe(events []Event) string {
	if len(events) == 0 {
		return "nothing"
	}
	var list []string
	for _, e := range events[:min(len(events), 3)] {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %.40q", e.Kind, e.Payload)))
	}
	if more := len(events) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}
