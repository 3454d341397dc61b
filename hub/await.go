package hub

// Await makes the next [Hub.Resume] wake m's shard, as if a publish of m had been
// refused with ErrBusy. It is for callers that refuse their members themselves.
func (h *Hub) Await(m *Member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse(m)
}

// Resume wakes everything that was refused, here or by callers of Await.
func (h *Hub) Resume() {
	h.mu.Lock()
	defer h.unlock()
	h.reconsider()
}

// HoldAnyway takes n bytes of the logs' memory even if fewer are left.
func (h *Hub) HoldAnyway(n int) {
	h.mu.Lock()
	defer h.unlock()
	h.retained += n
	if n < 0 {
		h.reconsider()
	}
}
