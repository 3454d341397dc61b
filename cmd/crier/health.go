package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout is how long the answer of a server may take.
const healthTimeout = 3 * time.Second

func newHealth() *cobra.Command {
	return &cobra.Command{
		Use:   "health [URL]",
		Short: "Check whether a server is healthy",
		Long: `Check whether a server is healthy. The exit code is 0 if it is and 1 if not. The
command is for containers and scripts that have no curl. The default URL is
/healthz of the server that the environment describes, as for crier serve: at
CRIER_LISTEN, with https if CRIER_TLS_CERT or CRIER_DOMAIN is set, and at
localhost:8080 without them. /readyz also reports whether the server accepts new
clients. Certificates are not checked.`,
		Example: `  crier health
  crier health :8080
  crier health https://localhost:8443/readyz`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			url, err := httpAddress(environmentsServer())
			if len(args) == 1 {
				url, err = httpAddress(args[0])
			}
			if err != nil {
				return fmt.Errorf("health: %w", err)
			}
			if strings.Trim(url.Path, "/") == "" {
				url.Path = "/healthz"
			}
			// A server on this machine is asked by a name that is not in its
			// certificate.
			client := http.Client{Timeout: healthTimeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			resp, err := client.Get(url.String())
			if err != nil {
				return fmt.Errorf("health: %w", unreachable(url, err))
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("health: %s answers %s", url, resp.Status)
			}
			return nil
		},
	}
}

// environmentsServer returns the address of the server that crier serve would
// be, by its environment.
func environmentsServer() string {
	host, port, err := net.SplitHostPort(cmp.Or(os.Getenv("CRIER_LISTEN"), "localhost:8080"))
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if os.Getenv("CRIER_TLS_CERT")+os.Getenv("CRIER_DOMAIN") != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, cmp.Or(port, "8080"))
}
