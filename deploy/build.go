package deploy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build makes the function's code of crier's sources, for arm64. It needs a Go toolchain and, as the current directory,
// a clone of crier.
func Build(ctx context.Context) (Code, error) {
	dir, err := os.MkdirTemp("", "crier-")
	if err != nil {
		return Code{}, fmt.Errorf("building the function: %w", err)
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, bootstrap)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "crier/cmd/crier")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	var says bytes.Buffer
	cmd.Stderr = &says
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return Code{}, ErrInterrupted
		}
		return Code{}, fmt.Errorf("building the function: %w\n%s", err, strings.TrimSpace(says.String()))
	}
	return CodeOf(binary)
}
