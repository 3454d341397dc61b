package deploy

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Code is what the function runs: a zip with an executable called bootstrap, which is what Lambda looks for. An executable is
// packed when it is needed, which takes seconds.
type Code struct {
	zip          []byte // or nil
	binary       []byte // to be packed
	architecture string // as Lambda calls it: arm64 or x86_64
}

const bootstrap = "bootstrap"

// maxCode is what Lambda takes unpacked: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxCode = 250 << 20

// CodeOf makes code of a Linux executable.
func CodeOf(path string) (Code, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return Code{}, fmt.Errorf("reading the program: %w", err)
	}
	architecture, err := runnable(program)
	if err != nil {
		return Code{}, fmt.Errorf("%s cannot run as a Lambda function: %w", path, err)
	}
	return Code{binary: stripped(program), architecture: architecture}, nil
}

// stripped returns an ELF executable without what it needs only to be debugged: everything after the segments that are loaded,
// and the list of its sections. This is half of what go build writes.
func stripped(program []byte) []byte {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil || f.Class != elf.ELFCLASS64 || f.ByteOrder != order {
		return program
	}
	end := uint64(0)
	for _, segment := range f.Progs {
		end = max(end, segment.Off+segment.Filesz)
	}
	if end < headerSize || end > uint64(len(program)) {
		return program
	}
	less := bytes.Clone(program[:end])
	order.PutUint64(less[0x28:], 0) // where the sections' headers are, how many, and which of them has the names
	order.PutUint16(less[0x3c:], 0)
	order.PutUint16(less[0x3e:], 0)
	return less
}

// https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
const headerSize = 64

var order = binary.LittleEndian

// packed returns the zip.
func (c Code) packed() ([]byte, error) {
	if c.zip != nil {
		return c.zip, nil
	}
	return pack(c.binary)
}

func pack(binary []byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: bootstrap, Method: zip.Deflate} // no time: it would be another zip each time
	header.SetMode(0o755)
	entry, err := w.CreateHeader(header)
	if err == nil {
		_, err = entry.Write(binary)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("packing the program: %w", err)
	}
	return b.Bytes(), nil
}

// ReadZip takes a zip that was packed before, as it is.
func ReadZip(path string) (Code, error) {
	packed, err := os.ReadFile(path)
	if err != nil {
		return Code{}, fmt.Errorf("reading the function's zip: %w", err)
	}
	binary, err := unpack(packed)
	if err != nil {
		return Code{}, fmt.Errorf("%s: %w", path, err)
	}
	architecture, err := runnable(binary)
	if err != nil {
		return Code{}, fmt.Errorf("%s: its bootstrap cannot run as a Lambda function: %w", path, err)
	}
	return Code{zip: packed, architecture: architecture}, nil
}

func unpack(packed []byte) ([]byte, error) {
	r, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, fmt.Errorf("this is not a zip: %w", err)
	}
	for _, file := range r.File {
		if file.Name != bootstrap {
			continue
		}
		if file.Mode()&0o111 == 0 {
			return nil, errors.New("the bootstrap in the zip is not executable: chmod +x bootstrap, and pack it again")
		}
		content, err := file.Open()
		if err != nil {
			return nil, err
		}
		defer content.Close()
		binary, err := io.ReadAll(io.LimitReader(content, maxCode+1))
		if len(binary) > maxCode {
			return nil, errors.New("the bootstrap in the zip is larger than the 250 MB that Lambda takes")
		}
		return binary, err
	}
	return nil, errors.New("the zip must have an executable called bootstrap at its top, built for Linux")
}

// maxGlibc is the minor version of the C library, 2.34, that provided.al2023 has.
const maxGlibc = 34

// runnable tells for which of Lambda's architectures an executable was built, and refuses what would not start there.
func runnable(binary []byte) (architecture string, err error) {
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return "", errors.New("it is not a Linux program")
	}
	defer f.Close()
	switch f.Machine {
	case elf.EM_AARCH64:
		architecture = "arm64"
	case elf.EM_X86_64:
		architecture = "x86_64"
	default:
		return "", fmt.Errorf("it was built for %s; Lambda has arm64 and x86_64", f.Machine)
	}
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			return architecture, dynamic(f)
		}
	}
	return architecture, nil
}

// dynamic refuses programs that need another C library than Lambda's.
func dynamic(f *elf.File) error {
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("reading which libraries it needs: %w", err)
	}
	for _, library := range libraries {
		if strings.Contains(library, "musl") {
			return errors.New("it needs musl's C library, which is not there: build it with CGO_ENABLED=0")
		}
	}
	needs, err := f.DynamicVersionNeeds()
	if err != nil {
		return fmt.Errorf("reading which versions of libraries it needs: %w", err)
	}
	for _, need := range needs {
		for _, version := range need.Needs {
			minor, ok := strings.CutPrefix(version.Dep, "GLIBC_2.")
			minor, _, _ = strings.Cut(minor, ".")
			if number, err := strconv.Atoi(minor); ok && err == nil && number > maxGlibc {
				return fmt.Errorf("it needs %s, and Lambda has 2.%d: build it with CGO_ENABLED=0", version.Dep, maxGlibc)
			}
		}
	}
	return nil
}

// key is where the code of a stack is kept in the bucket. CloudFormation does not notice new content under an old key,
// hence the hash. It is under the stack's name so that removing one stack cannot take another's code away.
func (c Code) key(name string) string {
	content := c.zip
	if content == nil {
		content = c.binary
	}
	hash := sha256.Sum256(content)
	return codePrefix(name) + hex.EncodeToString(hash[:]) + ".zip"
}

func codePrefix(name string) string { return "code/" + name + "/" }
