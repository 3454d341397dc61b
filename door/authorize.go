package door

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"crier/access"
	"crier/trust"
)

// admit returns what the sender of a handshake may do.
func (d *Door) admit(r *http.Request, m Mount) (*access.Grant, *Refusal) {
	if !d.config.Guard.Closed() {
		return nil, nil
	}
	pass, err := d.config.Guard.Admit(r, m.Name)
	no := d.explained(r, err)
	switch {
	case no != nil:
	case !pass.Connect:
		no = &NoConnection
	case d.keptOut(pass.Grant):
		no = &KeptOut
	}
	return pass.Grant, no
}

func (d *Door) keptOut(may *access.Grant) bool {
	return may.Name() != "" && d.config.Users.KeptOut(may.Name())
}

// authorize returns what the sender of a request may do, if that is enough: if the
// method's need says so, or without a need if it may manage.
//
// Whoever has an admin key may do everything, and so do requests that are signed.
// If there is no admin key, programs of this machine may manage, unless they must
// sign. What clients do needs a key from everywhere, if there is one.
func (d *Door) authorize(r *http.Request, m method) (*access.Grant, *Refusal) {
	need := m.need
	if _, shown := access.Credential(r); shown || need != nil && d.config.Guard.DecidesWithout() {
		pass, no := d.check(r, m)
		switch {
		case no == &WrongKey:
			return nil, d.wants(need, no)
		case no != nil:
			return nil, no
		case pass.Manage:
			return nil, nil
		case d.keptOut(pass.Grant):
			return nil, &KeptOut
		case need == nil:
			return nil, &NotManaging
		case !need(pass.Grant) && pass.Grant.Guest:
			return nil, &NoCredential
		case !need(pass.Grant):
			no := Forbidden.Saying(m.without)
			return nil, &no
		}
		return pass.Grant, nil
	}
	if d.config.Credentials != (Credentials{}) {
		no := d.config.Credentials.verify(r, time.Now(), d.config.MaxMessage)
		if no == nil || d.config.Signed {
			return nil, no
		}
	}
	if no := d.wants(need, &NoCredential); no != nil {
		return nil, no
	}
	if why := trust.FromElsewhere(d.unaliased(r)); why != "" {
		return nil, NoKey.because(why)
	}
	if why := trust.FromPage(r, secure(r)); why != "" {
		return nil, ForeignPage.because(why)
	}
	return nil, nil
}

// wants returns how to refuse a request that has no credential, or a wrong one:
// clients are for what clients do, and admin keys for everything. It returns nil if
// no credential would help.
func (d *Door) wants(need func(*access.Grant) bool, client *Refusal) *Refusal {
	guard := d.config.Guard
	switch {
	case need != nil && (guard.Closed() || !guard.PublishKeys.None()):
		return client
	case !guard.AdminKeys.None():
		return &Unauthorized
	case client == &WrongKey:
		return client
	}
	return nil
}

// check returns what the sender of a request without a WebSocket may do.
func (d *Door) check(r *http.Request, m method) (pass access.Pass, no *Refusal) {
	guard := d.config.Guard
	if guard.None() {
		return pass, NoKey.because("it takes no key")
	}
	var err error
	if m.need == nil { // nobody else decides about those that manage
		credential, _ := access.Credential(r)
		pass, err = guard.Check(r.Context(), credential)
	} else {
		pass, err = guard.Admit(r, "", m.topic)
	}
	return pass, d.explained(r, err)
}

// explained returns the refusal for an error of the guard. A wrong key is held back
// first.
func (d *Door) explained(r *http.Request, err error) *Refusal {
	no := RefusalOf(err)
	if no == &WrongKey {
		d.holdBack(r)
	}
	return no
}

// RefusalOf returns the refusal for an error of package access; nil if there is
// none.
func RefusalOf(err error) *Refusal {
	var refused *access.RefusedError
	var no Refusal
	switch {
	case err == nil:
		return nil
	case errors.Is(err, access.ErrNoCredential):
		return &NoCredential
	case errors.Is(err, access.ErrWrongKey):
		return &WrongKey
	case errors.Is(err, access.ErrGuestName):
		no = NoCredential
	case errors.Is(err, access.ErrNoKeys), errors.Is(err, access.ErrServiceDown):
		no = Unchecked
	case errors.As(err, &refused) && refused.Unknown:
		no = NotKnown
	case errors.As(err, &refused), errors.Is(err, access.ErrOtherUser):
		no = Forbidden
	default:
		no = BadToken
	}
	no = no.Saying(err.Error())
	return &no
}

// challenge says how to show a credential, where one is missing or wrong.
// https://www.rfc-editor.org/rfc/rfc6750#section-3
func (d *Door) challenge(w http.ResponseWriter, no Refusal) {
	if no.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="crier"`)
	}
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
