package cloud

import "syscall"

// isQuiet reports whether nothing has come on a connection: here it is not known. Functions run on Linux.
func isQuiet(syscall.RawConn) bool { return true }
