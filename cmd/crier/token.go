package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"crier/access"
)

// A token is a token that is made, or taken apart.
type token struct {
	secret  secret
	keyFile string
	wish    access.Wish
	ttl     time.Duration
}

func newToken() *cobra.Command {
	t := token{secret: secret{name: "token secret"}}
	cmd := &cobra.Command{
		Use:   "token [TOKEN]",
		Short: "Make a token for a user, or take one apart",
		Long: `Make a token (a JSON Web Token), as your own service makes them for its users:
it says who the user is, which topics it is about, and what the user may do in
them. It is signed with a secret, which the server has too (HS256), or with a
private key, whose public half the server has (RS256, ES256, EdDSA). It is
printed, and nothing else. The standard error warns of a secret that can be
guessed.

With TOKEN, or - for one from standard input, say what is in that token. With a
secret or a key, say also whether it is valid, and fail if it is not.`,
		Example: `  crier token --token-secret S --user ada --topic 'game-*' --can hear,say
  crier token --token-key private.pem --user ada
  crier token --token-secret S eyJhbGciOiJIUzI1NiJ9.e30.…`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if len(args) == 0 {
				err = t.print(cmd)
			} else {
				err = t.show(cmd, args[0])
			}
			if err != nil {
				return fmt.Errorf("token: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&t.wish.User, "user", "", "the token is for the user of that `NAME`, and for nobody else")
	f.StringArrayVar(&t.wish.Topics, "topic", nil, "it is about the topics that match `PATTERN`, such as game-* (repeatable; without: all)")
	f.StringSliceVar(&t.wish.Can, "can", nil, "what the user may do in them, as `RIGHTS`: hear, say, or both (without: both)")
	f.DurationVar(&t.ttl, "ttl", time.Hour, "it expires after `DURATION`; 0: never")
	f.StringVar(&t.wish.Audience, "token-audience", "", "its aud: the `NAME` of whoever should take it")
	f.StringVar(&t.wish.Issuer, "token-issuer", "", "its iss: the `NAME` of whoever has made it")
	t.secret.flags(f, "sign it with this secret")
	f.StringVar(&t.keyFile, "token-key", "", "sign it with the private key in `FILE`, PEM or JWK")
	return cmd
}

// print makes a token, and prints it.
func (t *token) print(cmd *cobra.Command) error {
	signer, err := t.signer(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	now := time.Now()
	if err := t.read(now); err != nil {
		return err
	}
	text, err := signer.Sign(t.wish, now)
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), text)
	return nil
}

// signer returns what signs. It warns on errOut, as a server does in its log.
func (t *token) signer(errOut io.Writer) (access.Signer, error) {
	text, err := t.secret.read()
	switch {
	case err != nil:
		return access.Signer{}, err
	case text != "" && t.keyFile != "":
		return access.Signer{}, errors.New("--token-secret and --token-key: a token is signed with one of the two")
	case text != "":
		if len(text) < access.LongSecret {
			fmt.Fprintf(errOut, "the token secret is short: whoever has a token can try to guess it, and make tokens; it has %d of %d bytes that it should have\n", len(text), access.LongSecret)
		}
		return access.SecretSigner(text), nil
	case t.keyFile == "":
		return access.Signer{}, errors.New("what should it be signed with? Give --token-secret or --token-key, as the server has it")
	}
	key, err := os.ReadFile(t.keyFile)
	if err != nil {
		return access.Signer{}, fmt.Errorf("read the key: %w", err)
	}
	signer, err := access.KeySigner(key)
	if err != nil {
		return access.Signer{}, fmt.Errorf("%s: %w", t.keyFile, err)
	}
	return signer, nil
}

// read reads the flags that say what is in the token.
func (t *token) read(now time.Time) error {
	for _, word := range t.wish.Can {
		if word != "hear" && word != "say" {
			return fmt.Errorf("--can: there is no right %q; there are hear and say", word)
		}
	}
	switch {
	case t.ttl < 0:
		return fmt.Errorf("--ttl: the token would have expired %v ago", -t.ttl)
	case t.ttl > 0:
		t.wish.Expires = now.Add(t.ttl)
	}
	if slices.ContainsFunc(append(t.wish.Topics, t.wish.User), func(s string) bool { return !utf8.ValidString(s) }) {
		return errors.New("names are UTF-8")
	}
	return nil
}

// show says what is in a token, and with a key whether it is valid.
func (t *token) show(cmd *cobra.Command, text string) error {
	if text == "-" {
		in, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		text = string(bytes.TrimSpace(in))
	}
	header, body, err := access.TakeApart(text)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, part := range [][]byte{header, body} { // strangers may have written it, and a terminal would obey it
		fmt.Fprintf(out, "%s\n", escape(part, misleads))
	}
	c := access.TokenConfig{KeyFile: t.keyFile, Audience: t.wish.Audience, Issuer: t.wish.Issuer}
	given, err := t.secret.read()
	if err != nil {
		return err
	}
	if given != "" {
		c.Secrets = []string{given}
	}
	if c.None() {
		fmt.Fprintln(out, "not checked: give --token-secret or --token-key, as the server has it")
		return nil
	}
	tokens, err := access.NewTokens(c)
	if err != nil {
		return err
	}
	defer tokens.Close()
	g, err := tokens.Check(context.Background(), text, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "valid"+until(g))
	return nil
}

// until says until when a grant holds.
func until(g *access.Grant) string {
	if g.Expires.IsZero() {
		return ", for ever"
	}
	return ", until " + g.Expires.Local().Format(time.DateTime)
}
