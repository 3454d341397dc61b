package lambda

import (
	"bytes"
	"cmp"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
)

// An output is what a process and its children print. It comes through a pipe
// and is passed on in blocks of whole lines, so that what is printed at once
// stays together, however many writes the process needs for it.
type output struct {
	// Set once.
	say    func(lines []string) // gets each block, from one goroutine at a time
	quiet  time.Duration        // how long a block waits for its next line
	reader *os.File             // of the pipe
	writer *os.File             // of the pipe, for the process
	ended  chan struct{}        // closed when everything has been passed on
	flush  *time.Timer          // passes on the block when nothing follows

	mu      sync.Mutex
	buffer  []byte    // for what is read, which is taken before mu is free again
	part    []byte    // of a line
	block   []string  // lines that were not passed on yet
	size    int       // of block, in bytes. Invariant: < maxBlock, unless held
	begun   time.Time // when the first line of the block came
	held    bool      // nothing is passed on until release or drop
	telling string    // the last line with a word in it
}

const (
	// maxLine is how long a line may be before it is cut, in bytes.
	maxLine = 16 << 10
	// maxBlock is how large a block may become, in bytes.
	maxBlock = 64 << 10
	// maxHeld is how many bytes may be held back.
	maxHeld = 1 << 20
	// quiet is how long a block waits for the next line, if no answer ends it.
	// Python writes a stack trace line by line.
	quiet = 200 * time.Millisecond
	// stale is how long a block waits if lines keep coming.
	stale = 500 * time.Millisecond
)

// openOutput opens the pipe. Either started or abandon must follow.
func openOutput(config Config) (*output, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{
		say:    config.Output,
		quiet:  cmp.Or(config.quiet, quiet),
		reader: reader,
		writer: writer,
		ended:  make(chan struct{}),
		buffer: make([]byte, maxBlock), // a pipe holds as much on Linux: no write is cut here
	}
	o.flush = time.AfterFunc(time.Hour, o.pass)
	o.flush.Stop()
	return o, nil
}

// abandon closes the pipe if there is no process.
func (o *output) abandon() {
	o.reader.Close()
	o.writer.Close()
}

// started notes that the process has its copy of the pipe. end must follow.
func (o *output) started() {
	o.writer.Close()
	go o.run() // end waits for it
}

// run passes on what comes through the pipe, until no process can write to it
// any more, or end stops waiting.
func (o *output) run() {
	defer close(o.ended)
	o.readAll()
	o.reader.Close()
	o.flush.Stop()
	o.settle()
}

// end waits until everything has been passed on, but not for long: a child of
// the process that has ended may keep its copy of the pipe.
func (o *output) end(patience time.Duration) {
	select {
	case <-o.ended:
	case <-time.After(patience):
		o.reader.Close()
		<-o.ended
	}
}

// settle passes on all that was printed before.
func (o *output) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.readRest()
	if len(o.part) > 0 {
		o.line(o.part)
		o.part = nil
	}
	o.passLocked()
}

// take cuts what was read into lines. It requires o.mu.
func (o *output) take(data []byte) {
	o.part = append(o.part, data...)
	for {
		n := bytes.IndexByte(o.part, '\n')
		switch {
		case len(o.part) > maxLine && (n < 0 || n > maxLine):
			o.line(o.part[:maxLine])
			o.part = o.part[maxLine:]
		case n >= 0:
			o.line(o.part[:n])
			o.part = o.part[n+1:]
		default:
			if len(o.block) > 0 {
				o.flush.Reset(o.quiet)
			}
			return
		}
	}
}

// line adds a line to the block. It requires o.mu.
func (o *output) line(text []byte) {
	line := strings.TrimSuffix(string(text), "\r")
	if strings.ContainsFunc(line, unicode.IsLetter) {
		o.telling = strings.TrimSpace(line)
	}
	if len(o.block) == 0 {
		o.begun = time.Now()
	}
	o.block = append(o.block, line)
	o.size += len(line) + 1
	switch {
	case o.held && o.size < maxHeld:
	case o.held:
		o.held = false
		o.passLocked()
	case o.size >= maxBlock || time.Since(o.begun) > stale:
		o.passLocked()
	}
}

// pass passes on the block.
func (o *output) pass() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.passLocked()
}

// passLocked requires o.mu.
func (o *output) passLocked() {
	if len(o.block) == 0 || o.held {
		return
	}
	o.say(o.block)
	o.block, o.size = nil, 0
}

// hold keeps back what comes, until release or drop.
func (o *output) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = true
}

// release passes on what was kept back, and from now on everything.
func (o *output) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = false
	o.passLocked()
}

// drop forgets what was kept back.
func (o *output) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held {
		o.block, o.size = nil, 0
	}
}

// last returns the last line with a word in it.
func (o *output) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.telling
}
