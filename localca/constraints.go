package localca

import (
	"crypto/x509"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"crier/trust"
)

// names are what an authority may sign for.
type names struct {
	dns      []string       // localhost and what ends so, and exactly the others
	networks []netip.Prefix // of addresses
}

// maxAddresses is how many public addresses of this machine are taken: a
// certificate has to stay small.
const maxAddresses = 32

// dnsName is what a name constraint can be. Some machines have other names.
var dnsName = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)

// thisMachine returns what clients can call this machine.
func thisMachine() names {
	n := names{dns: []string{"localhost"}, networks: trust.Near()}
	for _, name := range trust.Names() {
		if dnsName.MatchString(name) && name != "localhost" {
			n.dns = append(n.dns, name)
		}
	}
	addrs, _ := net.InterfaceAddrs() // without them, what is above must do
	for _, a := range addrs {
		at, err := netip.ParsePrefix(a.String())
		if err != nil || !trust.Public(at.Addr()) || len(n.networks) >= len(trust.Near())+maxAddresses {
			continue
		}
		addr := at.Addr().Unmap()
		n.networks = append(n.networks, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return n
}

// constrain writes the constraints into a certificate.
func (n names) constrain(c *x509.Certificate) {
	c.PermittedDNSDomainsCritical = true
	c.PermittedDNSDomains = n.dns
	for _, name := range n.dns {
		// A constraint permits all names that end so, which for a machine whose
		// name is dev or app would be all names below a public one.
		if name != "localhost" {
			c.ExcludedDNSDomains = append(c.ExcludedDNSDomains, "."+name)
		}
	}
	for _, network := range n.networks {
		c.PermittedIPRanges = append(c.PermittedIPRanges, ipNet(network))
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// maxKept is how many aliases of other processes are kept.
const maxKept = 40

// keep adds the aliases of other processes, which may still run, from a
// certificate that is to be replaced: names that begin as one of ours does, and
// that differ in their region.
func (n *names) keep(c *x509.Certificate, aliases []string) {
	first := func(name string) string { label, _, _ := strings.Cut(name, "."); return label }
	kept := 0
	for _, name := range c.PermittedDNSDomains {
		related := slices.ContainsFunc(aliases, func(alias string) bool { return first(alias) == first(name) })
		if related && !slices.Contains(n.dns, name) && kept < maxKept {
			n.dns = append(n.dns, name)
			kept++
		}
	}
}

// within reports whether a certificate permits all of the names.
func (n names) within(c *x509.Certificate) bool {
	for _, name := range n.dns {
		if !slices.Contains(c.PermittedDNSDomains, name) {
			return false
		}
	}
	for _, network := range n.networks {
		if !permits(c, network.Addr()) {
			return false
		}
	}
	return true
}

// permits reports whether a certificate permits an address.
func permits(c *x509.Certificate, addr netip.Addr) bool {
	ip := addr.AsSlice()
	return slices.ContainsFunc(c.PermittedIPRanges, func(r *net.IPNet) bool { return r.Contains(ip) })
}
