package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"crier/access"
	"crier/app"
	"crier/door"
	"crier/trust"
)

// Access says who may connect to a stack, as crier deploy has it from the
// command line. The zero value lets everybody connect, except pages of other
// machines.
type Access struct {
	Keys         []string // equally good
	TokenSecrets []string // HS256
	TokenKeys    string   // PEM or JWK, public: RS256, ES256, EdDSA
	JWKS         string   // the address of a JSON Web Key Set
	Audience     string
	Issuer       string
	AllowOrigins []string // pages of these may connect, and those of this machine
}

// The variables of the function in which it finds its Access.
const (
	varKeys     = "CRIER_KEY_HASHES"
	varSecrets  = "CRIER_TOKEN_SECRETS"
	varKey      = "CRIER_TOKEN_KEYS"
	varJWKS     = "CRIER_TOKEN_JWKS"
	varAudience = "CRIER_TOKEN_AUDIENCE"
	varIssuer   = "CRIER_TOKEN_ISSUER"
	varOrigins  = "CRIER_ALLOW_ORIGIN"
)

// Variables are the names of the variables, without CRIER_, that Run reads.
var Variables = []string{
	"APP", "TABLE", "ENDPOINT", "DELIVERIES", "COALESCE", "KEY_HASHES", "TOKEN_SECRETS", "TOKEN_KEYS", "TOKEN_JWKS", "TOKEN_AUDIENCE", "TOKEN_ISSUER", "ALLOW_ORIGIN",
}

// maxAccess is what it all may have in bytes: "Lambda quotas: environment
// variables: 4 KB, for all environment variables associated with the function,
// in aggregate". The rest is for the others.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxAccess = 3 << 10

// Parameters returns the access as parameters of the stack's template. Of keys
// it has the hashes only, because that is all that the function needs. A secret
// for tokens must be there as it is.
func (a Access) Parameters() (map[string]string, error) {
	var hashes []string
	for _, key := range a.Keys {
		hashes = append(hashes, keyHash(key))
	}
	parameters := map[string]string{
		"KeyHashes":     strings.Join(hashes, ","),
		"TokenSecrets":  strings.Join(a.TokenSecrets, "\n"),
		"TokenKeys":     a.TokenKeys,
		"TokenJwks":     a.JWKS,
		"TokenAudience": a.Audience,
		"TokenIssuer":   a.Issuer,
		"AllowOrigins":  strings.Join(a.AllowOrigins, ","),
	}
	size := 0
	for _, value := range parameters {
		size += len(value)
	}
	if size > maxAccess {
		return nil, fmt.Errorf("keys, secrets and origins have %d bytes together, and a Lambda function has room for %d; many keys for tokens can be at an address: --token-jwks", size, maxAccess)
	}
	return parameters, nil
}

// keyHash returns what the function knows of a key.
func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// A gate decides who may connect. It is package access's guard, and package
// trust's rule for pages, with what the function's variables say.
type gate struct {
	keys  *access.Secrets // hashes of the keys
	guard access.Guard    // for tokens
	pages trust.Pages
}

// openGate reads the variables.
func openGate(log *slog.Logger) (g gate, err error) {
	list := func(variable, separator string) (values []string) {
		for value := range strings.SplitSeq(os.Getenv(variable), separator) {
			if value = strings.TrimSpace(value); value != "" {
				values = append(values, value)
			}
		}
		return values
	}
	if hashes := list(varKeys, ","); len(hashes) > 0 {
		if g.keys, err = access.NewSecrets(hashes, "", log); err != nil {
			return gate{}, fmt.Errorf("%s: %w", varKeys, err)
		}
	}
	origins := list(varOrigins, ",")
	for _, origin := range origins {
		if err := trust.CheckOrigin(origin); err != nil {
			return gate{}, fmt.Errorf("%s: %w", varOrigins, err)
		}
	}
	g.pages = trust.NewPages(nil, origins)
	tokens := access.TokenConfig{
		Secrets:  list(varSecrets, "\n"),
		JWKS:     os.Getenv(varJWKS),
		Audience: os.Getenv(varAudience),
		Issuer:   os.Getenv(varIssuer),
		Log:      log,
	}
	if text := os.Getenv(varKey); text != "" {
		if tokens.KeyFile, err = keyFile(text); err != nil {
			return gate{}, err
		}
	}
	if !tokens.None() {
		g.guard.Tokens, err = access.NewTokens(tokens)
	}
	return g, err
}

// keyFile writes keys to a file, which is where package access reads them.
func keyFile(text string) (path string, err error) {
	f, err := os.CreateTemp("", "crier-token-keys-*")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	return f.Name(), errors.Join(err, f.Close())
}

// closed reports whether clients need a credential.
func (g *gate) closed() bool { return g.guard.Closed() || !g.keys.None() }

// admit returns what the sender of a handshake may do, or why it may not connect.
func (g *gate) admit(r *http.Request, app string) (*access.Grant, *door.Refusal) {
	if !g.pages.AtHome(r, true) {
		no := door.ForeignOrigin.Saying("pages of this origin may not connect; crier deploy --allow-origin permits it")
		return nil, &no
	}
	if !g.closed() {
		return nil, nil
	}
	if credential, _ := access.Credential(r); credential != "" && g.keys.Have(keyHash(credential)) {
		return nil, nil
	}
	pass, err := g.guard.Admit(r, app)
	return pass.Grant, door.RefusalOf(err)
}

// request returns the handshake that an event of $connect tells of.
func (ev *event) request(ctx context.Context) *http.Request {
	header := make(http.Header)
	for name, values := range ev.Headers {
		for _, value := range values {
			header.Add(name, value)
		}
	}
	r := &http.Request{
		Method: http.MethodGet,
		Host:   ev.Context.DomainName,
		URL:    &url.URL{Path: "/" + ev.Context.Stage, RawQuery: url.Values(ev.Query).Encode()},
		Header: header,
	}
	return r.WithContext(ctx)
}

// identify returns who the sender of a handshake is. A client whose grant has a
// name has that one.
func identify(a app.App, r *http.Request, query url.Values, may *access.Grant) (app.Identity, *door.Refusal) {
	if err := may.Claim(query); err != nil {
		return app.Identity{}, door.RefusalOf(err)
	}
	identity, wrong := app.IdentifierOf(a).Identify(query, r.Header)
	if wrong != "" {
		no := door.Rejected.Saying(wrong)
		return app.Identity{}, &no
	}
	if name := may.Name(); name != "" {
		identity.User = name
	}
	return identity, nil
}
