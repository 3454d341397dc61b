package main

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

var (
	hasScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)
	portOnly  = regexp.MustCompile(`^:[0-9]`)
)

// webSocketAddress reads what a person types for a server (ws://, wss://,
// http://, https://, host:port, :port) as the address of a WebSocket.
func webSocketAddress(typed string) (*url.URL, error) {
	return address(typed, "ws", "wss")
}

// httpAddress reads the same spellings as the HTTP address of the same server.
func httpAddress(typed string) (*url.URL, error) {
	return address(typed, "http", "https")
}

// serverAddress reads them as the address of a server that is asked over HTTP. It
// may have a path: that of a proxy which leads to the server.
func serverAddress(typed string) (*url.URL, error) {
	u, err := httpAddress(typed)
	if err != nil || !slices.Contains(apps, path.Base(u.Path)) || strings.HasSuffix(u.Path, "/") {
		return u, err
	}
	u.RawQuery = ""
	return nil, fmt.Errorf("%s is the address of an app: the server's is %s", u.Redacted(), strings.TrimSuffix(u.JoinPath("..").Redacted(), "/"))
}

func address(typed, plain, secure string) (*url.URL, error) {
	full := typed
	if portOnly.MatchString(full) {
		full = "localhost" + full
	}
	// url.Parse would take the host of "localhost:8080" for a scheme.
	if !hasScheme.MatchString(full) {
		full = plain + "://" + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is not an address; it should look like %s://localhost:8080", typed, plain)
	}
	switch strings.ToLower(u.Scheme) {
	case "ws", "http":
		u.Scheme = plain
	case "wss", "https":
		u.Scheme = secure
	default:
		return nil, fmt.Errorf("%q: the scheme should be ws, wss, http or https", typed)
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// addQuery appends to the query. It leaves what the person wrote in it
// unchanged.
func addQuery(u *url.URL, name string, values ...string) {
	for _, value := range values {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += name + "=" + url.QueryEscape(value)
	}
}

// windowsInUse is WSAEADDRINUSE.
const windowsInUse = syscall.Errno(10048)

// orAnotherPort adds advice to an error if it means that a port is taken.
func orAnotherPort(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, windowsInUse) {
		return fmt.Errorf("%w: another program listens there; --listen localhost:0 takes a free port", err)
	}
	return err
}
