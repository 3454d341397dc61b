package cloud

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"crier/app"
	"crier/door"
)

// A client whose token has expired is found when it sends something, or when
// something should be sent to it: nothing runs in between. Then it is told, and
// its connection is closed, with the code that API Gateway has for that, 1000.

// expire ends the connection of such a client, and forgets it.
func (h *handler) expire(ctx context.Context, endpoint, request string, m member) error {
	to, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	ctx, cancel := context.WithDeadline(ctx, postingTime(ctx, time.Now(), &publication{}))
	defer cancel()
	farewell := app.AppendErrorFrame(nil, door.Expired.Close().Reason, m.id, request)
	if _, _, err := h.poster.post(ctx, probeTimeout, to, m.id, newBody(farewell)); err != nil {
		h.log.Debug("post", "connectionId", m.id, "error", err) // it is told as well as it can be
	}
	status, err := h.poster.hangUp(ctx, to, m.id)
	switch {
	case err != nil:
		return fmt.Errorf("close %s, whose token has expired: %w", m.id, err)
	case status != http.StatusNoContent && status != http.StatusGone:
		return fmt.Errorf("close %s, whose token has expired: status %d", m.id, status)
	}
	return h.registry.remove(ctx, m.id, []string{m.topic})
}
