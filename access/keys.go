package access

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// A key checks tokens, or signs them.
type key struct {
	id        string // may be empty
	algorithm jose.SignatureAlgorithm
	material  any
}

const (
	maxKeys  = 100
	leastRSA = 2048 // bits: https://www.rfc-editor.org/rfc/rfc7518#section-3.3
)

// parseKeys returns the keys of a PEM file, a JWK or a JWK Set. Of private keys,
// it returns the public half.
func parseKeys(text []byte) ([]key, error) {
	keys, err := parsePrivate(text)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		if signer, ok := k.material.(crypto.Signer); ok {
			keys[i].material = signer.Public()
		}
	}
	return keys, nil
}

// parsePrivate returns the keys of a file as they are.
func parsePrivate(text []byte) ([]key, error) {
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("{")) {
		return parseJWKs(text)
	}
	var keys []key
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		material, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", block.Type, err)
		}
		if material == nil { // such as EC PARAMETERS
			continue
		}
		algorithm, err := algorithmOf(material)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", block.Type, err)
		}
		keys = append(keys, key{algorithm: algorithm, material: material})
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it: PEM and JSON Web Keys are understood")
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "EC PARAMETERS":
		return nil, nil
	}
	return nil, errors.New("this is no key for tokens")
}

// algorithmOf returns the only algorithm that a key is used with.
func algorithmOf(material any) (jose.SignatureAlgorithm, error) {
	if signer, ok := material.(crypto.Signer); ok {
		material = signer.Public()
	}
	switch k := material.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < leastRSA {
			return "", fmt.Errorf("an RSA key of %d bits is too short: at least %d are needed", k.N.BitLen(), leastRSA)
		}
		return jose.RS256, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", fmt.Errorf("the curve %s is not used: ES256 needs P-256", k.Curve.Params().Name)
		}
		return jose.ES256, nil
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	}
	return "", fmt.Errorf("a %T is no key for tokens: RSA, P-256 and Ed25519 are", material)
}

// parseJWKs returns the keys of a JWK or a JWK Set that are for signatures.
// Others are left out, as the specification wants it.
// https://www.rfc-editor.org/rfc/rfc7517#section-5
func parseJWKs(text []byte) ([]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("read JSON Web Keys: %w", err)
	}
	if set.Keys == nil {
		set.Keys = []json.RawMessage{text}
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("there are %d keys; at most %d are read", len(set.Keys), maxKeys)
	}
	var keys []key
	reason := errors.New("the set is empty")
	for _, text := range set.Keys {
		var web jose.JSONWebKey
		if err := web.UnmarshalJSON(text); err != nil {
			reason = err
			continue
		}
		algorithm, err := algorithmOf(web.Key)
		switch {
		case err != nil:
			reason = err
		case web.Use != "" && web.Use != "sig":
			reason = fmt.Errorf("its use is %q", web.Use)
		case web.Algorithm != "" && web.Algorithm != string(algorithm):
			reason = fmt.Errorf("its algorithm is %q; %s is used with such a key", web.Algorithm, algorithm)
		default:
			keys = append(keys, key{id: web.KeyID, algorithm: algorithm, material: web.Key})
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no JSON Web Key is for signatures: %w", reason)
	}
	return keys, nil
}
