package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// streams are a command's three streams, and which of them are a terminal.
type streams struct {
	in          io.ReadCloser // its Close unblocks a Read
	out, errOut io.Writer
	keyboard    *os.File // in, when a person types there, else nil
	screen      *os.File // out, when a person looks at it, else nil
}

func streamsOf(cmd *cobra.Command) (streams, error) {
	s := streams{out: cmd.OutOrStdout(), errOut: cmd.ErrOrStderr()}
	s.screen = asTerminal(s.out)
	s.keyboard = asTerminal(cmd.InOrStdin())
	var err error
	switch in := cmd.InOrStdin().(type) {
	case *os.File:
		s.in, err = interruptible(in)
	case io.ReadCloser:
		s.in = in
	default:
		s.in = io.NopCloser(in)
	}
	return s, err
}

func (s streams) interactive() bool { return s.keyboard != nil && s.screen != nil }

func asTerminal(stream any) *os.File {
	if file, ok := stream.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// look is how messages are shown to the user.
type look struct {
	terminal bool   // a message must not take over the terminal
	colour   bool   // only ever on a terminal
	json     bool   // indent what is JSON on a terminal; elsewhere write JSON only
	raw      bool   // write messages as they are; never on a terminal
	mark     string // in front of a message, when what is typed stands on the same screen
}

func lookOf(s streams) look {
	l := look{terminal: s.screen != nil}
	l.colour = l.terminal && colours()
	if s.interactive() {
		l.mark = "< "
	}
	return l
}

// colours reports whether terminals get colours. https://no-color.org
func colours() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

// writeTo shows messages on out, each in one write.
func (l look) writeTo(out io.Writer) func(data []byte, binary bool) error {
	return func(data []byte, binary bool) error {
		_, err := out.Write(l.message(data, binary))
		return err
	}
}

// message is what to write for one message, its newline included.
func (l look) message(data []byte, binary bool) []byte {
	switch {
	case l.terminal && !binary && l.json:
		data = indented(data)
	case l.terminal, l.raw:
	case l.json:
		data = jsonLine(data, binary)
	default:
		data = oneLine(data)
	}
	if !l.terminal {
		return append(data[:len(data):len(data)], '\n')
	}
	if binary {
		return fmt.Appendf(nil, "%s%s\n", l.paint(green, l.mark), l.paint(dim, hexed(data)))
	}
	text := printable(string(data))
	if l.json && l.colour && json.Valid(data) {
		text = colouredJSON(text)
	}
	// The further lines stand further in, so that none of them can pass for
	// another message.
	text = strings.ReplaceAll(text, "\n", "\n  ")
	return fmt.Appendf(nil, "%s%s\n", l.paint(green, l.mark), text)
}

const (
	dim    = "\x1b[2m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	blue   = "\x1b[34m"
	cyan   = "\x1b[36m"
	plain  = "\x1b[0m"
)

func (l look) paint(colour, text string) string {
	if !l.colour || text == "" {
		return text
	}
	return colour + text + plain
}

// printable shows every control character but tab and newline as an escape. So
// are the characters that reverse the direction of text, with which a message
// can be made to read as another one.
func printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case r == '\t' || r == '\n':
			b.WriteRune(r)
		case unicode.IsControl(r) && r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

// sentence makes one printable line of what a server says about itself.
func sentence(text string) string {
	return printable(strings.Join(strings.Fields(text), " "))
}

const maxHexBytes = 256 // more than a person reads

func hexed(data []byte) string {
	shown, more := data, ""
	if len(data) > maxHexBytes {
		shown, more = data[:maxHexBytes], " …"
	}
	unit := "bytes"
	if len(data) == 1 {
		unit = "byte"
	}
	return strings.TrimRight(fmt.Sprintf("(binary, %d %s) % x%s", len(data), unit, shown, more), " ")
}

// indented leaves what is not JSON as it is, and the digits of numbers in any
// case.
func indented(data []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil {
		return data
	}
	return bytes.TrimSpace(b.Bytes())
}

var jsonToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"(\s*:)?|-?[0-9][0-9.eE+-]*|true|false|null`)

func colouredJSON(text string) string {
	return jsonToken.ReplaceAllStringFunc(text, func(token string) string {
		if name, isName := strings.CutSuffix(token, ":"); isName {
			return blue + name + plain + ":"
		}
		if token[0] == '"' {
			return green + token + plain
		}
		if token[0] == '-' || token[0] >= '0' && token[0] <= '9' {
			return cyan + token + plain
		}
		return yellow + token + plain
	})
}

// prompt is a line editor with history on a terminal in raw mode.
type prompt struct {
	*term.Terminal
	s     streams
	saved *term.State
}

func openPrompt(s streams) (*prompt, error) {
	saved, err := term.MakeRaw(int(s.keyboard.Fd()))
	if err != nil {
		return nil, err
	}
	p := &prompt{s: s, saved: saved}
	p.Terminal = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{keys{s.in}, s.out}, "> ")
	p.resize()
	// Without it the tabs of a pasted text are taken for the Tab key and
	// dropped.
	p.SetBracketedPasteMode(true)
	return p, nil
}

// close leaves the terminal as it was found, with the cursor on an empty line.
func (p *prompt) close() {
	p.SetBracketedPasteMode(false)
	io.WriteString(p.s.out, "\r\x1b[J")
	term.Restore(int(p.s.keyboard.Fd()), p.saved)
}

// maxTyped is where term.Terminal silently stops taking characters.
const maxTyped = 4096

// nextLine is the next line to send. Enter on an empty line sends nothing.
func (p *prompt) nextLine() (string, error) {
	for {
		p.resize()
		line, err := p.ReadLine()
		if err != nil && err != term.ErrPasteIndicator {
			return "", err
		}
		if utf8.RuneCountInString(line) >= maxTyped {
			fmt.Fprintf(p, "not sent: a typed line ends at %d characters; send longer ones with: crier connect … < file\n", maxTyped)
			continue
		}
		if line != "" {
			return line, nil
		}
	}
}

// Write puts output above the line that is being typed.
func (p *prompt) Write(b []byte) (int, error) {
	p.resize()
	return p.Terminal.Write(b)
}

// resize asks instead of waiting for a signal, which not every system sends.
func (p *prompt) resize() {
	if width, height, err := term.GetSize(int(p.s.screen.Fd())); err == nil && width > 0 && height > 0 {
		p.SetSize(width, height)
	}
}

// keys ends at Ctrl-C, wherever it is. The line editor would take one after the
// Esc key for a part of an escape sequence, and one in a paste that never ended
// for text: there would be no way out.
type keys struct{ io.Reader }

func (k keys) Read(p []byte) (int, error) {
	n, err := k.Reader.Read(p)
	if i := bytes.IndexByte(p[:n], ctrlC); i >= 0 {
		n, err = i, io.EOF
	}
	if err != nil {
		// Only the editor knows over how many rows of the screen the unfinished
		// line goes.
		n += copy(p[n:], eraseLine)
	}
	return n, err
}

const (
	ctrlC     = 3
	eraseLine = "\x05\x15" // Ctrl-E to its end, Ctrl-U all before
)
