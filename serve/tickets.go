package serve

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"sync"
	"time"
)

// tickets are the keys of session tickets, with which a client of wss comes back
// without a full handshake. A server alone leaves them to crypto/tls. Servers that
// share a log make them from a secret that is in it, new ones each day. So a
// client can go on with any of them.
type tickets struct {
	configs []*tls.Config

	mu     sync.Mutex
	secret []byte // nil: there is none to share
	day    int64  // that the keys are of
}

// secretSize is how many bytes a secret has.
const secretSize = 32

func newTickets(configs ...*tls.Config) *tickets {
	t := new(tickets)
	for _, c := range configs {
		if c != nil {
			t.configs = append(t.configs, c)
		}
	}
	return t
}

// newSecret returns a secret that a server proposes to the others.
func newSecret() []byte {
	secret := make([]byte, secretSize)
	rand.Read(secret)
	return secret
}

// seed makes secret the servers' secret, unless they have one: all take the one
// that is first in the log.
func (t *tickets) seed(secret []byte) {
	if t.shared() == nil {
		t.share(secret)
	}
}

// share makes secret the servers' secret; nil if they have none yet.
func (t *tickets) share(secret []byte) {
	t.mu.Lock()
	t.secret, t.day = append([]byte(nil), secret...), 0
	t.mu.Unlock()
	t.renew(time.Now())
}

func (t *tickets) shared() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.secret
}

// renew changes the keys when another day has begun.
func (t *tickets) renew(now time.Time) {
	day := now.Unix() / int64(24*time.Hour/time.Second)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.secret == nil || day == t.day {
		return
	}
	t.day = day
	for _, c := range t.configs {
		c.SetSessionTicketKeys(ticketKeys(t.secret, day))
	}
}

// ticketKeys returns the keys of a day since 1970. The first is for new tickets.
// The others are those of the day before, and of the day after, because clocks
// differ.
func ticketKeys(secret []byte, day int64) (keys [][32]byte) {
	for _, d := range []int64{day, day - 1, day + 1} {
		key, err := hkdf.Expand(sha256.New, secret, fmt.Sprintf("day %d", d), 32)
		if err != nil {
			panic(err) // only too long a key is an error
		}
		keys = append(keys, [32]byte(key))
	}
	return keys
}
