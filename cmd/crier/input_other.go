//go:build !unix

package main

import (
	"io"
	"os"
)

// inputEnds is what a person types after the last line.
const inputEnds = "ctrl-Z and Enter"

// interruptible puts a pipe between the file and its reader, so that Close
// unblocks a Read. The copying goroutine is the one that nobody waits for:
// where there is no select on a terminal, it ends with its file or with the
// process.
func interruptible(file *os.File) (io.ReadCloser, error) {
	reader, writer := io.Pipe()
	go func() {
		_, err := io.Copy(writer, file)
		writer.CloseWithError(err)
	}()
	return reader, nil
}
