package access

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func address(t *testing.T, text string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAddressesCount(t *testing.T) {
	a := NewAddresses(3, 0)
	for _, one := range []struct {
		same  []string
		other string
	}{
		{[]string{"203.0.113.7", "203.0.113.7", "::ffff:203.0.113.7"}, "203.0.113.8"},
		{[]string{"2001:db8::1", "2001:db8::2", "2001:db8::ffff:1:2:3"}, "2001:db8:0:1::1"},
		{[]string{"fe80::1%eth0", "fe80::2%eth1", "fe80::3"}, "fe80:0:0:1::1"},
	} {
		for _, text := range one.same {
			if got := a.Enter(address(t, text)); got != Welcome {
				t.Fatalf("%s: %v", text, got)
			}
		}
		for _, text := range one.same {
			if got := a.Enter(address(t, text)); got != TooMany {
				t.Fatalf("%s: %v", text, got)
			}
		}
		if got := a.Enter(address(t, one.other)); got != Welcome {
			t.Fatalf("%s: %v", one.other, got)
		}
		a.Leave(address(t, one.same[1]))
		if got := a.Enter(address(t, one.same[0])); got != Welcome {
			t.Fatalf("%s: %v after one has left", one.same[0], got)
		}
	}
	for _, own := range []string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"} {
		for range 10 {
			if got := a.Enter(address(t, own)); got != Welcome {
				t.Fatalf("%s: %v", own, got)
			}
		}
		a.Leave(address(t, own))
	}
	if got := a.Enter(netip.Addr{}); got != Welcome {
		t.Errorf("nobody knows from where: %v", got)
	}
}

func TestAddressesRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAddresses(0, 10)
		from := address(t, "192.0.2.1")
		enter := func() (n int) {
			for a.Enter(from) == Welcome {
				n++
				a.Leave(from)
			}
			return n
		}
		if n := enter(); n != 10 {
			t.Errorf("%d came at once", n)
		}
		time.Sleep(500 * time.Millisecond)
		if n := enter(); n != 5 {
			t.Errorf("%d came in half a second", n)
		}
		if got := a.Enter(address(t, "192.0.2.2")); got != Welcome {
			t.Errorf("another address: %v", got)
		}
	})
}

// TestAddressesAreForgotten: whoever comes from ever new addresses takes no memory
// for long.
func TestAddressesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAddresses(10, 10)
		stays := address(t, "2001:db8:ffff::1")
		a.Enter(stays)
		for i := range 100_000 {
			from := address(t, fmt.Sprintf("2001:db8:%x:%x::1", i/65536, i%65536))
			a.Enter(from)
			a.Leave(from)
			time.Sleep(time.Millisecond)
		}
		if len(a.known) > 2*leastSweep {
			t.Errorf("%d addresses are known", len(a.known))
		}
		if u := a.known[Network(stays)]; u == nil || u.connections != 1 {
			t.Error("one that has a connection was forgotten")
		}
	})
}
