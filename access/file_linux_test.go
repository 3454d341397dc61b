package access

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestFileBecomesPipe: nobody writes to it, and nobody waits for that.
func TestFileBecomesPipe(t *testing.T) {
	path := keyFile(t, []byte("key"))
	s, err := NewSecrets(nil, path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s.file.looked = time.Time{} // a second has passed
	answered := make(chan bool, 1)
	go func() { answered <- s.Have("key") }()
	select {
	case ok := <-answered:
		if !ok {
			t.Error("what the file said before does not hold")
		}
	case <-time.After(5 * time.Second):
		w, _ := os.OpenFile(path, os.O_RDWR, 0) // so that the other goroutine ends
		w.Close()
		t.Fatal("whoever shows a key has to wait for the file")
	}
}
