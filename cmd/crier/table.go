package main

import (
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// A table is rows of cells, whose columns line up on a screen: there, a Chinese
// character is two columns wide, and an accent may be none.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

// writeTo writes the rows, with two spaces between the columns.
func (t table) writeTo(out io.Writer) error {
	var wide []int // each column
	for _, cells := range t {
		for i, cell := range cells {
			if i == len(wide) {
				wide = append(wide, 0)
			}
			wide[i] = max(wide[i], columns(cell))
		}
	}
	var b strings.Builder
	for _, cells := range t {
		for i, cell := range cells {
			b.WriteString(cell)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", wide[i]-columns(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// columns returns how many columns of a terminal a text takes.
func columns(text string) (n int) {
	for _, r := range text {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) { // combining, joiners, variations
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth: // emoji, too
		return 2
	}
	return 1
}

// shortened cuts a text that would make a table too wide.
func shortened(text string, most int) string {
	if columns(text) <= most {
		return text
	}
	taken := 0
	for i, r := range text {
		if taken += columnsOf(r); taken > most-1 {
			return text[:i] + "…"
		}
	}
	return text
}
