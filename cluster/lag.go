package cluster

// A lag measures how many bytes of log a server has still to apply. It knows the
// sizes of the last maxLagCount batches.
type lag struct {
	from   uint64 // the place where counting began
	last   uint64
	totals []uint64 // of the bytes from there on, by place modulo maxLagCount
}

// reset begins to count after a place.
func (g *lag) reset(place uint64) {
	if g.totals == nil {
		g.totals = make([]uint64, maxLagCount)
	}
	g.from, g.last = place, place
	g.totals[place%maxLagCount] = 0
}

// add counts the next batch.
func (g *lag) add(size int) {
	total := g.total() + uint64(size)
	g.last++
	g.totals[g.last%maxLagCount] = total
}

// total returns the bytes that have been counted.
func (g *lag) total() uint64 { return g.totals[g.last%maxLagCount] }

// much reports whether a server that has applied the log up to a place lags so
// much that the others must wait. What was before counting began does not count.
func (g *lag) much(applied uint64) bool {
	applied = max(applied, g.from)
	if applied >= g.last {
		return false
	}
	return g.last-applied >= maxLagCount || g.total()-g.totals[applied%maxLagCount] > maxLag
}
