//go:build !linux

package serve

// systemMemory is how many bytes the process may have.
func systemMemory() int64 { return unknownMemory }
