package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
)

// adminKey is how the command line gives the admin key.
type adminKey struct {
	text, file string
	flagSet    *pflag.FlagSet // that it was given with; nil: with none
}

// flags adds the flags. Everybody on a machine can read the command lines of
// its programs: so there is a file.
func (k *adminKey) flags(f *pflag.FlagSet, what string) {
	k.flagSet = f
	f.StringVar(&k.file, "admin-key-file", "", what+": the first line of `FILE`")
	f.StringVar(&k.text, "admin-key", "", "the same, as `KEY`; everybody on this machine can read it")
}

// maxKeyFile is how many bytes of a key file are read: more than a header
// takes.
const maxKeyFile = 64 << 10

// read returns the key; "" if none was given.
func (k adminKey) read() (string, error) {
	switch {
	case k.given("admin-key-file") && k.file == "":
		return "", errors.New("--admin-key-file: the name of the file is empty")
	case k.given("admin-key") && strings.TrimSpace(k.text) == "":
		return "", errors.New("--admin-key: the key is empty; without the flag, there is none")
	case k.file == "":
		return checkedKey(strings.TrimSpace(k.text))
	}
	if k.text != "" {
		return "", errors.New("--admin-key-file and --admin-key: there can be one of the two")
	}
	f, err := os.Open(k.file)
	if err != nil {
		return "", fmt.Errorf("read the admin key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return "", fmt.Errorf("read the admin key: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	key := strings.TrimSpace(string(line))
	if key == "" {
		return "", fmt.Errorf("the first line of %s is empty: it must be the admin key", k.file)
	}
	if key, err = checkedKey(key); err != nil {
		return "", fmt.Errorf("%s: %w", k.file, err)
	}
	return key, nil
}

func (k adminKey) given(flag string) bool { return k.flagSet != nil && k.flagSet.Changed(flag) }

// checkedKey returns a key if an HTTP header can have it. A key file that an
// editor has saved as UTF-16 has none that can.
func checkedKey(key string) (string, error) {
	if strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("the admin key has characters that cannot be seen")
	}
	return key, nil
}
