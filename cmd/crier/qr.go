package main

import (
	"strings"

	"rsc.io/qr"
)

// quiet is how wide the light border is without which a code may not be found.
// ISO/IEC 18004 wants four modules.
const quiet = 4

// Black on white, whatever the terminal's own colours are: not every camera
// reads a code that is light on dark. These two of the 256 colours, unlike the
// first sixteen, are the same in all themes.
const (
	inkOnPaper = "\x1b[38;5;16;48;5;231m"
	halfRows   = 2 // modules in a row of the screen
)

// qrCode draws a text for a camera, and returns how many columns and lines of a
// screen that takes; nothing if the text is too long. A character is two modules,
// one above the other, which makes them square.
func qrCode(text string) (drawn string, across, down int) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", 0, 0
	}
	side := code.Size + 2*quiet
	rows := (side + halfRows - 1) / halfRows
	var b strings.Builder
	for row := range rows {
		b.WriteString("  " + inkOnPaper)
		for x := -quiet; x < code.Size+quiet; x++ {
			y := halfRows*row - quiet
			upper, lower := code.Black(x, y), code.Black(x, y+1)
			switch {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString(plain + "\n")
	}
	return b.String() + "\n", 2 + side, rows + 1
}
