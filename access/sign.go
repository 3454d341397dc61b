package access

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A Signer makes tokens.
type Signer struct {
	key key
}

// SecretSigner signs with HS256.
func SecretSigner(secret string) Signer {
	return Signer{key{algorithm: jose.HS256, material: hmacKey(secret)}}
}

// KeySigner signs with the first private key of a PEM file, a JWK or a JWK Set.
func KeySigner(text []byte) (Signer, error) {
	keys, err := parsePrivate(text)
	if err != nil {
		return Signer{}, err
	}
	for _, k := range keys {
		if _, ok := k.material.(crypto.Signer); ok {
			return Signer{k}, nil
		}
	}
	return Signer{}, errors.New("there are only public keys: tokens are signed with a private one")
}

// Wish is what a token should say.
type Wish struct {
	User     string    // empty: nobody in particular
	Topics   []string  // patterns; nil: all topics
	Can      []string  // hear, say; nil: both
	Expires  time.Time // the zero time: never
	Audience string    // empty: anybody
	Issuer   string    // empty: nobody says
}

// Sign returns a token.
func (s Signer) Sign(w Wish, now time.Time) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if s.key.id != "" {
		options.WithHeader("kid", s.key.id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.key.algorithm, Key: s.key.material}, options)
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	c := claims{Claims: jwt.Claims{Subject: w.User, Issuer: w.Issuer, IssuedAt: jwt.NewNumericDate(now)}}
	if w.Audience != "" {
		c.Audience = jwt.Audience{w.Audience}
	}
	if !w.Expires.IsZero() {
		c.Expiry = jwt.NewNumericDate(w.Expires)
	}
	if w.Topics != nil {
		c.Topics = &w.Topics
	}
	if w.Can != nil {
		c.Can = &w.Can
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	return token, nil
}

// TakeApart returns the header and the claims of a token, as JSON that people can
// read. It checks nothing else.
func TakeApart(token string) (header, body []byte, err error) {
	if len(token) > maxToken {
		return nil, nil, ErrTooLong
	}
	signed, err := jose.ParseSignedCompact(token, slices.Concat(algorithms, others))
	if err != nil || len(signed.Signatures) != 1 {
		return nil, nil, ErrNoToken
	}
	body, err = indented(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, nil, ErrClaims
	}
	protected := signed.Signatures[0].Protected
	names := map[string]any{"alg": protected.Algorithm}
	if protected.KeyID != "" {
		names["kid"] = protected.KeyID
	}
	for name, value := range protected.ExtraHeaders {
		names[string(name)] = value
	}
	if header, err = json.MarshalIndent(names, "", "  "); err != nil {
		return nil, nil, ErrClaims
	}
	return header, body, nil
}

// indented returns an object as people can read it, with all that it has, also what
// is there twice.
func indented(text []byte) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err := json.Indent(&b, bytes.TrimSpace(text), "", "  ")
	return b.Bytes(), err
}

// others are algorithms of tokens that can be taken apart, though none is valid.
var others = []jose.SignatureAlgorithm{
	"none", jose.HS384, jose.HS512, jose.RS384, jose.RS512, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512,
}
