//go:build unix

package lambda

import (
	"os"
	"syscall"
)

// terminate asks a process and its children to end.
func terminate(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGTERM) }

// kill ends a process and its children.
func kill(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
