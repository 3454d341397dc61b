package hub

import (
	"fmt"
	"regexp"
	"testing"
)

// TestOnlyPublishesCount: what happens on one server alone, such as a post, moves
// no number.
func TestOnlyPublishesCount(t *testing.T) {
	h := newHub(t, Config{Posts: 100, Memory: 1 << 20})
	s := newShard(h)
	ann, bob := join(s, "ann", "a"), join(s, "bob", "a")
	h.Retain(names("a")[0], Retention{Messages: 2, Bytes: 1000})
	var numbers []uint64
	for i := range 5 {
		var number uint64
		h.Publish(Publication{
			From: &ann.Member, Topics: names("a"), Keep: true, Number: &number,
			Frame: []byte("[012345678]"), NumberAt: 1,
			Echo: EchoCopy, Copy: []byte("[mine 012345678]"), CopyNumberAt: 6,
		})
		numbers = append(numbers, number)
		ann.Post([]byte("[post]"))
		ann.PostControl([]byte("<pong>"))
		bob.Post(make([]byte, 101)) // refused
		h.Publish(own(ann, "a", 300<<10))
		var series Series
		series.Add([]byte("[series]"))
		ann.PostAll(&series, nil)
		settle(s)
		text := string(AppendNumber(nil, uint64(i+1)))
		ann.want(t, "in order", "[mine "+text+"][post]<pong>[series]")
		bob.want(t, "of others", "["+text+"]")
	}
	bob.Finish([]byte("[bye]"), false)
	if got := fmt.Sprint(numbers); got != "[1 2 3 4 5]" || h.Head() != 5 {
		t.Errorf("the numbers are %s, the head is %d", got, h.Head())
	}
	a := names("a")[0]
	if h.Lost(a) != 3 {
		t.Errorf("lost up to %d, want 3", h.Lost(a))
	}
	for k := range h.History(a, 4) {
		if k.Number != 5 {
			t.Errorf("after 4 comes %d", k.Number)
		}
	}
	h.Forget(a, 4)
	if got := kept(h, "a", 0); got != "["+string(AppendNumber(nil, 5))+"]" {
		t.Errorf("after 4 messages are forgotten: %s", got)
	}
	settle(s)
	bob.want(t, "the last frame", "[bye]")
}

// TestPostsBetweenPublishes: posts between the same two publishes keep their
// order, with the frames that are not messages among them. These overtake only
// where a batch is full.
func TestPostsBetweenPublishes(t *testing.T) {
	pings := regexp.MustCompile("<ping .>")
	for _, size := range []int{1, 10, 20, 30, 50, 100, 1 << 20} {
		h := newHub(t, Config{})
		s := newShard(h)
		ann := join(s, "ann", "a", "b")
		want := ""
		for i := range 5 {
			h.Publish(Publication{From: &ann.Member, Topics: names("a"), Frame: []byte("[others]"), Echo: EchoCopy, Copy: fmt.Appendf(nil, "[mine %d]", i)})
			h.Publish(Publication{Topics: names("a", "b"), Frame: fmt.Appendf(nil, "[both %d]", i)})
			want += fmt.Sprintf("[mine %d][both %d]", i, i)
			for k := range 3 {
				if k == 1 {
					settle(s) // what comes now is after the cut, with the same seq
				}
				ann.Post(fmt.Appendf(nil, "[post %d]", k))
				ann.PostControl(fmt.Appendf(nil, "<ping %d>", k))
				want += fmt.Sprintf("[post %d]<ping %d>", k, k)
			}
		}
		settle(s)
		for ann.More() {
			ann.offer(size)
			ann.take(1 << 20)
		}
		got := string(ann.stream)
		if size < len(want) {
			got, want = pings.ReplaceAllString(got, ""), pings.ReplaceAllString(want, "")
		}
		if got != want {
			t.Fatalf("in batches of %d bytes: %s, want %s", size, got, want)
		}
	}
}

// TestNumbersOnTwoServers: two hubs that are given the same publishes number
// them in the same way, whatever members each of them has.
func TestNumbersOnTwoServers(t *testing.T) {
	crowded, empty := newHub(t, Config{}), newHub(t, Config{})
	s := newShard(crowded)
	ann := join(s, "ann", "a", "b")
	for i := range 10 {
		p := Publication{Topics: names("a", "b")[i%2:], Frame: []byte("[x]")}
		if i%3 == 0 {
			p.Topics = names("nobody is here")
		}
		atCrowded, atEmpty := p, p
		if i%2 == 0 {
			atCrowded.From, atCrowded.Echo = &ann.Member, EchoNone
		}
		var number uint64
		atEmpty.Number = &number
		if err := crowded.Publish(atCrowded); err != nil {
			t.Fatal(err)
		}
		if err := empty.Publish(atEmpty); err != nil {
			t.Fatal(err)
		}
		ann.Post([]byte("[post]"))
		settle(s)
		ann.readAll()
		if want := uint64(i + 1); number != want || crowded.Head() != want || empty.Head() != want {
			t.Fatalf("message %d has the number %d; the heads are %d and %d", want, number, crowded.Head(), empty.Head())
		}
	}
}
