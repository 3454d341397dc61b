package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkPeers says what is wrong with the addresses, and with a cluster that
// everybody could join.
func (e Embedded) checkPeers() error {
	if servers := max(1, len(e.Peers)); e.Replicas < 0 || e.Replicas > min(servers, maxReplicas) {
		return fmt.Errorf("%d replicas of the log are not possible: there are %d servers, "+
			"and NATS has at most %d replicas", e.Replicas, servers, maxReplicas)
	}
	switch {
	case len(e.Peers) == 0 && e.Listen != "":
		return errors.New("--cluster-listen needs --cluster-peers: all servers of the cluster, with this one")
	case len(e.Peers) == 0:
		return nil
	case len(e.Peers) == 1:
		return errors.New("--cluster-peers has one server only; " +
			"a server that is alone needs none, a cluster at least two")
	case e.Listen == "":
		return errors.New("--cluster-peers needs --cluster-listen: where the other servers reach this one")
	}
	if e.Key != "" && len(e.Key) < minKey {
		return fmt.Errorf("the cluster key has %d bytes; at least %d are needed, such as of: openssl rand -base64 24",
			len(e.Key), minKey)
	}
	for i, address := range append([]string{e.Listen}, e.Peers...) {
		host, ok := splitAddress(address)
		if !ok || i > 0 && host == "" {
			return fmt.Errorf("%q is no address of a server of the cluster; such as b.example.com:6222 is", address)
		}
		if e.Key == "" && !isLoopback(host) {
			return fmt.Errorf("anybody who reaches %s could write into the log: "+
				"set --cluster-key, the same on all servers", address)
		}
	}
	for i, address := range e.Peers {
		if slices.Contains(e.Peers[:i], address) {
			return fmt.Errorf("%s is twice in --cluster-peers", address)
		}
	}
	return nil
}

func splitAddress(address string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	n, wrong := strconv.Atoi(port)
	return host, err == nil && wrong == nil && n > 0 && n < 1<<16 && !strings.ContainsAny(host, " /")
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// checkFree says whether another process has the port, since NATS would only
// log that.
func checkFree(ctx context.Context, address string) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for the other servers on %s: %w", address, err)
	}
	return l.Close()
}

// serverName returns the name of this server in the cluster. It must be the same
// whenever the server starts: NATS counts servers by their names, and a new one
// would be one more. It is, in this order:
//
//   - the name in the data directory, which is written once;
//   - the entry of Peers that is this machine, if that is exactly one;
//   - something random, if there is a data directory to keep it in;
//   - the machine's name, and the port.
func (e Embedded) serverName(ctx context.Context) (string, error) {
	self := e.self(ctx)
	if e.Dir == "" {
		if self != "" {
			return self, nil
		}
		host, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("find a name for this server: %w", err)
		}
		_, port, _ := net.SplitHostPort(e.Listen)
		return strings.ReplaceAll(host, " ", "-") + ":" + port, nil
	}
	file := filepath.Join(e.Dir, "name")
	data, err := os.ReadFile(file)
	name := strings.TrimSpace(string(data))
	switch {
	case err == nil && name != "" && !strings.ContainsAny(name, " \n"):
		if self != "" && name != self && slices.Contains(e.Peers, name) {
			return "", fmt.Errorf("%s has the data of %s, but this is %s: two servers must not share a copy",
				e.Dir, name, self)
		}
		return name, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read this server's name: %w", err)
	}
	if name = self; name == "" {
		name = "crier-" + strings.ToLower(rand.Text()[:12])
	}
	if err := os.WriteFile(file, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep this server's name: %w", err)
	}
	return name, nil
}

// self returns the entry of Peers that is this machine, or nothing if none or
// several are.
func (e Embedded) self(ctx context.Context) string {
	if found := e.selves(ctx); len(found) == 1 {
		return found[0]
	}
	return ""
}

// selves returns the entries of Peers that lead to this server.
func (e Embedded) selves(ctx context.Context) (found []string) {
	host, port, _ := net.SplitHostPort(e.Listen)
	own := ownAddresses(ctx, host)
	for _, peer := range e.Peers {
		peerHost, peerPort, _ := net.SplitHostPort(peer)
		if peerPort == port && slices.ContainsFunc(lookup(ctx, peerHost), own) {
			found = append(found, peer)
		}
	}
	return found
}

// ownAddresses returns which addresses reach a listener of this machine.
func ownAddresses(ctx context.Context, listen string) func(netip.Addr) bool {
	var own []netip.Addr
	if ip, err := netip.ParseAddr(listen); listen != "" && (err != nil || !ip.IsUnspecified()) {
		own = lookup(ctx, listen)
		return func(a netip.Addr) bool { return slices.Contains(own, a) }
	}
	interfaces, _ := net.InterfaceAddrs()
	for _, a := range interfaces {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, prefix.Addr().Unmap())
		}
	}
	return func(a netip.Addr) bool { return a.IsLoopback() || slices.Contains(own, a) }
}

// lookup returns the addresses of a host, if they can be found quickly.
func lookup(ctx context.Context, host string) []netip.Addr {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for i, a := range addresses {
		addresses[i] = a.Unmap()
	}
	return addresses
}

// waiting says for whom a start waits.
func waiting(missing []string) string {
	if len(missing) == 0 {
		return "Waiting for the servers of the cluster to agree on a leader"
	}
	list := missing[len(missing)-1]
	if n := len(missing) - 1; n > 0 {
		list = strings.Join(missing[:n], ", ") + " and " + list
	}
	return "Waiting for " + list + ": the first start needs all servers, later ones a majority"
}
