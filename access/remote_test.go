package access

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAddressesAreSecret: an address may have a password, or a key in its query, and
// neither is logged when it cannot be reached.
func TestAddressesAreSecret(t *testing.T) {
	for _, down := range []bool{false, true} {
		var log bytes.Buffer
		b := newBackend(t, says(http.StatusServiceUnavailable, "<html>"))
		address := strings.Replace(b.URL, "http://", "http://ada:lovelace@", 1) + "/path?code=enchantress"
		if down {
			b.Close()
		}
		logger := slog.New(slog.NewTextHandler(&log, nil))
		s, err := NewService(ServiceConfig{URL: address, Log: logger})
		if err != nil {
			t.Fatal(err)
		}
		s.Ask(context.Background(), question("/live?topic=a"))
		tokens := newTokens(t, TokenConfig{JWKS: address})
		tokens.remote.log = logger
		tokens.Check(context.Background(), signed(rs, ada, rs256), time.Now())
		text := log.String()
		if strings.Contains(text, "lovelace") || strings.Contains(text, "enchantress") {
			t.Errorf("the log is %s", text)
		}
		if n := strings.Count(text, b.URL+"/path"); n != 2 {
			t.Errorf("%d complaints name the address: %s", n, text)
		}
	}
}
