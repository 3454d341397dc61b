package serve

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listen opens what an address stands for: localhost is an IPv4 and an IPv6 address, and clients try either first.
func listen(address string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: want host:port, such as localhost:8080 or :8080", address)
	}
	if host != "localhost" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		return []net.Listener{brief(l)}, nil
	}
	for tries := 0; ; tries++ {
		v4, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return nil, err
		}
		_, chosen, _ := net.SplitHostPort(v4.Addr().String())
		v6, err := net.Listen("tcp6", net.JoinHostPort("::1", chosen))
		switch {
		case err == nil:
			return []net.Listener{brief(v4), brief(v6)}, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return []net.Listener{brief(v4)}, nil // no IPv6 here
		}
		v4.Close()
		if port != "0" || tries == 10 {
			return nil, err
		}
	}
}
