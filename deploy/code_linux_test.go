package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// What go build makes here, with cgo or without, is what crier deploy sends.
func TestThisProgramRunsOnLambda(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runnable(program); err != nil {
		t.Error(err)
	}
}

func TestNewerLibrary(t *testing.T) {
	shell, err := os.ReadFile("/bin/sh")
	if err != nil || !bytes.Contains(shell, []byte("GLIBC_2.34\x00")) {
		t.Skip("there is no program here that needs glibc 2.34")
	}
	if _, err := runnable(shell); err != nil {
		t.Errorf("a program that needs what Lambda has: %v", err)
	}
	_, err = runnable(bytes.ReplaceAll(shell, []byte("GLIBC_2.34\x00"), []byte("GLIBC_2.39\x00")))
	wantError(t, err, "GLIBC_2.39", "CGO_ENABLED=0")
}

// TestStripped: what is sent is smaller than what go build makes, and runs.
func TestStripped(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	less := stripped(program)
	if len(less) > len(program)*9/10 && bytes.Contains(program, []byte(".debug_info")) {
		t.Errorf("%d bytes of %d are left", len(less), len(program))
	}
	if again := stripped(less); !bytes.Equal(again, less) {
		t.Error("twice is not as once")
	}
	out, err := exec.Command(write(t, less), "-test.list", "TestStripped").CombinedOutput()
	if err != nil || string(out) != "TestStripped\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
}
