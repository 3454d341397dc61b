package door

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"crier/trust"
)

// authorize accepts requests that have the admin key, and requests that are
// signed. If there is no admin key, it also accepts programs of this machine,
// unless they must sign. It returns nil if it accepts the request.
func (d *Door) authorize(r *http.Request) *Refusal {
	if key, ok := bearer(r); ok {
		return d.checkKey(r, key)
	}
	if d.config.Credentials != (Credentials{}) {
		no := d.config.Credentials.verify(r, time.Now(), d.config.MaxMessage)
		if no == nil || d.config.Signed {
			return no
		}
	}
	if d.config.AdminKey != "" {
		return &Unauthorized
	}
	if why := trust.FromElsewhere(d.unaliased(r)); why != "" {
		return NoKey.because(why)
	}
	if why := trust.FromPage(r, secure(r)); why != "" {
		return ForeignPage.because(why)
	}
	return nil
}

// unaliased changes a request that calls this server by an alias, so that it
// calls it localhost. No page can be at an alias, because browsers do not trust
// the certificate.
func (d *Door) unaliased(r *http.Request) *http.Request {
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = r.Host
	}
	if !secure(r) || !slices.Contains(d.config.Aliases, strings.ToLower(name)) {
		return r
	}
	local := *r
	local.Host = "localhost"
	return &local
}

func bearer(r *http.Request) (key string, ok bool) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key), strings.EqualFold(scheme, "Bearer")
}

func (d *Door) checkKey(r *http.Request, key string) *Refusal {
	switch {
	case d.config.AdminKey == "":
		return NoKey.because("it takes no key")
	case !sameKey(key, d.config.AdminKey):
		d.holdBack(r)
		return &Unauthorized
	}
	return nil
}

func sameKey(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b)) // hashes have equal lengths, so the time reveals nothing
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

const (
	// guessTime is how long the answer to a wrong key takes, so that guessing
	// is slow.
	guessTime = time.Second
	// maxGuesses is how many such answers wait at once. Further ones do not
	// wait, because each wait takes a connection and its goroutine.
	maxGuesses = 100
)

// holdBack waits before a wrong key is answered. A request with the right key
// never waits, so guessing cannot lock its owners out.
func (d *Door) holdBack(r *http.Request) {
	select {
	case d.guesses <- struct{}{}:
		defer func() { <-d.guesses }()
	default:
		return
	}
	over := time.NewTimer(guessTime)
	defer over.Stop()
	select {
	case <-over.C:
	case <-r.Context().Done():
	case <-d.leaving:
	}
}

// Shutdown ends all waiting for the answers to wrong keys.
func (d *Door) Shutdown() { d.leave.Do(func() { close(d.leaving) }) }
