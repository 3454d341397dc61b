package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"crier/access"
	"crier/serve"
	"crier/trust"
)

// limitFlags are for clients that one does not know.
func limitFlags(f *pflag.FlagSet, config *serve.Config) {
	l := &config.Limits
	f.Var((*rate)(&l.Rate), "rate", "a connection may send messages at `RATE`, such as 100/s, after a burst of one second; one to several topics counts for each; who is faster is read more slowly")
	f.Var((*byteRate)(&l.ByteRate), "rate-bytes", "the same for bytes: `RATE` such as 64KiB/s")
	f.IntVar(&l.PerAddress, "max-per-address", l.PerAddress, "at most `N` connections of one address, of IPv6 of one /64; 0 means any number; those over localhost are not counted")
	f.Var((*rate)(&l.ConnectRate), "connect-rate", "new connections of one address come at `RATE`, after a burst of one second; 0 means any")
	f.Var((*proxies)(&config.Proxies), "trusted-proxy", "take the word of the proxy at `ADDRESS`, or of those in a network such as 10.0.0.0/8, for where requests come from: X-Forwarded-For (repeatable)")
	f.IntVar(&l.Members, "max-members", l.Members, "at most `N` members of a topic; 0 means any number")
	f.IntVar(&l.Topics, "max-topics", l.Topics, "at most `N` topics; 0 means any number")
}

// A rate is how much there may be in a time; 0 means any. It implements
// pflag.Value.
type rate access.Rate

func (r *rate) String() string { return access.Rate(*r).String() }

func (r *rate) Type() string { return "RATE" }

func (r *rate) Set(value string) error {
	if value == "0" {
		*r = 0
		return nil
	}
	parsed, err := access.ParseRate(value)
	*r = rate(parsed)
	return err
}

// A byteRate is a rate of bytes. It implements pflag.Value.
type byteRate access.Rate

func (r *byteRate) String() string {
	if *r == 0 {
		return ""
	}
	n := size(*r)
	return n.String() + "/s"
}

func (r *byteRate) Type() string { return "RATE" }

func (r *byteRate) Set(value string) error {
	number, unit, _ := strings.Cut(value, "/")
	var n size
	if err := n.Set(number); err != nil || unit == "" && n != 0 {
		return errors.New("want a number of bytes for each second, minute or hour, such as 64KiB/s")
	}
	if n == 0 {
		*r = 0
		return nil
	}
	parsed, err := access.ParseRate(fmt.Sprintf("%d/%s", n, unit))
	*r = byteRate(parsed)
	return err
}

// proxies are given one by one, or with commas between them. They implement
// pflag.Value.
type proxies trust.Proxies

func (p *proxies) String() string {
	var list []string
	for _, network := range *p {
		list = append(list, network.String())
	}
	return strings.Join(list, ",")
}

func (p *proxies) Type() string { return "ADDRESS" }

func (p *proxies) Set(value string) error {
	var list []netip.Prefix
	for text := range strings.SplitSeq(value, ",") {
		network, err := trust.ParseProxy(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		list = append(list, network)
	}
	*p = append(*p, list...)
	return nil
}
