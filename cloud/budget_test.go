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
	h.budget = &budget{registry: h.registry, rate: 2} // of another environment, which learns it with its first message
	h.must("MESSAGE", ann, "", "y")
	h.must("MESSAGE", ann, "", "y")
	if got := h.gateway.take(ann); len(got) != 2 || got[1] != told {
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
