package trust

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of reverse proxies that say truthfully where a request
// comes from, in the header X-Forwarded-For.
type Proxies []netip.Prefix

// ParseProxy reads an address, or a network such as 10.0.0.0/8.
func ParseProxy(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network, such as 10.0.0.0/8", text)
	}
	return network.Masked(), nil
}

// Unwrap returns a request as its client has sent it to the first of the proxies:
// with the client's address in the place of the proxy's. What a client has written
// into the header itself is left of what the proxies append, and does not count. A
// request that comes from no proxy is returned as it is.
func (p Proxies) Unwrap(r *http.Request) *http.Request {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.include(peer.Addr()) {
		return r
	}
	client := peer.Addr()
	for _, hop := range slices.Backward(strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")) {
		addr, ok := hopAddress(hop)
		if !ok {
			break // nothing left of it can be believed
		}
		if client = addr; !p.include(addr) {
			break
		}
	}
	if client == peer.Addr() {
		return r
	}
	unwrapped := *r
	unwrapped.RemoteAddr = net.JoinHostPort(client.String(), "0")
	return &unwrapped
}

// include reports whether an address is one of the proxies.
func (p Proxies) include(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// hopAddress reads an address of the header. Some proxies add a port.
func hopAddress(hop string) (netip.Addr, bool) {
	hop = strings.TrimSpace(hop)
	if addr, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
		return addr.Unmap(), true
	}
	addr, err := netip.ParseAddrPort(hop)
	return addr.Addr().Unmap(), err == nil
}
