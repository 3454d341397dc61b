package hub

// More reports whether Pending would return something.
func (m *Member) More() bool {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if len(m.out.rest) > 0 || len(m.news) > 0 {
		return true
	}
	return len(m.out.own) > 0 && m.out.own[0].seq <= m.shard.cut
}
