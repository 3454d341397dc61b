package bench

import (
	"bytes"
	"time"
)

// A message is a mark, its run, its publisher, its number and when it was to be sent, in digits, and letters to fill it up:
//
//	#2718 00007 0000000123 0001561016329388 xxxx
const (
	mark          = '#'
	runAt         = 1
	publisherAt   = 6
	numberAt      = 12
	timeAt        = 23
	minSize       = 39
	maxRuns       = 10_000
	maxPublishers = 99_999
)

// appendMessage appends a message of size bytes. at counts microseconds from the start of the run.
func appendMessage(dst []byte, run, publisher int, number uint64, at time.Duration, size int) []byte {
	n := len(dst)
	dst = append(dst, "#0000 00000 0000000000 0000000000000000"...)
	message := dst[n:]
	digits(message[runAt:runAt+4], uint64(run))
	digits(message[publisherAt:publisherAt+5], uint64(publisher))
	digits(message[numberAt:numberAt+10], number)
	digits(message[timeAt:timeAt+16], uint64(at.Microseconds()))
	for range size - minSize {
		dst = append(dst, 'x')
	}
	return dst
}

// digits writes v with leading zeros.
func digits(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = '0' + byte(v%10)
		v /= 10
	}
}

// parseMessage finds a message in what a subscriber heard.
func parseMessage(heard []byte) (run, publisher int, number uint64, at time.Duration, ok bool) {
	i := bytes.IndexByte(heard, mark)
	if i < 0 || len(heard) < i+minSize {
		return 0, 0, 0, 0, false
	}
	m := heard[i:]
	r := parseDigits(m[runAt : runAt+4])
	p := parseDigits(m[publisherAt : publisherAt+5])
	n := parseDigits(m[numberAt : numberAt+10])
	t := parseDigits(m[timeAt : timeAt+16])
	return int(r), int(p), n, time.Duration(t) * time.Microsecond, true
}

func parseDigits(b []byte) (v uint64) {
	for _, c := range b {
		v = v*10 + uint64(c-'0')
	}
	return v
}

// me returns the stamp _me at the end of what a subscriber heard, if there is one.
func me(heard []byte) (mine, stamped bool) {
	switch {
	case bytes.HasSuffix(heard, []byte(`"_me":false}`)):
		return false, true
	case bytes.HasSuffix(heard, []byte(`"_me":true}`)):
		return true, true
	}
	return false, false
}
