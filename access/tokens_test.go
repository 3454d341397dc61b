package access

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	now      = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	quiet    = slog.New(slog.DiscardHandler)
	b64      = base64.RawURLEncoding
	rsaKey   = must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey    = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ecOther  = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	_, edKey = must2(ed25519.GenerateKey(rand.Reader))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func must2[T, U any](v T, w U, err error) (T, U) { return must(v, err), w }

// signed makes a token by hand, so that it can say anything.
func signed(header, body string, sign func(text []byte) []byte) string {
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(body))
	return text + "." + b64.EncodeToString(sign([]byte(text)))
}

func hs256(secret string) func([]byte) []byte {
	return func(text []byte) []byte {
		m := hmac.New(sha256.New, []byte(secret))
		m.Write(text)
		return m.Sum(nil)
	}
}

func rs256(text []byte) []byte {
	sum := sha256.Sum256(text)
	return must(rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, sum[:]))
}

func es256(text []byte) []byte {
	sum := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, ecKey, sum[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature
}

func eddsa(text []byte) []byte { return ed25519.Sign(edKey, text) }

func noSignature([]byte) []byte { return nil }

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func publicPEM(k crypto.PublicKey) []byte {
	return pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(k)))
}

// keyFile writes a file of keys.
func keyFile(t *testing.T, texts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	var all []byte
	for _, text := range texts {
		all = append(all, text...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newTokens(t *testing.T, c TokenConfig) *Tokens {
	t.Helper()
	c.Log = quiet
	tokens, err := NewTokens(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tokens.Close)
	return tokens
}

const (
	secret = "a secret of at least thirty-two bytes"
	hs     = `{"alg":"HS256","typ":"JWT"}`
	rs     = `{"alg":"RS256","typ":"JWT"}`
	es     = `{"alg":"ES256","typ":"JWT"}`
	ed     = `{"alg":"EdDSA","typ":"JWT"}`
	none   = `{"alg":"none","typ":"JWT"}`
	ada    = `{"sub":"ada"}`
)

// TestAlgorithms: each kind of key takes the tokens that it has signed, and no others.
func TestAlgorithms(t *testing.T) {
	file := keyFile(t, publicPEM(rsaKey.Public()), publicPEM(ecKey.Public()), publicPEM(edKey.Public()))
	checkers := map[string]*Tokens{
		"secret": newTokens(t, TokenConfig{Secrets: []string{"another", secret}}),
		"file":   newTokens(t, TokenConfig{KeyFile: file}),
		"both":   newTokens(t, TokenConfig{Secrets: []string{secret}, KeyFile: file}),
	}
	for _, c := range []struct {
		name, token string
		of          []string
	}{
		{"HS256", signed(hs, ada, hs256(secret)), []string{"secret", "both"}},
		{"RS256", signed(rs, ada, rs256), []string{"file", "both"}},
		{"ES256", signed(es, ada, es256), []string{"file", "both"}},
		{"EdDSA", signed(ed, ada, eddsa), []string{"file", "both"}},
	} {
		for name, tokens := range checkers {
			g, err := tokens.Check(context.Background(), c.token, now)
			takes := strings.Contains(strings.Join(c.of, " "), name)
			switch {
			case takes && (err != nil || g.User != "ada" || !g.Hear || !g.Say || g.Topics != nil || !g.Expires.IsZero()):
				t.Errorf("%s: %s is %+v, %v", name, c.name, g, err)
			case !takes && !errors.Is(err, ErrAlgorithm):
				t.Errorf("%s: %s is %+v, %v", name, c.name, g, err)
			}
		}
	}
}

// TestAttacks: what everybody knows that can be wrong with a JWT.
func TestAttacks(t *testing.T) {
	public := publicPEM(rsaKey.Public())
	tokens := newTokens(t, TokenConfig{
		Secrets: []string{secret}, KeyFile: keyFile(t, public, publicPEM(ecKey.Public()), publicPEM(edKey.Public())),
		Audience: "crier", Issuer: "https://issuer.test",
	})
	good := `"aud":"crier","iss":"https://issuer.test","sub":"ada"`
	ok := func(more string) string { return "{" + good + more + "}" }
	jwk := `{"kty":"oct","k":"` + b64.EncodeToString([]byte("mine")) + `"}`
	valid := signed(hs, ok(""), hs256(secret))
	parts := strings.Split(valid, ".")
	for _, c := range []struct {
		name, token string
		want        error
	}{
		{"valid", valid, nil},
		{"none", signed(none, ok(""), noSignature), ErrAlgorithm},
		{"None", signed(`{"alg":"None"}`, ok(""), noSignature), ErrAlgorithm},
		{"no algorithm", signed(`{"typ":"JWT"}`, ok(""), hs256(secret)), ErrAlgorithm},
		{"none, with a good signature", signed(none, ok(""), hs256(secret)), ErrAlgorithm},
		{"no signature", parts[0] + "." + parts[1] + ".", ErrSignature},
		{"two parts", parts[0] + "." + parts[1], ErrNoToken},
		{"four parts", valid + ".", ErrNoToken},
		{"the public key as a secret", signed(hs, ok(""), hs256(string(public))), ErrSignature},
		{"the public key without its last line break", signed(hs, ok(""), hs256(strings.TrimSpace(string(public)))), ErrSignature},
		{"RS256 signed with the secret", signed(rs, ok(""), hs256(secret)), ErrSignature},
		{"HS256 said of RS256", signed(hs, ok(""), rs256), ErrSignature},
		{"RS256 said of ES256", signed(rs, ok(""), es256), ErrSignature},
		{"HS384", signed(`{"alg":"HS384"}`, ok(""), hs256(secret)), ErrAlgorithm},
		{"PS256", signed(`{"alg":"PS256"}`, ok(""), rs256), ErrAlgorithm},
		{"ES256 of zeros", signed(es, ok(""), func([]byte) []byte { return make([]byte, 64) }), ErrSignature}, // CVE-2022-21449
		{"a key in the header", signed(`{"alg":"HS256","jwk":`+jwk+`}`, ok(""), hs256("mine")), ErrNoToken},
		{"an address of keys in the header", signed(`{"alg":"HS256","jku":"http://127.0.0.1:1/"}`, ok(""), hs256("mine")), ErrSignature},
		{"a file as kid", signed(`{"alg":"HS256","kid":"../../../../dev/null"}`, ok(""), hs256("")), ErrSignature},
		{"SQL as kid", signed(`{"alg":"HS256","kid":"x' UNION SELECT 'mine"}`, ok(""), hs256("mine")), ErrSignature},
		{"an empty secret", signed(hs, ok(""), hs256("")), ErrSignature},
		{"something critical that nobody knows", signed(`{"alg":"HS256","crit":["x"],"x":1}`, ok(""), hs256(secret)), ErrSignature},
		{"another body", parts[0] + "." + b64.EncodeToString([]byte(ok(`,"can":[]`))) + "." + parts[2], ErrSignature},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, ErrNoToken},
		{"encrypted", "a.b.c.d.e", ErrNoToken},
		{"huge", signed(hs, ok(`,"x":"`+strings.Repeat("x", maxToken)+`"`), hs256(secret)), ErrTooLong},
		{"empty", "", ErrNoToken},
		{"dots", "..", ErrAlgorithm},
		{"no base64", "?.?.?", ErrNoToken},
		{"padded", parts[0] + "=." + parts[1] + "." + parts[2], ErrNoToken},
		{"no object", signed(hs, `[]`, hs256(secret)), ErrClaims},
		{"no JSON", signed(hs, `{`, hs256(secret)), ErrClaims},

		{"expired", signed(hs, ok(`,"exp":1795348769`), hs256(secret)), ErrExpired}, // 31 s ago
		{"expired for a clock that is behind", signed(hs, ok(`,"exp":1795348771`), hs256(secret)), nil},
		{"expired in 1970", signed(hs, ok(`,"exp":0`), hs256(secret)), ErrExpired},
		{"expires when time ends", signed(hs, ok(`,"exp":1e300`), hs256(secret)), ErrClaims},
		{"expires as a text", signed(hs, ok(`,"exp":"2100"`), hs256(secret)), ErrClaims},
		{"not yet", signed(hs, ok(`,"nbf":1795348831`), hs256(secret)), ErrNotYet}, // in 31 s
		{"soon", signed(hs, ok(`,"nbf":1795348829`), hs256(secret)), nil},
		{"wrong audience", signed(hs, `{"aud":"other","iss":"https://issuer.test"}`, hs256(secret)), ErrAudience},
		{"no audience", signed(hs, `{"iss":"https://issuer.test"}`, hs256(secret)), ErrAudience},
		{"one of several audiences", signed(hs, `{"aud":["other","crier"],"iss":"https://issuer.test"}`, hs256(secret)), nil},
		{"a part of the audience", signed(hs, `{"aud":"crierx","iss":"https://issuer.test"}`, hs256(secret)), ErrAudience},
		{"wrong issuer", signed(hs, `{"aud":"crier","iss":"https://issuer.test/"}`, hs256(secret)), ErrIssuer},
		{"no issuer", signed(hs, `{"aud":"crier"}`, hs256(secret)), ErrIssuer},
		{"topics that are none", signed(hs, ok(`,"topics":"game-*"`), hs256(secret)), ErrClaims},
		{"too many topics", signed(hs, ok(`,"topics":["x"`+strings.Repeat(`,"x"`, maxPatterns)+`]`), hs256(secret)), ErrClaims},
		{"numbers as rights", signed(hs, ok(`,"can":[1]`), hs256(secret)), ErrClaims},
	} {
		g, err := tokens.Check(context.Background(), c.token, now)
		if !errors.Is(err, c.want) || (err == nil) != (g != nil) {
			t.Errorf("%s: %+v, %v; want %v", c.name, g, err, c.want)
		}
	}
}

func TestGrants(t *testing.T) {
	tokens := newTokens(t, TokenConfig{Secrets: []string{secret}})
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for body, want := range map[string]Grant{
		`{}`:                                        {Hear: true, Say: true},
		`{"sub":"ada","topics":[],"can":[]}`:        {User: "ada", Topics: []string{}},
		`{"topics":["a","b*"],"can":["hear"]}`:      {Topics: []string{"a", "b*"}, Hear: true},
		`{"can":["say","fly"]}`:                     {Say: true},
		`{"topics":null,"can":null}`:                {Hear: true, Say: true},
		`{"TOPICS":["a"],"Can":[]}`:                 {Hear: true, Say: true}, // names are what they are
		`{"exp":1795348860}`:                        {Hear: true, Say: true, Expires: at(1795348860)},
		`{"exp":1795348790.5}`:                      {Hear: true, Say: true, Expires: at(1795348820)}, // a clock is behind
		`{"aud":"x","iss":"y","iat":99999999999.5}`: {Hear: true, Say: true},
	} {
		g, err := tokens.Check(context.Background(), signed(hs, body, hs256(secret)), now)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if !g.Expires.Equal(want.Expires) {
			t.Errorf("%s expires at %v", body, g.Expires)
		}
		g.Expires, want.Expires = time.Time{}, time.Time{}
		if !reflect.DeepEqual(*g, want) {
			t.Errorf("%s is %+v", body, *g)
		}
	}
}

// TestSign: what is made can be checked, by the public half.
func TestSign(t *testing.T) {
	private := map[string][]byte{
		"RS256": pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey))),
		"rsa":   pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)),
		"ES256": pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey))),
		"EdDSA": pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edKey))),
	}
	wish := Wish{User: "ada", Topics: []string{"game-*"}, Can: []string{"hear"}, Expires: now.Add(time.Hour), Audience: "crier", Issuer: "me"}
	for name, text := range private {
		signer, err := KeySigner(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		token, err := signer.Sign(wish, now)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tokens := newTokens(t, TokenConfig{KeyFile: keyFile(t, text), Audience: "crier", Issuer: "me"}) // of a private key, the public half
		g, err := tokens.Check(context.Background(), token, now)
		if err != nil || g.User != "ada" || g.Say || !g.MayHear("game-1") || g.MayHear("x") || !g.Expires.Equal(wish.Expires) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
	token := must(SecretSigner(secret).Sign(Wish{}, now))
	header, body, err := TakeApart(token)
	if err != nil || string(header) != "{\n  \"alg\": \"HS256\",\n  \"typ\": \"JWT\"\n}" || string(body) != "{\n  \"iat\": 1795348800\n}" {
		t.Errorf("it is %s %s, %v", header, body, err)
	}
	for body, want := range map[string]string{
		`{"n":12345678901234567890}`: "{\n  \"n\": 12345678901234567890\n}",
		`{"x":1,"x":2}`:              "{\n  \"x\": 1,\n  \"x\": 2\n}",
		`{"x":1} y`:                  "", `null y`: "", `[]`: "",
	} {
		_, got, err := TakeApart(signed(none, body, noSignature))
		if string(got) != want || (want == "") != errors.Is(err, ErrClaims) {
			t.Errorf("%s is %s, %v", body, got, err)
		}
	}
	if _, err := KeySigner(publicPEM(ecKey.Public())); err == nil {
		t.Error("a public key signs")
	}
}

// TestKeyFiles: files that have no key, or none that is used.
func TestKeyFiles(t *testing.T) {
	short := must(rsa.GenerateKey(rand.Reader, 1024))
	for text, want := range map[string]string{
		"":                                       "there is no key in it",
		"hello":                                  "there is no key in it",
		string(publicPEM(short.Public())):        "1024 bits is too short",
		string(publicPEM(ecOther.Public())):      "P-384 is not used",
		string(pemOf("PUBLIC KEY", []byte("x"))): "PUBLIC KEY: ",
		string(pemOf("CERTIFICATE REQUEST", []byte("x"))):     "no key for tokens",
		`{"kty":"oct","k":"c2VjcmV0"}`:                        "no key for tokens",
		`{"keys":[]}`:                                         "the set is empty",
		`{"keys":[` + strings.Repeat(`{},`, maxKeys) + `{}]}`: "101 keys",
		`{`: "read JSON Web Keys",
	} {
		_, err := NewTokens(TokenConfig{KeyFile: keyFile(t, []byte(text)), Log: quiet})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	if _, err := NewTokens(TokenConfig{KeyFile: "/is/not/there", Log: quiet}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestKeyFileChanges: without a restart. What cannot be read changes nothing.
func TestKeyFileChanges(t *testing.T) {
	path := keyFile(t, publicPEM(rsaKey.Public()))
	tokens := newTokens(t, TokenConfig{KeyFile: path})
	check := func(what, token string, want error) {
		t.Helper()
		tokens.files[0].looked = time.Time{} // a second has passed
		if _, err := tokens.Check(context.Background(), token, now); !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	byRSA, byEC := signed(rs, ada, rs256), signed(es, ada, es256)
	check("its own", byRSA, nil)
	check("another", byEC, ErrAlgorithm)
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(publicPEM(ecKey.Public()))
	check("the old one", byRSA, ErrAlgorithm)
	check("the new one", byEC, nil)
	write([]byte("half written"))
	check("the last that could be read", byEC, nil)
	os.Remove(path)
	check("the last that was there", byEC, nil)
	write(publicPEM(rsaKey.Public()))
	check("the old one again", byRSA, nil)
}
