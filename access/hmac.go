package access

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/go-jose/go-jose/v4"
)

// A hmacKey is a secret for HS256. The library takes none of less than 32 bytes,
// as RFC 7518 wants it, section 3.2; but many services have such secrets, and
// their tokens could not be checked.
type hmacKey []byte

// Public implements jose.OpaqueSigner: nothing of it is public.
func (k hmacKey) Public() *jose.JSONWebKey { return nil }

// Algs implements jose.OpaqueSigner.
func (k hmacKey) Algs() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.HS256} }

// SignPayload implements jose.OpaqueSigner.
func (k hmacKey) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	m := hmac.New(sha256.New, k)
	m.Write(payload)
	return m.Sum(nil), nil
}

// VerifyPayload implements jose.OpaqueVerifier.
func (k hmacKey) VerifyPayload(payload, signature []byte, alg jose.SignatureAlgorithm) error {
	want, err := k.SignPayload(payload, alg)
	if err != nil || alg != jose.HS256 || !hmac.Equal(signature, want) {
		return jose.ErrCryptoFailure
	}
	return nil
}
