package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func noticeOf(lines int) []byte { return fmt.Appendf(nil, "%d dropped\n", lines) }

// TestStalledLog: lines are taken though nobody reads them, and those that do not fit are counted where they are missing.
func TestStalledLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, out := io.Pipe()
		q := newQueue(out, noticeOf)
		line := func(i int) string { return fmt.Sprintf("%06d %s\n", i, strings.Repeat("x", 1000)) }
		write := func(from, to int) {
			for i := range to - from {
				io.WriteString(q, line(from+i))
			}
		}
		write(0, 1)
		synctest.Wait() // it is being written, and nobody reads
		write(1, 5000)
		kept := maxQueued / len(line(0))
		var want strings.Builder
		for i := range 1 + kept {
			want.WriteString(line(i))
		}
		fmt.Fprintf(&want, "%d dropped\n", 5000-1-kept)
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != want.String() {
			t.Errorf("%d lines are kept (%v), and at the end it says %.100q", bytes.Count(got, []byte("\n")), err, got[max(0, len(got)-100):])
		}
		go func() { q.Close(); out.Close() }()
		write(5000, 5001)
		if got, err := io.ReadAll(reader); err != nil || string(got) != line(5000) && len(got) > 0 {
			t.Errorf("then come %.100q, %v", got, err)
		}
	})
}

// TestLogIsFlushed: what was logged before the end is written.
func TestLogIsFlushed(t *testing.T) {
	var out bytes.Buffer
	q := newQueue(&out, noticeOf)
	for i := range 1000 {
		fmt.Fprintln(q, i)
	}
	q.Close()
	if got := strings.Count(out.String(), "\n"); got != 1000 || !strings.HasSuffix(out.String(), "\n999\n") {
		t.Errorf("%d of 1000 lines are there", got)
	}
	fmt.Fprintln(q, "too late")
	q.Close()
	if strings.Contains(out.String(), "late") {
		t.Error("it writes after its end")
	}
}

// TestHeldLog: what is logged while something else is written comes after it, at
// the latest at the end.
func TestHeldLog(t *testing.T) {
	for name, end := range map[string]func(*queue){"release": (*queue).release, "Close": (*queue).Close} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			q := newQueue(&out, noticeOf)
			q.hold()
			fmt.Fprintln(q, "held")
			synctest.Wait()
			if out.Len() > 0 {
				t.Errorf("it writes %q before %s", &out, name)
			}
			end(q)
			synctest.Wait()
			if out.String() != "held\n" {
				t.Errorf("after %s it has written %q", name, &out)
			}
			q.Close()
		})
	}
}

// TestStalledLogEnds: a program whose log nobody reads ends all the same.
func TestStalledLogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, out := io.Pipe()
		q := newQueue(out, noticeOf)
		fmt.Fprintln(q, "unread")
		began := time.Now()
		q.Close()
		if took := time.Since(began); took != flushTime {
			t.Errorf("it took %v", took)
		}
		reader.Close()
	})
}
