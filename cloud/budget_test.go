package cloud

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

// TestBudget: a firehose is cut off when the minute's messages are used up, in all environments, and its sender is told. A
// minute later it goes on.
func TestBudget(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(20)
	h.budget.rate = 2 // 120 a minute
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	told := `{"message": "this stack sends no more messages in this minute: 2 a second are its limit, on average", "connectionId":"` + ann + `", "requestId":"request"}`
	for range 6 {
		h.must("MESSAGE", ann, "", "x")
		now = now.Add(reportEvery)
	}
	if got := h.gateway.take(ann); len(got) != 6 {
		t.Fatalf("got %q", got)
	}
	h.must("MESSAGE", ann, "", "x")
	h.hears(ann, told)
	if got := h.gateway.take(bob); len(got) != 6 {
		t.Errorf("bob got %q", got)
	}
	h.poster = newPoster(credentials.NewStaticCredentialsProvider("AKID", "secret", ""), "us-east-1")
	h.budget = &budget{registry: h.registry, rate: 2} // of another environment, which asks the table
	h.must("MESSAGE", ann, "", "y")
	if got := h.gateway.take(ann); len(got) != 1 || got[0] != told {
		t.Errorf("in another environment: %q", got)
	}
	now = now.Add(time.Minute)
	h.must("MESSAGE", ann, "", "z")
	if got := h.gateway.take(ann); len(got) != 1 || !strings.Contains(got[0], `"z"`) {
		t.Errorf("a minute later: %q", got)
	}
}

func TestUnits(t *testing.T) {
	for size, want := range map[int]int64{0: 1, 1: 1, billed: 1, billed + 1: 2, 4 * billed: 4} {
		if got := units(size); got != want {
			t.Errorf("%d bytes: %d, want %d", size, got, want)
		}
	}
}

// TestBudgetOfCrowds: one message to a crowd does not take more than what is left, and neither does what is handed over.
func TestBudgetOfCrowds(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(200)
	h.budget.rate = 2 // 120 a minute
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	heard := func() (n int) {
		for i := range 200 {
			n += len(h.gateway.take(idOf(i + 1)))
		}
		return n
	}
	h.must("MESSAGE", ann, "", "x")
	if n := heard(); n < 120 || n > 122 { // the sender's copy, and what it is told
		t.Errorf("%d messages were sent", n)
	}
	now = now.Add(time.Minute)
	h.audience, h.stride = 50, 50
	h.must("MESSAGE", ann, "", "x")
	for len(h.rests) > 0 {
		next := h.rests[0]
		h.rests = h.rests[1:]
		if _, err := h.Invoke(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	if n := heard(); n < 119 || n > 122 {
		t.Errorf("%d messages were sent by several", n)
	}
}
