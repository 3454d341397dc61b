package wiretest

import (
	"testing"
	"time"
)

// TestLiveModel: the model answers as the transcripts say.
func TestLiveModel(t *testing.T) {
	testLive(t, newReference(t, 10*time.Second, 100).home())
}
