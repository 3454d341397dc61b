package bench

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// usage is what a server's /metrics tells of its process.
type usage struct {
	ok     bool
	at     time.Time
	memory uint64  // bytes resident
	cpu    float64 // seconds so far
}

// probe asks a server what it uses.
func (c *Config) probe(ctx context.Context, address *url.URL) (u usage) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	metrics := *address
	metrics.Scheme = strings.Replace(address.Scheme, "ws", "http", 1)
	metrics.Path, metrics.RawQuery = "/metrics", ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metrics.String(), nil)
	if err != nil {
		return u
	}
	asking := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.TLS, DisableKeepAlives: true}}
	resp, err := asking.Do(req)
	if err != nil {
		return u
	}
	defer resp.Body.Close()
	u.at = time.Now()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case name == "process_resident_memory_bytes":
			u.memory = uint64(v)
		case name == "process_cpu_seconds_total":
			u.cpu = v
			u.ok = true
		}
	}
	return u
}
