//go:build unix

package localdb

import (
	"os/exec"
	"syscall"
)

// guard runs a program that takes no notice of its standard input, and ends it when that ends. If the program ends
// first, so does the guard, which then must not kill a number that may be another's.
const guard = `
exec 3<&0
"$@" </dev/null 3<&- & program=$!
{ cat <&3; kill -KILL $program; } >/dev/null 2>&1 & watch=$!
wait $program; status=$?
kill $watch 2>/dev/null
exit $status`

// guarded returns a command that ends with its standard input, and not with ctrl-C.
func guarded(program string, arguments ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", guard, "sh", program}, arguments...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// end ends a guarded command whose standard input is closed.
func end(*exec.Cmd) {}
