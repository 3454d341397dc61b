package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"crier/door"
	"crier/files"
	"crier/serve"
)

// A banner tells a person what is served and what to do next.
type banner struct {
	here   string // the server's WebSocket address, on this machine
	there  string // the same for other machines of the network; empty if they cannot reach it
	mounts []door.Mount
	own    bool     // your own files are at /
	pages  []string // the paths of your own pages
	page   bool     // crier's page is at /, or at /console
	closed bool     // clients need a key
	guests bool     // they need it to publish only
}

func newBanner(url string, config serve.Config) banner {
	b := banner{
		here: url, there: elsewhere(url, config.Listen), mounts: config.Mounts(),
		page: config.Console,
	}
	if own, ok := config.Files.(*files.Files); ok {
		b.own, b.pages = true, own.Pages()
	}
	if guard := config.Guard; guard != nil {
		b.guests = guard.Guests
		b.closed = guard.Closed() && !b.guests
	}
	return b
}

func (b banner) write(out io.Writer) {
	var text strings.Builder
	text.WriteString("crier serves\n\n")
	b.writeAddresses(&text)
	b.writeApps(&text)
	b.writeThere(&text)
	if there := b.visited(); len(there) == 1 {
		width, height := screenOf(out)
		// What a person clicks on must stay on the screen. The two lines above it
		// may leave, for as many lines of the log.
		above := strings.Count(text.String(), "\n")
		code, across, down := qrCode(there[0])
		switch {
		case code == "" || width < across: // or there is no screen
		case height < above+down+1:
			fmt.Fprintf(&text, "  A window of %d lines would show its QR code.\n\n", above+down+1)
		default:
			text.WriteString(code)
		}
	}
	io.WriteString(out, text.String())
}

// maxPages is how many pages are listed.
const maxPages = 5

// listed returns the paths of the pages that are listed.
func (b banner) listed() []string { return b.pages[:min(len(b.pages), maxPages)] }

// visited returns the addresses of pages that other machines can open.
func (b banner) visited() (list []string) {
	switch {
	case b.there == "" || !b.opens():
		return nil
	case !b.own || len(b.pages) == 0:
		return []string{web(b.there)}
	}
	for _, path := range b.listed() {
		list = append(list, at(web(b.there), path, ""))
	}
	return list
}

// opens reports whether there is anything for browsers at /.
func (b banner) opens() bool { return b.own || b.page }

// writeAddresses begins with what a person clicks on.
func (b banner) writeAddresses(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	page, key := web(b.here), ""
	if b.closed {
		key = "#key=KEY"
	}
	switch {
	case b.own:
		for _, path := range b.listed() {
			fmt.Fprintf(table, "  %s\tyour own page\n", at(page, path, key))
		}
		if n := len(b.pages); n > maxPages {
			fmt.Fprintf(table, "  \tand %d more\n", n-maxPages)
		} else if n == 0 {
			fmt.Fprintf(table, "  %s\tyour own files; there is no page yet\n", page)
		}
		if b.page {
			fmt.Fprintf(table, "  %s\tcrier's page\n", page+"/console")
		}
	case b.page:
		fmt.Fprintf(table, "  %s\tin a browser: crier's page\n", at(page, "/", key))
	}
	fmt.Fprintf(table, "  %s\tfor WebSockets, with these apps\n\n", b.here)
	table.Flush()
}

func (b banner) writeApps(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, m := range b.mounts {
		fmt.Fprintf(table, "  %s\t%s\n", m.Path+m.Try, m.Help)
	}
	table.Flush()
	what, try := "Say something, in two terminals", b.here
	switch {
	case b.closed:
		try = `"` + b.here + `/?token=KEY"`
		fmt.Fprint(out, "\nClients need a key or a token: ?token=KEY, or Authorization: Bearer KEY.\n")
	case b.guests:
		what = "Receive what is said"
		fmt.Fprint(out, "\nClients without a key or a token only receive. To publish, they need one:\n?token=KEY, or Authorization: Bearer KEY.\n")
	}
	fmt.Fprintf(out, "\n%s:\n\n  npx wscat -c %s\n\n", what, try)
}

func (b banner) writeThere(out io.Writer) {
	switch {
	case b.there == "":
	case b.opens():
		fmt.Fprintf(out, "On a phone, or another machine of this network:\n\n  %s\n", strings.Join(b.visited(), "\n  "))
		switch {
		case b.closed && b.own:
			fmt.Fprint(out, "  Your page needs a key, which is not in this address. Add #key=KEY, and the\n  page finds it there.\n")
		case b.closed:
			fmt.Fprint(out, "  The key is not in this address: the page asks for it.\n")
		}
		fmt.Fprintln(out)
	default:
		fmt.Fprintf(out, "From another machine of this network:\n\n  %s\n\n", b.there)
	}
}

// at returns the address of a page, as short as it can be.
func at(address, path, fragment string) string {
	if path+fragment == "/" {
		return address
	}
	return address + path + fragment
}

// web returns the address for browsers of a server with a WebSocket address.
func web(address string) string { return "http" + strings.TrimPrefix(address, "ws") }

// screenOf returns how large a terminal is, where a code in colours can be read;
// zeros elsewhere.
func screenOf(out io.Writer) (width, height int) {
	screen := asTerminal(out)
	if screen == nil || !lookOf(streams{screen: screen}).colour {
		return 0, 0
	}
	width, height, err := term.GetSize(int(screen.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}
