package access

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// TestFaultyFile: a file that cannot be read is complained about once, and not each
// time that somebody comes; and again when it fails in another way.
func TestFaultyFile(t *testing.T) {
	var log bytes.Buffer
	path := keyFile(t, []byte("key"))
	s, err := NewSecrets(nil, path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	complaints := func() int {
		for range 5 {
			s.file.looked = time.Time{} // a second has passed
			if !s.Have("key") {
				t.Error("what the file said before does not hold")
			}
		}
		return strings.Count(log.String(), "level=ERROR")
	}
	os.Remove(path)
	if n := complaints(); n != 1 {
		t.Errorf("removed: %d complaints", n)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if n := complaints(); n != 2 {
		t.Errorf("then a directory: %d complaints", n)
	}
	os.Remove(path)
	if err := os.WriteFile(path, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := complaints(); n != 2 {
		t.Errorf("there again: %d complaints", n)
	}
	os.Remove(path)
	if n := complaints(); n != 3 {
		t.Errorf("removed again: %d complaints", n)
	}
}
