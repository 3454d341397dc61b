package access

import (
	"errors"
	"net/url"
)

// parseAddress reads the address of something that crier asks over HTTP.
func parseAddress(address string) (u *url.URL, ok bool) {
	u, err := url.Parse(address)
	return u, err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// named returns an address as it may be logged: what comes before its host or after
// its path is often a secret.
func named(u *url.URL) string {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return bare.String()
}

// cause returns why a request has failed, without the address.
func cause(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}
