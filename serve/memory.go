package serve

import (
	"math"
	"runtime/debug"
)

// mostMemory is how much is kept for clients by default on large machines.
const mostMemory = 256 << 20

// defaultMemory is how many bytes are kept for clients by default: a quarter of
// what the process may have. The rest is for connections, for the garbage
// collector, which lets the heap grow to twice what is in use, and for
// everything else.
func defaultMemory() int {
	most := min(systemMemory(), debug.SetMemoryLimit(-1)) // GOMEMLIMIT
	return int(min(most/4, mostMemory))
}

// unknownMemory is what systemMemory returns if it cannot tell.
const unknownMemory = math.MaxInt64
