package lambda

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNothingIsLeftBehind: neither the processes nor their children outlive the function.
func TestNothingIsLeftBehind(t *testing.T) {
	f := openFunction(t, "node", "index.child", nil)
	answer, err := f.invoke(t, "{}")
	if err != nil {
		t.Fatal(err)
	}
	var child int
	fmt.Sscan(answer, &child)
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatalf("the child %d: %v", child, err)
	}
	f.Close()
	for deadline := time.Now().Add(patience); alive(child); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the child %d lives on", child)
		}
	}
	if _, err := f.Invoke(context.Background(), nil); !errors.Is(err, errClosed) {
		t.Errorf("a closed function says %v", err)
	}
}

// alive reports whether a process is there and not just waiting for its parent to notice.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
