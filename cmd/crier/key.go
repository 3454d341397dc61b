package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// A secret is how the command line gives a key.
type secret struct {
	name       string // such as "admin key"
	text, file string
	flagSet    *pflag.FlagSet // that it was given with; nil: with none
}

func adminKey() secret { return secret{name: "admin key"} }

// clientKey is a key or a token of a client.
func clientKey() secret { return secret{name: "key"} }

// bearer adds a key to the header of a request, if there is one.
func bearer(h http.Header, key string) {
	if key != "" {
		h.Set("Authorization", "Bearer "+key)
	}
}

// flag returns the name of the flag for the key itself. The one for a file ends
// in -file.
func (k *secret) flag() string { return strings.ReplaceAll(k.name, " ", "-") }

// flags adds the flags. Everybody on a machine can read the command lines of
// its programs: so there is a file.
func (k *secret) flags(f *pflag.FlagSet, what string) {
	k.flagSet = f
	f.StringVar(&k.file, k.flag()+"-file", "", what+": the first line of `FILE`")
	f.StringVar(&k.text, k.flag(), "", "the same, as `KEY`; everybody on this machine can read it")
}

// maxKeyFile is how many bytes of a key file are read: more than a header
// takes.
const maxKeyFile = 64 << 10

// read returns the key; "" if none was given.
func (k secret) read() (string, error) {
	switch {
	case k.given(k.flag()+"-file") && k.file == "":
		return "", fmt.Errorf("--%s-file: the name of the file is empty", k.flag())
	case k.given(k.flag()) && strings.TrimSpace(k.text) == "":
		return "", fmt.Errorf("--%s: the key is empty; without the flag, there is none", k.flag())
	case k.file == "":
		return k.checked(strings.TrimSpace(k.text))
	}
	if k.text != "" {
		return "", fmt.Errorf("--%s-file and --%[1]s: there can be one of the two", k.flag())
	}
	f, err := os.Open(k.file)
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", k.name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", k.name, err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	key := strings.TrimSpace(string(line))
	if key == "" {
		return "", fmt.Errorf("the first line of %s is empty: it must be the %s", k.file, k.name)
	}
	if key, err = k.checked(key); err != nil {
		return "", fmt.Errorf("%s: %w", k.file, err)
	}
	return key, nil
}

func (k secret) given(flag string) bool { return k.flagSet != nil && k.flagSet.Changed(flag) }

// checked returns a key if an HTTP header can have it. A key file that an editor
// has saved as UTF-16 has none that can.
func (k secret) checked(key string) (string, error) {
	if strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("the %s has characters that cannot be seen", k.name)
	}
	return key, nil
}

// ask asks the person at the terminal for a key, who does not see what is typed.
func (k secret) ask(ctx context.Context, s streams, host string) (string, error) {
	ctx, stop := untilStopped(ctx) // with the terminal as it was
	defer stop()
	defer context.AfterFunc(ctx, func() { s.in.Close() })()
	asking, err := openPrompt(s)
	if err != nil {
		return "", fmt.Errorf("ask for the %s: %w", k.name, err)
	}
	defer asking.close()
	key, err := asking.ReadPassword(k.name + " of " + host + ": ")
	key = strings.TrimSpace(key)
	if err != nil && !errors.Is(err, term.ErrPasteIndicator) || key == "" {
		return "", fmt.Errorf("no %s was given", k.name)
	}
	return k.checked(key)
}
