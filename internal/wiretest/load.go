package wiretest

import (
	"flag"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

var loadTime = flag.Duration("load", 2*time.Second, "for how long the load test publishes; the full test takes 60s")

const (
	subscribers = 1000 / slowdown
	publishers  = 300 / slowdown // of the subscribers
	perSecond   = 10             // messages of each publisher
)

// testLoad: a thousand subscribers, three hundred of whom publish ten messages a second. Each gets every message once, in
// its publisher's order, its own as its own; and the server's memory stays as it is.
func testLoad(t *testing.T, s server) {
	list := s.subscribe(t, "/?topic="+unique("load"))
	rounds := max(1, int(loadTime.Seconds()*perSecond))
	start := time.Now()
	heard := listenAll(t, list, rounds*publishers)
	watched := s.watchMemory(*loadTime)
	if err := publish(list[:publishers], rounds); err != nil {
		t.Error(err)
	}
	published := time.Since(start)
	heard()
	took := time.Since(start)
	memory := watched()
	if t.Failed() {
		return
	}
	if err := list[0].say(rounds); err != nil {
		t.Fatal(err)
	}
	listenAll(t, list, rounds*publishers+1)() // one more, and nothing twice before it
	t.Logf("%d messages in %v to %d subscribers: %d deliveries in %v", publishers*rounds, published.Round(time.Millisecond),
		len(list), publishers*rounds*len(list), took.Round(time.Millisecond))
	if err := flat(memory); err != nil {
		t.Error(err)
	}
}

// A subscriber checks what it hears as it comes, without copying it or making garbage: there are three million messages
// a second, and the server needs the processor, too.
type subscriber struct {
	number int
	nc     net.Conn
	heard  int
	next   [publishers]int // the number that each publisher says next
	buf    []byte
	have   int // buf[:have] has come and has yet to be looked at
}

// subscribe connects the subscribers to a path.
func (s server) subscribe(t *testing.T, path string) []*subscriber {
	t.Helper()
	list := make([]*subscriber, subscribers)
	for i := range list {
		nc, in, err := s.shake(path)
		if err != nil {
			t.Fatalf("subscriber %d: %v", i, err)
		}
		t.Cleanup(func() { nc.Close() })
		if in.Buffered() > 0 {
			t.Fatalf("subscriber %d heard something before anything was said", i)
		}
		nc.SetDeadline(time.Now().Add(*loadTime + 3*patience))
		list[i] = &subscriber{number: i, nc: nc, buf: make([]byte, 8<<10)}
	}
	return list
}

// Messages have one length and so one layout. Stamped, they are as here, but for the numbers and what follows:
const (
	layout   = `{"from":%d,"n":%d,"pad":".............."}`
	template = `{"from":1017,"n":100042,"pad":"..............","_now":1561016329388,"_me":`

	firstFrom, firstN = 1000, 100_000

	fromAt, fromEnd = len(`{"from":`), fromAt + len("1017")
	nAt, nEnd       = fromEnd + len(`,"n":`), nAt + len("100042")
	nowAt, nowEnd   = nEnd + len(`,"pad":"..............","_now":`), nowAt + len("1561016329388")
	meAt            = len(template)

	frameBegin = 2 // bytes before a payload of up to 125
)

// say publishes the subscriber's message of that number.
func (sub *subscriber) say(n int) error {
	_, err := sub.nc.Write(appendFrame(nil, true, opText, fmt.Appendf(nil, layout, firstFrom+sub.number, firstN+n)))
	return err
}

// publish has each publisher say one message in each of the rounds, evenly spread.
func publish(list []*subscriber, rounds int) error {
	interval := time.Second / time.Duration(perSecond*len(list))
	start := time.Now()
	pace := time.NewTimer(0)
	for i := range rounds * len(list) {
		if wait := time.Until(start.Add(time.Duration(i) * interval)); wait > time.Millisecond {
			pace.Reset(wait)
			<-pace.C
		}
		if err := list[i%len(list)].say(i / len(list)); err != nil {
			return fmt.Errorf("publisher %d, message %d: %w", i%len(list), i/len(list), err)
		}
	}
	return nil
}

// listenAll has all of them listen until each has heard total messages; the function that it returns waits for that.
func listenAll(t *testing.T, list []*subscriber, total int) (wait func()) {
	var listening sync.WaitGroup
	for _, sub := range list {
		listening.Go(func() {
			if err := sub.listen(total); err != nil {
				t.Errorf("subscriber %d, after %d messages: %v", sub.number, sub.heard, err)
			}
		})
	}
	return listening.Wait
}

// listen reads until total messages have been heard.
func (sub *subscriber) listen(total int) error {
	for sub.heard < total {
		used, err := sub.take(sub.buf[:sub.have])
		if err != nil {
			return err
		}
		sub.have = copy(sub.buf, sub.buf[used:sub.have])
		if sub.heard >= total {
			break
		}
		n, err := sub.nc.Read(sub.buf[sub.have:])
		if n == 0 && err != nil {
			return noEOF(err)
		}
		sub.have += n
	}
	if sub.have > 0 {
		return fmt.Errorf("more than all there is: % x", sub.buf[:sub.have])
	}
	return nil
}

// take looks at the frames that b holds whole and returns their length. All are short.
func (sub *subscriber) take(b []byte) (used int, err error) {
	for len(b) >= frameBegin {
		size := frameBegin + int(b[1])
		if len(b) < size {
			break
		}
		if err := sub.hear(b[0], b[frameBegin:size]); err != nil {
			return used, err
		}
		used += size
		b = b[size:]
	}
	return used, nil
}

func (sub *subscriber) hear(first byte, payload []byte) error {
	switch {
	case first == 0x80|opPing: // the server asks whether somebody is there
		_, err := sub.nc.Write(appendFrame(nil, true, opPong, payload))
		return err
	case first != 0x80|opText || !sub.check(payload):
		return fmt.Errorf("heard %02x %q", first, payload)
	}
	sub.heard++
	return nil
}

// check reports whether a message is the next of its publisher, and marked as it should be.
func (sub *subscriber) check(m []byte) bool {
	if len(m) < meAt || string(m[:fromAt]) != template[:fromAt] || string(m[fromEnd:nAt]) != template[fromEnd:nAt] ||
		string(m[nEnd:nowAt]) != template[nEnd:nowAt] || string(m[nowEnd:meAt]) != template[nowEnd:] {
		return false
	}
	from, n := digits(m[fromAt:fromEnd])-firstFrom, digits(m[nAt:nEnd])-firstN
	if from < 0 || from >= publishers || n != sub.next[from] {
		return false
	}
	sub.next[from]++
	if from == sub.number {
		return string(m[meAt:]) == "true}"
	}
	return string(m[meAt:]) == "false}"
}

func digits(b []byte) (n int) {
	for _, c := range b {
		n = n*10 + int(c-'0')
	}
	return n
}

// watchMemory asks for the server's memory, again and again over about that time, until the function that it returns is called.
func (s server) watchMemory(d time.Duration) (stop func() []float64) {
	var sizes []float64
	var watching sync.WaitGroup
	done := make(chan struct{})
	watching.Go(func() {
		again := time.NewTicker(d / 40)
		defer again.Stop()
		for {
			select {
			case <-done:
				return
			case <-again.C:
				if m, err := s.readMetrics(); err == nil {
					sizes = append(sizes, m.memory())
				}
			}
		}
	})
	return func() []float64 {
		close(done)
		watching.Wait()
		return sizes
	}
}

// flat reports whether memory, once warm, grows: the second half of the time should need hardly more than the first.
func flat(sizes []float64) error {
	half := len(sizes) / 2
	if half == 0 || slices.Min(sizes) == 0 {
		return fmt.Errorf("the server does not tell its memory: %s is not in /metrics", memoryMetric)
	}
	warm, end := slices.Max(sizes[:half]), slices.Max(sizes[half:])
	if end > warm*1.25+8<<20 {
		return fmt.Errorf("memory grows from %.1f MiB when warm to %.1f MiB: %.0f", warm/(1<<20), end/(1<<20), sizes)
	}
	return nil
}
