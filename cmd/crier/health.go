package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout is how long a server may take to say that it is well.
const healthTimeout = 3 * time.Second

func newHealth() *cobra.Command {
	return &cobra.Command{
		Use:   "health [URL]",
		Short: "Ask a server whether it is well",
		Long: `Ask a server whether it is well: the exit code is 0 if it is, 1 if not. It is for
containers and scripts where there is no curl. The URL is
http://localhost:8080/healthz if none is given; /readyz in its place also tells
whether newcomers are wanted.`,
		Example: `  crier health
  crier health https://localhost:8443/readyz`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			url := "http://localhost:8080/healthz"
			if len(args) == 1 {
				url = args[0]
			}
			// A server on this machine is asked by a name that is not in its certificate.
			client := http.Client{Timeout: healthTimeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			resp, err := client.Get(url)
			if err != nil {
				return fmt.Errorf("health: %w", err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("health: %s answers %s", url, resp.Status)
			}
			return nil
		},
	}
}
