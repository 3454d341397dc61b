//go:build race

package wiretest

// slowdown is how many times less the large tests do: the race detector is watching.
const slowdown = 5
