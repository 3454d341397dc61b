package wiretest

import (
	"strings"
	"testing"
	"time"
)

// TestLiveModel: the model answers as the transcripts say.
func TestLiveModel(t *testing.T) {
	testLive(t, newReference(t, 10*time.Second, 100).home())
}

// TestLivePropertyModel: the random test finds nothing wrong with the model.
func TestLivePropertyModel(t *testing.T) {
	newReference(t, 10*time.Second, 100).home().playAtRandom(t, 10*time.Second, time.Second)
}

// TestLiveExpiry plays at random with sessions that end soon.
func TestLiveExpiry(t *testing.T) {
	t.Parallel()
	const linger = 300 * time.Millisecond
	start(t, "--linger", linger.String()).playAtRandom(t, linger, *liveTime)
}

// TestLiveCrowd: hundreds come and go every second.
func TestLiveCrowd(t *testing.T) {
	staying, changing, length := 100, 20, time.Second
	if *liveTime >= time.Minute {
		staying, changing, length = 1500, 500, *liveTime/6
	}
	start(t, "--backlog", "64MiB").testLiveCrowd(t, staying, changing, length)
}

// TestLivePropertyFindsFaults: a server that is wrong in one small way is
// found out.
func TestLivePropertyFindsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	for name, find := range map[string]func(o output) bool{
		"a message is lost":        func(o output) bool { return strings.HasPrefix(o.frame, `{"n":1`) },
		"a join is lost":           func(o output) bool { return strings.HasPrefix(o.frame, `{"_join"`) },
		"a tied drop is lost":      func(o output) bool { return strings.Contains(o.frame, `"_tied":true,"_drop":true`) },
		"an answer is lost":        func(o output) bool { return o.stream == "error" },
		"a message to a topic":     func(o output) bool { return !o.answer && strings.Contains(o.frame, `"_keep":false`) },
		"a replay lacks something": func(o output) bool { return !o.answer && strings.HasSuffix(o.frame, `"_me":true}`) },
	} {
		for _, fault := range []string{"lost", "twice"} {
			t.Run(name+", "+fault, func(t *testing.T) {
				t.Parallel()
				r := newReference(t, time.Minute, 100)
				seen := 0
				r.fault = func(o output, again func()) bool {
					if !find(o) {
						return false
					}
					if seen++; seen%5 != 0 {
						return false
					}
					if fault == "twice" {
						again()
					}
					return fault == "lost"
				}
				r.mustBeFound(t)
			})
		}
	}
}

// mustBeFound plays until something is wrong.
func (r *reference) mustBeFound(t *testing.T) {
	t.Helper()
	for seed := range uint64(60) {
		if _, err := r.home().playSteps(time.Minute, liveSteps(seed+1, time.Minute)); err != nil {
			t.Logf("found with seed %d", seed+1)
			return
		}
	}
	t.Error("it is not found")
}
