//go:build unix

package files

import (
	"syscall"
	"testing"
)

// pipe makes something that opens slowly.
func pipe(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o666); err != nil {
		t.Fatal(err)
	}
}
