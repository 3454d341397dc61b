package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"crier/access"
	"crier/cloud"
	"crier/trust"
)

// An entrance is how the command line says who may connect to a stack: with the
// flags of crier serve, as far as the function can do that.
type entrance struct {
	set        *pflag.FlagSet
	keyFile    string
	secretFile string
	tokenKey   string
	public     bool
	access     cloud.Access
}

// entranceFlags are those that say who may connect. If one is given, all of them
// hold; if none is, a stack keeps what it has.
var entranceFlags = []string{
	"key", "key-file", "token-secret", "token-secret-file", "token-key", "token-jwks", "token-audience", "token-issuer", "allow-origin", "public",
}

func (e *entrance) flags(f *pflag.FlagSet) {
	e.set = f
	a := &e.access
	f.StringVar(&e.keyFile, "key-file", "", "clients need a key, any line of `FILE`: as ?token=KEY, Authorization: Bearer KEY, or a subprotocol")
	f.StringArrayVar(&a.Keys, "key", nil, "the same, as `KEY` (repeatable); everybody on this machine can read it")
	f.StringVar(&e.secretFile, "token-secret-file", "", "clients need a token (JWT) that is signed with a secret: any line of `FILE`")
	f.StringArrayVar(&a.TokenSecrets, "token-secret", nil, "the same, as `SECRET` (repeatable); everybody on this machine can read it")
	f.StringVar(&e.tokenKey, "token-key", "", "clients need a token that is signed with the private half of a public key in `FILE`, PEM or JWK")
	f.StringVar(&a.JWKS, "token-jwks", "", "the same, with the keys at `URL`, a JSON Web Key Set")
	f.StringVar(&a.Audience, "token-audience", "", "tokens must be for `NAME`: their aud")
	f.StringVar(&a.Issuer, "token-issuer", "", "tokens must be from `NAME`: their iss")
	f.StringSliceVar(&a.AllowOrigins, "allow-origin", nil, "let pages of `ORIGIN` connect, in addition to those that visitors' own machines serve (repeatable; * is all, null is pages from files)")
	f.BoolVar(&e.public, "public", false, "take keys, tokens and origins away from a stack that has some")
}

// parameters returns what the flags say; nil if they say nothing.
func (e *entrance) parameters() (map[string]string, error) {
	given := false
	for _, name := range entranceFlags {
		given = given || e.set.Changed(name)
	}
	if !given {
		return nil, nil
	}
	a := &e.access
	closed := len(a.Keys)+len(a.TokenSecrets) > 0 || e.keyFile+e.secretFile+e.tokenKey+a.JWKS != ""
	if e.public && closed {
		return nil, errors.New("--public is for a stack without keys and tokens")
	}
	for _, origin := range a.AllowOrigins {
		if err := trust.CheckOrigin(origin); err != nil {
			return nil, fmt.Errorf("--allow-origin: %w", err)
		}
	}
	if err := e.read(); err != nil {
		return nil, err
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return a.Parameters()
}

// read reads the files.
func (e *entrance) read() (err error) {
	a := &e.access
	if a.Keys, err = valuesOf("key", a.Keys, e.keyFile, e.set.Changed("key-file")); err != nil {
		return err
	}
	if a.TokenSecrets, err = valuesOf("token-secret", a.TokenSecrets, e.secretFile, e.set.Changed("token-secret-file")); err != nil {
		return err
	}
	if e.tokenKey == "" {
		return nil
	}
	text, err := os.ReadFile(e.tokenKey)
	if err != nil {
		return fmt.Errorf("--token-key: %w", err)
	}
	if _, err := access.KeySigner(text); err == nil {
		return fmt.Errorf("--token-key: %s has a private key, and AWS needs the public half only: openssl pkey -in %[1]s -pubout -out public.pem", e.tokenKey)
	}
	a.TokenKeys = string(bytes.TrimSpace(text))
	return nil
}

// valuesOf returns the values of a flag, or the lines of a file.
func valuesOf(flag string, given []string, file string, named bool) (list []string, err error) {
	switch {
	case named && file == "":
		return nil, fmt.Errorf("--%s-file: the name of the file is empty", flag)
	case len(given) > 0 && file != "":
		return nil, fmt.Errorf("--%s-file and --%[1]s: there can be one of the two", flag)
	case file != "":
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--%s-file: %w", flag, err)
		}
		given = strings.Split(string(text), "\n")
	}
	for _, line := range given {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		} else if file == "" {
			return nil, fmt.Errorf("--%s: it is empty; to have none: --public", flag)
		}
	}
	if file != "" && len(list) == 0 {
		return nil, fmt.Errorf("--%s-file: %s has none: each line is one", flag, file)
	}
	return list, nil
}

// check holds the values to the rules that the function will hold them to.
func (e *entrance) check() error {
	a := e.access
	if len(a.Keys) > 0 {
		if _, err := access.NewSecrets(a.Keys, "", slog.Default()); err != nil {
			return fmt.Errorf("--key: %w", err)
		}
	}
	tokens := access.TokenConfig{Secrets: a.TokenSecrets, KeyFile: e.tokenKey, JWKS: a.JWKS, Audience: a.Audience, Issuer: a.Issuer}
	if tokens.None() {
		if a.Audience+a.Issuer != "" {
			return errors.New("--token-audience and --token-issuer need --token-secret, --token-key or --token-jwks")
		}
		return nil
	}
	checker, err := access.NewTokens(tokens)
	if err == nil {
		checker.Close()
	}
	return err
}
