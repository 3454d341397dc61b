package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// TokenConfig says which tokens are valid.
type TokenConfig struct {
	Secrets    []string // HS256: any of these, as UTF-8
	SecretFile string   // a file with such secrets, one on each line
	KeyFile    string   // a PEM or JWK file with public keys: RS256, ES256, EdDSA
	JWKS       string   // the address of a JSON Web Key Set
	Audience   string   // must be one of aud; empty: aud does not matter
	Issuer     string   // must be iss; empty: iss does not matter
	Log        *slog.Logger
}

// None reports whether no token can be valid.
func (c TokenConfig) None() bool {
	return len(c.Secrets) == 0 && c.SecretFile == "" && c.KeyFile == "" && c.JWKS == ""
}

// Why a token is refused. The sentences are for whoever shows it.
var (
	ErrNoToken   = errors.New("this is no token: a token is three parts with dots between them")
	ErrTooLong   = fmt.Errorf("the token is too long: at most %d bytes are read", maxToken)
	ErrAlgorithm = errors.New("the token is signed in a way that is not accepted")
	ErrSignature = errors.New("the token was signed with another secret or key")
	ErrClaims    = errors.New("the token's claims cannot be read")
	ErrExpired   = errors.New("the token has expired")
	ErrNotYet    = errors.New("the token is not valid yet")
	ErrAudience  = errors.New("the token is for somebody else: its aud is another")
	ErrIssuer    = errors.New("the token is from somebody else: its iss is another")

	// ErrNoKeys says nothing about the token.
	ErrNoKeys = errors.New("the keys that tokens are checked with cannot be had at the moment")
)

const (
	maxToken    = 8 << 10 // bytes; headers of HTTP have little more room
	maxPatterns = 100     // that topics may have
	leeway      = 30 * time.Second
)

// Tokens checks tokens. They are JSON Web Tokens:
// https://www.rfc-editor.org/rfc/rfc7519
type Tokens struct {
	config  TokenConfig
	secrets []key
	files   []*file[[]key]
	remote  *keySet // or nil
}

// NewTokens returns a checker. Its keys must be readable now, except those of a
// JWKS address, whose server may be down. Close ends it.
func NewTokens(c TokenConfig) (*Tokens, error) {
	t := &Tokens{config: c}
	for _, secret := range c.Secrets {
		if err := checkSecret(secret); err != nil {
			return nil, fmt.Errorf("read the token secret: %w", err)
		}
	}
	t.secrets = c.hmacKeys(c.Secrets)
	parseSecretKeys := func(text []byte) ([]key, error) {
		secrets, err := parseSecrets(text)
		return c.hmacKeys(secrets), err
	}
	for _, f := range []*file[[]key]{{path: c.SecretFile, parse: parseSecretKeys}, {path: c.KeyFile, parse: parseKeys}} {
		if f.path == "" {
			continue
		}
		f.log = c.Log
		if err := f.open(); err != nil {
			return nil, fmt.Errorf("read the keys for tokens: %w", err)
		}
		t.files = append(t.files, f)
	}
	if c.JWKS != "" {
		var err error
		if t.remote, err = newKeySet(c.JWKS, c.Log); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// LongSecret is how many bytes a secret should have, so that it cannot be
// guessed.
// https://www.rfc-editor.org/rfc/rfc7518#section-3.2
const LongSecret = sha256.Size

// hmacKeys returns the keys of secrets. It warns of those that can be guessed.
func (c TokenConfig) hmacKeys(secrets []string) (list []key) {
	for _, secret := range secrets {
		if len(secret) < LongSecret && c.Log != nil {
			c.Log.Warn("a token secret is short: whoever has a token can try to guess it, and make tokens", "bytes", len(secret), "should", LongSecret)
		}
		list = append(list, key{algorithm: jose.HS256, material: hmacKey(secret)})
	}
	return list
}

// Close ends what fetches keys.
func (t *Tokens) Close() {
	if t.remote != nil {
		t.remote.close()
	}
}

// claims are those that crier knows.
// https://www.rfc-editor.org/rfc/rfc7519#section-4.1
type claims struct {
	jwt.Claims
	Topics *[]string `json:"topics,omitempty"` // patterns; without: all
	Can    *[]string `json:"can,omitempty"`    // hear, say; without: both
}

// Check returns what a token grants. An error other than ErrNoKeys says why the
// token is not valid.
func (t *Tokens) Check(ctx context.Context, token string, now time.Time) (*Grant, error) {
	signed, err := parseToken(token)
	if err != nil {
		return nil, err
	}
	header := signed.Headers[0]
	keys, err := t.keys(ctx, header.KeyID)
	if err != nil {
		return nil, err
	}
	c, err := verified(signed, header, keys)
	if err != nil {
		return nil, err
	}
	if err := t.validate(c, now); err != nil {
		return nil, err
	}
	return c.grant(now), nil
}

// algorithms are those that a token may be signed with. Which of them fits is
// decided by the key and never by the token: so no public key is taken for a
// secret, and "none" is no algorithm.
// https://www.rfc-editor.org/rfc/rfc8725#section-3.1
var algorithms = []jose.SignatureAlgorithm{jose.HS256, jose.RS256, jose.ES256, jose.EdDSA}

func parseToken(token string) (*jwt.JSONWebToken, error) {
	if len(token) > maxToken {
		return nil, ErrTooLong
	}
	signed, err := jwt.ParseSigned(token, algorithms)
	var other *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &other):
		return nil, ErrAlgorithm
	case err != nil || len(signed.Headers) != 1:
		return nil, ErrNoToken
	}
	return signed, nil
}

// keys returns those that a token with this key id may be signed with.
func (t *Tokens) keys(ctx context.Context, id string) ([]key, error) {
	all := t.secrets
	for _, f := range t.files {
		all = slices.Concat(all, f.get())
	}
	if t.remote != nil && !slices.ContainsFunc(all, func(k key) bool { return id != "" && k.id == id }) {
		more, err := t.remote.keys(ctx, id)
		if err != nil && len(all) == 0 {
			return nil, err
		}
		all = slices.Concat(all, more)
	}
	return all, nil
}

// verified returns the claims of a token if one of the keys has signed it. A key
// with an id is for tokens with that id, or with none.
func verified(signed *jwt.JSONWebToken, header jose.Header, keys []key) (*claims, error) {
	fits := false
	for _, k := range keys {
		if string(k.algorithm) != header.Algorithm {
			continue
		}
		fits = true
		if k.id != "" && header.KeyID != "" && k.id != header.KeyID {
			continue
		}
		if signed.Claims(k.material) != nil {
			continue
		}
		var c claims
		if signed.UnsafeClaimsWithoutVerification(&c) != nil { // it was verified just now
			return nil, ErrClaims
		}
		return &c, nil
	}
	if !fits {
		return nil, ErrAlgorithm
	}
	return nil, ErrSignature
}

// validate checks what a token says about itself. Clocks of others may differ a
// little.
func (t *Tokens) validate(c *claims, now time.Time) error {
	switch {
	case c.Expiry != nil && !now.Before(c.Expiry.Time().Add(leeway)):
		return ErrExpired
	case c.NotBefore != nil && now.Add(leeway).Before(c.NotBefore.Time()):
		return ErrNotYet
	case t.config.Audience != "" && !c.Audience.Contains(t.config.Audience):
		return ErrAudience
	case t.config.Issuer != "" && c.Issuer != t.config.Issuer:
		return ErrIssuer
	case c.Topics != nil && len(*c.Topics) > maxPatterns:
		return ErrClaims
	}
	return nil
}

// grant returns what the claims allow.
func (c *claims) grant(now time.Time) *Grant {
	g := &Grant{User: c.Subject, Hear: true, Say: true}
	if c.Topics != nil {
		g.Topics = append([]string{}, *c.Topics...) // not nil, which would be all
	}
	if c.Can != nil {
		g.Hear, g.Say = slices.Contains(*c.Can, "hear"), slices.Contains(*c.Can, "say")
	}
	if c.Expiry != nil {
		g.Expires = c.Expiry.Time()
		if !now.Before(g.Expires) {
			g.Expires = g.Expires.Add(leeway) // of a clock that is behind this one
		}
	}
	return g
}
