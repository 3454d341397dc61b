package deploy

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// program is the least that is an executable for a machine.
func program(machine elf.Machine) []byte {
	var b bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	binary.Write(&b, binary.LittleEndian, header)
	return b.Bytes()
}

func write(t *testing.T, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCodeOf(t *testing.T) {
	for machine, want := range map[elf.Machine]string{elf.EM_AARCH64: "arm64", elf.EM_X86_64: "x86_64"} {
		code, err := CodeOf(write(t, program(machine)))
		if err != nil || code.architecture != want {
			t.Errorf("%s: %q, %v; want %q", machine, code.architecture, err, want)
		}
	}
	_, err := CodeOf(write(t, program(elf.EM_RISCV)))
	wantError(t, err, "EM_RISCV", "arm64 and x86_64")
	_, err = CodeOf(write(t, []byte("MZ")))
	wantError(t, err, "not a Linux program")
}

// zipOf packs a file called name.
func zipOf(t *testing.T, name string, mode os.FileMode, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: name}
	header.SetMode(mode)
	entry, err := w.CreateHeader(header)
	if err == nil {
		_, err = entry.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadZip(t *testing.T) {
	packed := zipOf(t, "bootstrap", 0o755, program(elf.EM_AARCH64))
	code, err := ReadZip(write(t, packed))
	if err != nil || code.architecture != "arm64" || !bytes.Equal(code.zip, packed) {
		t.Errorf("%q, %v; want the zip as it was", code.architecture, err)
	}
	for want, content := range map[string][]byte{
		"not a zip":                      []byte("PK"),
		"an executable called bootstrap": zipOf(t, "dist/bootstrap", 0o755, program(elf.EM_AARCH64)),
		"not executable":                 zipOf(t, "bootstrap", 0o644, program(elf.EM_AARCH64)),
		"not a Linux program":            zipOf(t, "bootstrap", 0o755, []byte("#!/bin/sh")),
	} {
		_, err := ReadZip(write(t, content))
		wantError(t, err, want)
	}
}

func TestZip(t *testing.T) {
	one, two := codeOf(t, "program"), codeOf(t, "program")
	if !bytes.Equal(one.zip, two.zip) {
		t.Error("the same program makes another zip")
	}
	r, err := zip.NewReader(bytes.NewReader(one.zip), int64(len(one.zip)))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 {
		t.Errorf("the zip has %+v, want an executable bootstrap", r.File[0].FileHeader)
	}
	if content, err := unpack(one.zip); err != nil || string(content) != "program" {
		t.Errorf("unpacked %q, %v", content, err)
	}
}
