package serve

import (
	"crypto/tls"
	"time"

	"crier/cluster"
)

// tickets are the keys of session tickets, with which a client of wss comes back
// without a full handshake. A server alone leaves them to crypto/tls. Servers
// with a cluster key all have the same ones, new ones each day.
type tickets struct {
	configs []*tls.Config
	secret  cluster.TicketSecret // nil: there is none to share
	day     int64                // that the keys are of
}

func newTickets(config *Config, configs ...*tls.Config) (*tickets, error) {
	t := new(tickets)
	for _, c := range configs {
		if c != nil {
			t.configs = append(t.configs, c)
		}
	}
	c := config.Cluster
	if len(t.configs) == 0 || c == nil || c.Embedded == nil || c.Embedded.Key == "" {
		return t, nil
	}
	var err error
	if t.secret, err = cluster.NewTicketSecret(c.Embedded.Key); err != nil {
		return nil, err
	}
	t.renew(time.Now())
	return t, nil
}

// renew changes the keys when another day has begun.
func (t *tickets) renew(now time.Time) {
	day := now.Unix() / int64(24*time.Hour/time.Second)
	if t.secret == nil || day == t.day {
		return
	}
	t.day = day
	for _, c := range t.configs {
		c.SetSessionTicketKeys(t.secret.Keys(day))
	}
}
