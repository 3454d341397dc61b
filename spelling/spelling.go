// Package spelling finds the name that a misspelt one was meant to be.
//
//	spelling.Nearest("topci", []string{"topic", "echo"}) // "topic"
//
// It is for names that would otherwise be ignored without a word: parameters of a query, variables of the environment. A
// name is refused because it is near another one, so near means a probable slip, and not merely similar.
package spelling

import (
	"strings"
	"unicode"
)

// Nearest returns the known name that is nearest to name, or "" if none is near. Near is one slip away, in names of six letters
// and more two: a letter too many, missing or wrong, or two that changed places. Capitals make no difference, nor does what
// is no letter or digit: topicName, topic_name and topic-name are the same name.
func Nearest(name string, known []string) (nearest string) {
	typed := letters(name)
	least := maxSlips + 1
	for _, k := range known {
		meant := letters(k)
		if n := slips(typed, meant); n < least && n <= allowed(min(len(typed), len(meant))) {
			nearest, least = k, n
		}
	}
	return nearest
}

// allowed returns how many slips there may be in a name of that many letters.
func allowed(letters int) int {
	switch {
	case letters < 3:
		return 0 // or all short names would be near each other
	case letters < 6:
		return 1
	}
	return maxSlips
}

const maxSlips = 2

// letters returns a name's letters and digits, in small letters.
func letters(name string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name))
}

// slips returns how many slips there are between two names, or more than maxSlips. It is the Damerau-Levenshtein distance, in
// which no letter takes part in two slips.
func slips(a, b []rune) int {
	if len(a) == 0 || len(b) == 0 || len(a)-len(b) > maxSlips || len(b)-len(a) > maxSlips {
		return maxSlips + 1
	}
	// Rows i-2, i-1 and i of the table: row i tells how far the first i letters of a are from the beginnings of b.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range b {
			other := 0
			if a[i] != b[j] {
				other = 1
			}
			row[j+1] = min(last[j]+other, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
