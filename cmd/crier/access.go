package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"crier/access"
)

// A keyring is how the command line gives a server keys that are equally good.
type keyring struct {
	name  string // such as "admin key"
	given []string
	file  string
	set   *pflag.FlagSet // that it is given with
}

func (k *keyring) flag() string { return strings.ReplaceAll(k.name, " ", "-") }

// flags adds the flags. Everybody on a machine can read the command lines of its
// programs: so there is a file.
func (k *keyring) flags(f *pflag.FlagSet, what string) {
	k.set = f
	f.StringVar(&k.file, k.flag()+"-file", "", what+": any line of `FILE`, which is read again when it changes")
	f.StringArrayVar(&k.given, k.flag(), nil, "the same, as `KEY` (repeatable); everybody on this machine can read it")
}

// open returns the keys; nil if none were given.
func (k *keyring) open(log *slog.Logger) (*access.Secrets, error) {
	switch {
	case k.set.Changed(k.flag()+"-file") && k.file == "":
		return nil, fmt.Errorf("--%s-file: the name of the file is empty", k.flag())
	case len(k.given) == 0 && k.file == "":
		return nil, nil
	case len(k.given) > 0 && k.file != "":
		return nil, fmt.Errorf("--%s-file and --%[1]s: there can be one of the two", k.flag())
	}
	for i := range k.given {
		if k.given[i] = strings.TrimSpace(k.given[i]); k.given[i] == "" {
			return nil, fmt.Errorf("--%s: the key is empty; without the flag, there is none", k.flag())
		}
	}
	secrets, err := access.NewSecrets(k.given, k.file, log)
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", k.name, err)
	}
	return secrets, nil
}

// rights are how the command line says who may do what.
type rights struct {
	key, publishKey, adminKey keyring
	tokens                    access.TokenConfig
	service                   access.ServiceConfig
	down                      downPolicy
	guests                    bool
}

func newRights() rights {
	return rights{key: keyring{name: "key"}, publishKey: keyring{name: "publish key"}, adminKey: keyring{name: "admin key"}}
}

func (r *rights) flags(f *pflag.FlagSet) {
	r.key.flags(f, "clients need this key: as ?token=KEY, Authorization: Bearer KEY, or a subprotocol")
	r.publishKey.flags(f, "whoever has this key may publish over HTTP, and nothing else")
	r.adminKey.flags(f, "the management API requires this key (Authorization: Bearer KEY)")
	f.StringVar(&r.tokens.SecretFile, "token-secret-file", "", "clients need a token (JWT) that is signed with a secret: any line of `FILE`")
	f.StringArrayVar(&r.tokens.Secrets, "token-secret", nil, "the same, as `SECRET` (repeatable); everybody on this machine can read it")
	f.StringVar(&r.tokens.KeyFile, "token-key", "", "clients need a token that is signed with the private half of a key in `FILE`, PEM or JWK")
	f.StringVar(&r.tokens.JWKS, "token-jwks", "", "the same, with the keys at `URL`, a JSON Web Key Set")
	f.StringVar(&r.tokens.Audience, "token-audience", "", "tokens must be for `NAME`: their aud")
	f.StringVar(&r.tokens.Issuer, "token-issuer", "", "tokens must be from `NAME`: their iss")
	f.BoolVar(&r.guests, "guests", false, "clients without a key or a token may connect and receive everything, under no name; they may not publish")
	f.StringVar(&r.service.URL, "authorize", "", "ask your own service at `URL` about each client without a key or a token")
	f.Var(&r.down, "authorize-down", "`refuse|allow` clients while that service does not answer")
}

// A downPolicy is refuse or allow. It implements pflag.Value.
type downPolicy string

func (p *downPolicy) String() string { return cmp.Or(string(*p), "refuse") }

func (p *downPolicy) Type() string { return "POLICY" }

func (p *downPolicy) Set(value string) error {
	if value != "refuse" && value != "allow" {
		return errors.New("must be refuse or allow")
	}
	*p = downPolicy(value)
	return nil
}

// open returns the guard. Its Close must be called.
func (r *rights) open(log *slog.Logger) (*access.Guard, error) {
	var g access.Guard
	for _, k := range []struct {
		keys *keyring
		to   **access.Secrets
	}{{&r.key, &g.Keys}, {&r.publishKey, &g.PublishKeys}, {&r.adminKey, &g.AdminKeys}} {
		var err error
		if *k.to, err = k.keys.open(log); err != nil {
			return nil, err
		}
	}
	if r.service.URL != "" {
		r.service.Allow, r.service.Log = r.down == "allow", log
		var err error
		if g.Service, err = access.NewService(r.service); err != nil {
			return nil, fmt.Errorf("--authorize: %w", err)
		}
	} else if r.down != "" {
		return nil, errors.New("--authorize-down needs --authorize")
	}
	if r.guests {
		switch {
		case g.Service != nil:
			return nil, errors.New("--guests and --authorize: one of them decides about clients without a key or a token")
		case g.None() && r.tokens.None():
			return nil, errors.New("--guests needs --key, --publish-key, --admin-key or tokens: without them, everybody may do everything")
		}
		g.Guests = true
	}
	if g.AdminKeys.Overlap(g.Keys) || g.AdminKeys.Overlap(g.PublishKeys) {
		log.Warn("an admin key is also a key of clients, so they may manage the server")
	}
	if !g.PublishKeys.None() && !g.Closed() && r.tokens.None() {
		log.Warn("clients need no key to connect, and then they may publish, too; with --guests they only receive")
	}
	if r.tokens.None() {
		if r.tokens.Audience != "" || r.tokens.Issuer != "" {
			return nil, errors.New("--token-audience and --token-issuer need --token-secret, --token-key or --token-jwks")
		}
		return &g, nil
	}
	r.tokens.Log = log
	var err error
	if g.Tokens, err = access.NewTokens(r.tokens); err != nil {
		return nil, err
	}
	return &g, nil
}
