package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A Keeper has certificates signed by Let's Encrypt, and renews them in time.
type Keeper struct{ magic *certmagic.Config }

// NewKeeper returns a Keeper for the server that listens to listen, HOST:PORT. It keeps certificates in dir, and works until ctx
// is done.
func NewKeeper(ctx context.Context, listen, dir string, log *slog.Logger) *Keeper {
	return newKeeper(ctx, listen, dir, log, certmagic.ACMEIssuer{CA: certmagic.LetsEncryptProductionCA})
}

// newKeeper returns a Keeper for the certificate authority that authority describes.
func newKeeper(ctx context.Context, listen, dir string, log *slog.Logger, authority certmagic.ACMEIssuer) *Keeper {
	k := &Keeper{}
	logger := zap.New(&errorsTo{ctx, log, nil})
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return k.magic, nil },
		Logger:           logger,
	})
	context.AfterFunc(ctx, cache.Stop)
	k.magic = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: filepath.Join(dir, "certificates")},
		Logger:  logger,
		OnEvent: func(_ context.Context, event string, data map[string]any) error {
			tell(log, event, data)
			return nil
		},
	})
	authority.Agreed = true
	authority.DisableHTTPChallenge = true // there is one port
	authority.Logger = logger
	// Who listens there gives the proof. Otherwise certmagic would listen to port 443 itself, which may be forwarded to us.
	if host, port, err := net.SplitHostPort(listen); err == nil {
		authority.ListenHost = host
		authority.AltTLSALPNPort, _ = net.LookupPort("tcp", port)
	}
	k.magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(k.magic, authority)}
	return k
}

// TLS returns how to listen: with the certificates that there are, and with the proof that the authority asks for.
func (k *Keeper) TLS() *tls.Config {
	config := k.magic.TLSConfig()
	config.NextProtos = append([]string{"http/1.1"}, config.NextProtos...)
	return config
}

// Keep begins to keep certificates for domains, whose port 443 must lead to the server: there the authority asks for proof. So
// it is to be called when the server listens. An error is about a domain or the directory; what goes wrong later is logged, and
// tried again.
// https://letsencrypt.org/docs/challenge-types/#tls-alpn-01
func (k *Keeper) Keep(ctx context.Context, domains []string) error {
	for _, domain := range domains {
		if !certmagic.SubjectQualifiesForPublicCert(domain) || strings.ContainsAny(domain, "*:/") || net.ParseIP(domain) != nil {
			return fmt.Errorf("get a certificate for %q: Let's Encrypt signs public names, such as game.example.com", domain)
		}
	}
	const trial = "writable"
	if err := cmp.Or(k.magic.Storage.Store(ctx, trial, nil), k.magic.Storage.Delete(ctx, trial)); err != nil {
		return fmt.Errorf("keep certificates: %w", err)
	}
	return k.magic.ManageAsync(ctx, domains)
}

// tell logs what a person should know of the certificates.
func tell(log *slog.Logger, event string, data map[string]any) {
	switch {
	case event == "cached_managed_cert":
		log.Info("has a certificate", "domain", data["sans"])
	case event == "cert_obtained" && data["renewal"] == true:
		log.Info("renewed a certificate", "domain", data["identifier"])
	}
}

// errorsTo is where certmagic logs its errors: several times each, where it happens and where it ends. The latter are logged on,
// until ctx is done. It implements [zapcore.Core].
type errorsTo struct {
	ctx    context.Context
	log    *slog.Logger
	fields []zapcore.Field
}

var ends = map[string]string{
	"will retry":                        "got no certificate, and will try again",
	"job failed":                        "got no certificate",
	"initiating certificate management": "cannot read a certificate",
}

func (e *errorsTo) Enabled(level zapcore.Level) bool {
	return level >= zapcore.ErrorLevel && e.ctx.Err() == nil
}

func (e *errorsTo) With(fields []zapcore.Field) zapcore.Core {
	return &errorsTo{e.ctx, e.log, append(slices.Clip(e.fields), fields...)}
}

func (e *errorsTo) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Enabled(entry.Level) && ends[entry.Message] != "" {
		return checked.AddCore(entry, e)
	}
	return checked
}

func (e *errorsTo) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	found := zapcore.NewMapObjectEncoder()
	for _, field := range append(slices.Clip(e.fields), fields...) {
		field.AddTo(found)
	}
	details := []any{"error", found.Fields["error"]}
	if wait, ok := found.Fields["retrying_in"]; ok {
		details = append(details, "in", wait)
	}
	e.log.Error(ends[entry.Message], details...)
	return nil
}

func (e *errorsTo) Sync() error { return nil }
