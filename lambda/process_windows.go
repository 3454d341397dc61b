package lambda

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return nil }

// terminate ends a process: there is no asking here.
func terminate(p *os.Process) { p.Kill() }

func kill(p *os.Process) { p.Kill() }
