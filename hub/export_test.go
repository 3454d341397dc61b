package hub

// More reports whether Pending would return something.
func (m *Member) More() bool {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if len(m.out.rest)+len(m.news)+int(m.missed) > 0 {
		return true
	}
	return min(first(m.out.own), first(m.out.control)) <= m.shard.cut
}
