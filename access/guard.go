package access

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"
)

// A Guard decides about credentials. The zero Guard lets everybody in, and nobody
// manage.
type Guard struct {
	Keys        *Secrets // clients connect, hear and say everything
	PublishKeys *Secrets // say everything, over HTTP only
	AdminKeys   *Secrets // do all that, and manage
	Tokens      *Tokens  // of clients; nil: there are none
	Service     *Service // is asked about clients without a key or a token; nil: nobody is
	Guests      bool     // clients without a key or a token may hear everything, and say nothing; there is no Service then
}

// Closed reports whether clients need a credential for all that they may do.
func (g *Guard) Closed() bool {
	return !g.Keys.None() || g.Tokens != nil || g.Service != nil || g.Guests
}

// DecidesWithout reports whether there is something to decide about clients that
// show no credential.
func (g *Guard) DecidesWithout() bool { return g.Service != nil || g.Guests }

// Close ends what fetches keys.
func (g *Guard) Close() {
	if g.Tokens != nil {
		g.Tokens.Close()
	}
}

// None reports whether no credential is good for anything.
func (g *Guard) None() bool { return !g.Closed() && g.PublishKeys.None() && g.AdminKeys.None() }

// A Pass is what a credential is good for.
type Pass struct {
	Connect bool   // open a connection, and listen
	Manage  bool   // use the management API
	Grant   *Grant // what may be heard and said; nil: everything
}

// Why a client may not come in, besides what [Tokens.Check] and [Service.Ask] say.
var (
	ErrWrongKey     = errors.New("this is no key of the server")
	ErrNoCredential = errors.New("there is neither a key nor a token")
)

// Admit returns what the sender of a request may do with an app. A key or a token
// says so; without one that is known, the service does. The service is asked about
// the topics of the request's query, and about these, if they are not empty.
func (g *Guard) Admit(r *http.Request, app string, topics ...string) (Pass, error) {
	err := ErrNoCredential
	if credential, _ := Credential(r); credential != "" {
		var pass Pass
		if pass, err = g.Check(r.Context(), credential); err == nil {
			return pass, nil
		}
	}
	if g.Guests && errors.Is(err, ErrNoCredential) {
		return Pass{Connect: true, Grant: guest}, nil
	}
	if g.Service == nil || !errors.Is(err, ErrNoCredential) && !errors.Is(err, ErrWrongKey) {
		return Pass{}, err
	}
	grant, err := g.Service.Ask(r.Context(), NewQuestion(r, app, topics...))
	if err != nil {
		return Pass{}, err
	}
	return Pass{Connect: true, Grant: grant}, nil
}

// Check returns what a credential is good for. The error is ErrWrongKey, or one of
// [Tokens.Check].
func (g *Guard) Check(ctx context.Context, credential string) (Pass, error) {
	switch {
	case g.AdminKeys.Have(credential):
		return Pass{Connect: true, Manage: true}, nil
	case g.Keys.Have(credential):
		return Pass{Connect: true}, nil
	case g.PublishKeys.Have(credential):
		return Pass{Grant: &Grant{Say: true}}, nil
	case g.Tokens == nil || !strings.Contains(credential, "."):
		return Pass{}, ErrWrongKey
	}
	grant, err := g.Tokens.Check(ctx, credential, time.Now())
	if err != nil {
		return Pass{}, err
	}
	return Pass{Connect: true, Grant: grant}, nil
}

// tokenProtocol begins the name of a subprotocol that is a credential, in
// base64url: browsers can send no other header with a handshake.
const tokenProtocol = "crier.token."

// Credential returns the credential of a request: of the header Authorization, of
// ?token=, or of a subprotocol, in this order. shown is false if there is none. It
// is true for an empty one in the header: whoever sends that wants to show one.
func Credential(r *http.Request) (credential string, shown bool) {
	if scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key), true
	}
	if token := r.URL.Query().Get("token"); token != "" {
		return token, true
	}
	for name := range protocols(r) {
		if text, ok := strings.CutPrefix(name, tokenProtocol); ok {
			// It may be padded: a subprotocol is a token of HTTP, which has no =,
			// but not everybody knows.
			raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
			if err == nil {
				return string(raw), true
			}
		}
	}
	return "", false
}

// OwnProtocol is the subprotocol that crier.js offers.
const OwnProtocol = "crier"

// Protocol returns the subprotocol to choose of those that a handshake offers:
// OwnProtocol, or else the one that is a credential, because a browser that offers some
// closes the connection if none is chosen. It is empty if neither is offered.
func Protocol(r *http.Request) string {
	chosen := ""
	for name := range protocols(r) {
		if name == OwnProtocol {
			return name
		}
		if chosen == "" && strings.HasPrefix(name, tokenProtocol) {
			chosen = name
		}
	}
	return chosen
}

// protocols yields the subprotocols that a handshake offers.
func protocols(r *http.Request) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range r.Header["Sec-Websocket-Protocol"] {
			for name := range strings.SplitSeq(line, ",") {
				if name = strings.TrimSpace(name); name != "" && !yield(name) {
					return
				}
			}
		}
	}
}
