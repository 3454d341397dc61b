package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"unicode"
)

// Secrets are keys that are equally good, so that one can be changed without a
// pause: the new one is added, everybody gets it, and the old one is removed.
type Secrets struct {
	given []string
	file  *file[[]string] // or nil
}

// NewSecrets returns the given keys and those of a file, one on each line. Without
// a path there is no file. The file is read again when it changes.
func NewSecrets(given []string, path string, log *slog.Logger) (*Secrets, error) {
	s := &Secrets{given: given}
	for _, key := range given {
		if err := checkSecret(key); err != nil {
			return nil, err
		}
	}
	if path == "" {
		return s, nil
	}
	s.file = &file[[]string]{path: path, parse: parseSecrets, log: log}
	if err := s.file.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// None reports whether there is no key.
func (s *Secrets) None() bool { return s == nil || len(s.given) == 0 && s.file == nil }

// Have reports whether a credential is one of the keys. How long it takes says
// nothing about them.
func (s *Secrets) Have(credential string) bool {
	if s.None() {
		return false
	}
	found := 0
	for _, key := range s.given {
		found |= same(credential, key)
	}
	if s.file != nil {
		for _, key := range s.file.get() {
			found |= same(credential, key)
		}
	}
	return found == 1
}

// Overlap reports whether a key is one of both.
func (s *Secrets) Overlap(other *Secrets) bool {
	if s.None() || other.None() {
		return false
	}
	keys := s.given
	if s.file != nil {
		keys = append(keys[:len(keys):len(keys)], s.file.get()...)
	}
	return slices.ContainsFunc(keys, other.Have)
}

// same returns 1 if two texts are equal, and 0 otherwise. Hashes have equal
// lengths, so the time reveals nothing.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// parseSecrets returns the lines of a file that are not empty.
func parseSecrets(text []byte) (list []string, err error) {
	for line := range bytes.Lines(text) {
		key := strings.TrimSpace(string(line))
		if key == "" {
			continue
		}
		if err := checkSecret(key); err != nil {
			return nil, err
		}
		list = append(list, key)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no key in it: each line is one")
	}
	return list, nil
}

// checkSecret refuses a key that an HTTP header cannot have. A file that an
// editor has saved as UTF-16 has none that can.
func checkSecret(key string) error {
	if strings.TrimSpace(key) == "" {
		return errors.New("a key is empty")
	}
	if strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("a key has characters that cannot be seen")
	}
	return nil
}
