package main

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
)

// elsewhere returns the address of a server for other machines of the network,
// if they can reach it. here is its address on this machine, and listen what it
// was told to listen at.
func elsewhere(here, listen string) string {
	u, err := url.Parse(here)
	if err != nil {
		return ""
	}
	if u.Hostname() != "localhost" {
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() {
			return ""
		}
		return here
	}
	host, _, _ := net.SplitHostPort(listen)
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		return "" // localhost, or another name of it
	}
	ip := bestAddress(machineAddresses(), outward())
	if !ip.IsValid() {
		return ""
	}
	u.Host = net.JoinHostPort(ip.String(), u.Port())
	return u.String()
}

// An ownAddress is an IPv4 address that this machine has.
type ownAddress struct {
	network string // the name of the interface
	ip      netip.Addr
}

func machineAddresses() (list []ownAddress) {
	networks, _ := net.Interfaces() // without them, there is nothing to tell
	for _, n := range networks {
		if n.Flags&net.FlagUp == 0 || n.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 {
			continue
		}
		addresses, _ := n.Addrs()
		for _, a := range addresses {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
				list = append(list, ownAddress{n.Name, prefix.Addr()})
			}
		}
	}
	return list
}

// outward returns the address that this machine has towards the Internet, if it
// knows a way there. Nothing is sent: to connect a socket of UDP only looks up
// the route. The target is one that is nobody's (RFC 5737).
func outward() netip.Addr {
	conn, err := net.Dial("udp4", "203.0.113.1:9")
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// madeUp matches the names of interfaces that lead into this machine, or through
// a tunnel, and not to the network where a phone is: those of Docker, Podman,
// libvirt, VMware, VirtualBox, Kubernetes, WSL, VPNs.
var madeUp = regexp.MustCompile(`^(docker|podman|cni|br-|veth|virbr|lxc|lxd|incus|vmnet|vboxnet|flannel|cali|cilium|kube|` +
	`tun|tap|utun|wg|tailscale|zt|vEthernet|awdl|llw|bridge1)`)

// bestAddress returns the address at which a phone in the same network most
// likely reaches this machine. Private addresses come before public ones, and
// the one towards the Internet before its equals.
func bestAddress(list []ownAddress, outward netip.Addr) (best netip.Addr) {
	lowest := 0
	for _, a := range list {
		rank := 2
		switch {
		case madeUp.MatchString(a.network) || a.ip.IsLoopback() || a.ip.IsUnspecified() || a.ip.IsMulticast():
			continue
		case a.ip.IsLinkLocalUnicast():
			rank = 6 // no server has given it one
		case !a.ip.IsPrivate():
			rank = 4
		}
		if a.ip == outward {
			rank--
		}
		if !best.IsValid() || rank < lowest {
			best, lowest = a.ip, rank
		}
	}
	return best
}
