package localdb

import (
	"os/exec"
	"syscall"
)

// guarded returns a command that does not end with ctrl-C. There is no shell here that would end it with its
// standard input.
func guarded(program string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(program, arguments...)
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
	return cmd
}

// end ends a guarded command whose standard input is closed.
func end(cmd *exec.Cmd) { cmd.Process.Kill() }
