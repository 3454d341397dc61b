package trust

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// isLoopback reports whether a host name or address always means this machine,
// wherever it is resolved.
func isLoopback(host string) bool {
	host = plain(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// near are the addresses that can be reached from their own network only.
var near = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"), // private: RFC 1918
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"), // link-local: RFC 3927
	netip.MustParsePrefix("100.64.0.0/10"),  // carrier-grade NAT: RFC 6598
	netip.MustParsePrefix("::/127"),         // unspecified, and loopback
	netip.MustParsePrefix("fc00::/7"),       // unique local: RFC 4193
	netip.MustParsePrefix("fe80::/10"),      // link-local: RFC 4291
	netip.MustParsePrefix("fec0::/10"),      // site-local: RFC 3879
}

// Near returns the networks whose addresses can be reached only from within
// them: those of this machine, private and link-local ones.
func Near() []netip.Prefix { return slices.Clone(near) }

// Public reports whether an address may be reachable from everywhere.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return addr.IsValid() && !slices.ContainsFunc(near, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Names returns the names of this machine: its own name, and the name by which
// other machines in its network find it (mDNS).
func Names() []string {
	host, err := os.Hostname()
	if err != nil {
		return nil
	}
	return namesOf(host)
}

func namesOf(host string) []string {
	host = plain(host)
	if host == "" {
		return nil
	}
	first, _, _ := strings.Cut(host, ".")
	return slices.Compact([]string{host, first + ".local"})
}

// plain returns the form of a host's name in which names are compared: in lower
// case, and without the dot that may end it.
func plain(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }
