package cluster

import (
	"context"
	"errors"
)

// Check returns what is wrong with what c says about where the log is.
func (c *Config) Check() error {
	switch {
	case c.Embedded != nil:
		return c.Embedded.checkPeers()
	case c.NATS != nil:
		return nil
	}
	return errors.New("cluster: it is not said where the log is")
}

// connect opens the backend that c names.
func connect(ctx context.Context, c Config, cb callbacks) (backend, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	largest := maxMessage(c.MaxRecord)
	if c.Embedded != nil {
		return openEmbedded(ctx, *c.Embedded, largest, c.Log, cb)
	}
	return openNATS(ctx, *c.NATS, largest, c.Log, cb)
}
