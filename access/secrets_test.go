package access

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestSecrets(t *testing.T) {
	path := keyFile(t, []byte("  first \r\n\nsecond"))
	s, err := NewSecrets([]string{"given", "ü b"}, path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	have := func(when string, yes, no []string) {
		t.Helper()
		s.file.looked = time.Time{} // a second has passed
		for _, key := range yes {
			if !s.Have(key) {
				t.Errorf("%s: %q is not taken", when, key)
			}
		}
		for _, key := range no {
			if s.Have(key) {
				t.Errorf("%s: %q is taken", when, key)
			}
		}
	}
	have("at first", []string{"given", "ü b", "first", "second"}, []string{"", " ", "Given", "given ", "firs", "third", "first\nsecond"})
	if err := os.WriteFile(path, []byte("second\nthird\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	have("when the file has changed", []string{"given", "second", "third"}, []string{"first"})
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	have("when the file is empty", []string{"second", "third"}, []string{""})
	if (*Secrets)(nil).Have("") || !(*Secrets)(nil).None() || (&Secrets{}).Have("") || !(&Secrets{}).None() || s.None() {
		t.Error("no keys are keys")
	}
}

func TestBadSecrets(t *testing.T) {
	for key, want := range map[string]string{"": "empty", " ": "empty", "a\nb": "cannot be seen", "\ufeffa": "cannot be seen"} {
		if _, err := NewSecrets([]string{key}, "", quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", key, err)
		}
	}
	for text, want := range map[string]string{"": "each line is one", "\n \n": "each line is one", "\xff\xfeh\x00i\x00": "cannot be seen"} {
		if _, err := NewSecrets(nil, keyFile(t, []byte(text)), quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
