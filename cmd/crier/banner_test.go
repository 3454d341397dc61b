package main

import (
	"bytes"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"

	"crier/serve"
)

// TestBanner: the page comes first, then what a WebSocket needs, then other
// machines, if they can reach the server. No key is in it, and no line is longer
// than a terminal is wide.
func TestBanner(t *testing.T) {
	apps := serve.Apps()
	for name, c := range map[string]struct {
		banner banner
		want   string // in this order
		never  string
	}{
		"this machine": {banner{here: "ws://localhost:8080", page: true}, `^crier serves\n\n  http://localhost:8080   in a browser: crier's page\n  ws://localhost:8080 .*\n\n  / .*npx wscat -c ws://localhost:8080\n\n$`, "phone|KEY"},
		"the network":  {banner{here: "ws://localhost:8080", there: "ws://192.168.178.120:8080", page: true}, `  http://localhost:8080 .*npx wscat.*On a phone, .*\n\n  http://192.168.178.120:8080\n\n$`, "KEY"},
		"a key and your own pages": {
			banner{here: "ws://localhost:8080", there: "ws://10.0.0.1:8080", own: true, pages: []string{"/"}, closed: true},
			`  http://10.0.0.1:8080\n  Your page needs a key, which is not in this address. Add #key=KEY, .*\n\n$`, "asks for it",
		},
		"guests": {
			banner{here: "ws://localhost:8080", there: "ws://10.0.0.1:8080", own: true, pages: []string{"/"}, page: true, guests: true},
			`  http://localhost:8080 +your own page\n.*only receive. To publish, .*token=KEY.*  http://10.0.0.1:8080\n\n$`, "#key",
		},
		"a key":     {banner{here: "wss://localhost:8443", there: "wss://10.0.0.1:8443", page: true, closed: true}, `  https://localhost:8443/#key=KEY .*wscat -c "wss://localhost:8443/\?token=KEY".*  https://10.0.0.1:8443\n  The key is not in this address: the page asks for it.\n\n$`, "10.0.0.1:8443/"},
		"own pages": {banner{here: "ws://localhost:8080", there: "ws://10.0.0.1:8080", own: true, pages: []string{"/"}, page: true}, `  http://localhost:8080 +your own page\n  http://localhost:8080/console +crier's page\n.*  http://10.0.0.1:8080\n`, "KEY"},
		"several pages": {
			banner{here: "ws://localhost:8080", there: "ws://10.0.0.1:8080", own: true, pages: []string{"/a/", "/b/"}, page: true},
			`^crier serves\n\n  http://localhost:8080/a/ +your own page\n  http://localhost:8080/b/ +your own page\n.*network:\n\n  http://10.0.0.1:8080/a/\n  http://10.0.0.1:8080/b/\n\n$`, "more",
		},
		"many pages":  {banner{here: "ws://localhost:8080", own: true, pages: strings.Split(strings.Repeat("/a/ ", 7), " ")[:7]}, `( +http://localhost:8080/a/ +your own page\n){5} +and 2 more\n`, "phone"},
		"no page yet": {banner{here: "ws://localhost:8080", there: "ws://10.0.0.1:8080", own: true}, `  http://localhost:8080 +your own files; there is no page yet\n.*  http://10.0.0.1:8080\n`, "KEY"},
		"no page":     {banner{here: "ws://localhost:8080", there: "ws://10.0.0.1:8080"}, `^crier serves\n\n  ws://localhost:8080 .*From another machine.*  ws://10.0.0.1:8080\n`, "http|phone"},
	} {
		c.banner.mounts = apps
		var b bytes.Buffer
		c.banner.write(&b)
		if !regexp.MustCompile("(?s)"+c.want).Match(b.Bytes()) || c.never != "" && regexp.MustCompile(c.never).Match(b.Bytes()) {
			t.Errorf("%s: it says\n%s\nwant %s, and nothing of %s", name, &b, c.want, c.never)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
}

// TestCode: what is on the screen is the code, with a light border all around.
func TestCode(t *testing.T) {
	const text = "http://192.168.178.120:8080"
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	drawn, across, down := qrCode(text)
	lines := strings.Split(strings.TrimRight(drawn, "\n"), "\n")
	for row, line := range lines {
		line, begins := strings.CutPrefix(line, "  "+inkOnPaper)
		line, ends := strings.CutSuffix(line, plain)
		modules := []rune(line)
		if !begins || !ends || len(modules) != code.Size+2*quiet {
			t.Fatalf("row %d is %q", row, line)
		}
		for column, module := range modules {
			x, y := column-quiet, 2*row-quiet
			upper, lower := strings.ContainsRune("█▀", module), strings.ContainsRune("█▄", module)
			if upper != code.Black(x, y) || lower != code.Black(x, y+1) {
				t.Errorf("at %d, %d there is %q", x, y, module)
			}
		}
	}
	if height := 2*len(lines) - 2*quiet; height < code.Size || height > code.Size+1 {
		t.Errorf("%d modules are %d high", code.Size, height)
	}
	if across != code.Size+2*quiet+2 || down != strings.Count(drawn, "\n") {
		t.Errorf("it says that it takes %d columns and %d lines", across, down)
	}
	if got, across, _ := qrCode("http://" + strings.Repeat("a", 4000)); got != "" || across != 0 {
		t.Error("there is a code of what does not fit into one")
	}
}

// TestBestAddress: a phone is told the address in its own network.
func TestBestAddress(t *testing.T) {
	for _, c := range []struct {
		machine, outward, want string
	}{
		{"", "", "invalid IP"},
		{"wlan0 192.168.1.20", "192.168.1.20", "192.168.1.20"},
		{"docker0 172.17.0.1, br-1f2e 172.18.0.1, enp3s0 192.168.1.20, virbr0 192.168.122.1", "192.168.1.20", "192.168.1.20"},
		{"eth0 10.0.0.5, wlan0 192.168.1.20", "192.168.1.20", "192.168.1.20"},
		{"eth0 10.0.0.5, wlan0 192.168.1.20", "", "10.0.0.5"},
		{"tun0 10.8.0.2, wlan0 192.168.1.20", "10.8.0.2", "192.168.1.20"},
		{"eth0 203.0.113.9, eth1 10.0.0.5", "203.0.113.9", "10.0.0.5"},
		{"eth0 203.0.113.9", "203.0.113.9", "203.0.113.9"},
		{"eth0 169.254.3.4, wlan0 203.0.113.9", "", "203.0.113.9"},
		{"eth0 169.254.3.4", "", "169.254.3.4"},
		{"docker0 172.17.0.1", "", "invalid IP"},
		{"vEthernet (WSL) 172.20.0.1, Wi-Fi 192.168.1.20", "192.168.1.20", "192.168.1.20"},
	} {
		var list []ownAddress
		for _, one := range strings.FieldsFunc(c.machine, func(r rune) bool { return r == ',' }) {
			i := strings.LastIndex(one, " ")
			list = append(list, ownAddress{strings.TrimSpace(one[:i]), netip.MustParseAddr(one[i+1:])})
		}
		outward, _ := netip.ParseAddr(c.outward)
		if got := bestAddress(list, outward).String(); got != c.want {
			t.Errorf("of %q, with %s towards the Internet, %s is told, want %s", c.machine, c.outward, got, c.want)
		}
	}
}

// TestElsewhere: only a server that listens on every interface, or on one that
// is not this machine's own, is reached from elsewhere.
func TestElsewhere(t *testing.T) {
	for _, c := range [][3]string{
		{"ws://localhost:8080", "localhost:8080", ""},
		{"ws://127.0.0.1:8080", "127.0.0.1:8080", ""},
		{"ws://[::1]:8080", "[::1]:8080", ""},
		{"ws://192.168.1.20:8080", "192.168.1.20:8080", "ws://192.168.1.20:8080"},
		{"wss://game.example.com", ":443", "wss://game.example.com"},
	} {
		if got := elsewhere(c[0], c[1]); got != c[2] {
			t.Errorf("%s, listening at %s: from elsewhere it is %q, want %q", c[0], c[1], got, c[2])
		}
	}
	best := bestAddress(machineAddresses(), outward())
	want := ""
	if best.IsValid() {
		want = "wss://" + best.String() + ":8443"
	}
	for _, listen := range []string{":8443", "0.0.0.0:8443", "[::]:8443"} {
		if got := elsewhere("wss://localhost:8443", listen); got != want {
			t.Errorf("listening at %s: from elsewhere it is %q, want %q", listen, got, want)
		}
	}
}
