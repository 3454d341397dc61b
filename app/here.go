package app

import (
	"cmp"
	"slices"

	"crier/stamp"
)

// Here knows who is in a topic. It changes only by Add and Remove, so it is the
// same wherever the same guests have come and gone in the same order.
//
// The list that clients are told is the beginning of the list of all, as far as
// it fits. The others are counted. Clients are told about changes of that
// beginning, so that each of them can keep its own copy of it.
type Here struct {
	guests []*Guest       // those who came first are first
	same   map[string]int // how many connections a user has; nil while guests are none
	came   uint64         // how many guests have come so far

	shown int // guests[:shown] are told. Invariant: none of the others would fit
	bytes int // length of these in the list
}

// A Guest is one who is in a topic.
type Guest struct {
	ID   string
	User string // may be empty
	n    uint64 // its place in the order in which they came
	size int    // of its text in the list
}

// How many guests a list has at most, and how many bytes.
const (
	maxHere      = 1000
	maxHereBytes = 32 << 10
)

// Count returns how many guests there are.
func (h *Here) Count() int { return len(h.guests) }

// Same returns how many connections a user has.
func (h *Here) Same(user string) int { return h.same[user] }

// Told reports whether the others are told of a guest.
func (h *Here) Told(g *Guest) bool { return h.place(g) < h.shown }

func (h *Here) place(g *Guest) int {
	i, _ := slices.BinarySearchFunc(h.guests, g.n, func(g *Guest, n uint64) int { return cmp.Compare(g.n, n) })
	return i
}

// Others returns how many connections a user has besides the one that is there.
func (h *Here) Others(user string) int { return max(h.same[user]-1, 0) }

// Add adds a guest, who must not be there yet. It reports whether the others are
// to be told.
func (h *Here) Add(id, user string) (g *Guest, tell bool) {
	if h.same == nil {
		h.same = make(map[string]int)
	}
	h.came++
	g = &Guest{ID: id, User: user, n: h.came}
	g.size = len(g.append(nil)) + 1
	h.guests = append(h.guests, g)
	if user != "" {
		h.same[user]++
	}
	return g, len(h.show()) > 0
}

// Remove removes a guest. tell reports whether the others are to be told, and
// then that the guests in more have come: they are in the list from now on.
func (h *Here) Remove(g *Guest) (tell bool, more []*Guest) {
	i := h.place(g)
	h.guests = slices.Delete(h.guests, i, i+1)
	if g.User != "" {
		h.same[g.User]--
		if h.same[g.User] == 0 {
			delete(h.same, g.User)
		}
	}
	if tell = i < h.shown; tell {
		h.shown--
		h.bytes -= g.size
		more = h.show()
	}
	if len(h.guests) == 0 {
		*h = Here{came: h.came} // so that an empty topic takes little memory
	}
	return tell, more
}

// show shows as many more guests as fit.
func (h *Here) show() (more []*Guest) {
	first := h.shown
	for h.shown < min(len(h.guests), maxHere) && h.bytes+h.guests[h.shown].size <= maxHereBytes {
		h.bytes += h.guests[h.shown].size
		h.shown++
	}
	return h.guests[first:h.shown]
}

// Guests returns all guests, those who came first first, and how many of them
// are told. The caller must not change them.
func (h *Here) Guests() (all []*Guest, shown int) { return h.guests, h.shown }

// Restore adds the guests of another Here, in their order, to an empty one. shown
// is how many of them are told.
func (h *Here) Restore(all []Guest, shown int) (list []*Guest) {
	for _, g := range all {
		added, _ := h.Add(g.ID, g.User)
		list = append(list, added)
	}
	h.shown, h.bytes = min(shown, len(h.guests)), 0
	for _, g := range h.guests[:h.shown] {
		h.bytes += g.size
	}
	return list
}

// append appends the list.
func (h *Here) append(dst []byte) []byte {
	dst = append(dst, '[')
	for i, g := range h.guests[:h.shown] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = g.append(dst)
	}
	return append(dst, ']')
}

func (g *Guest) append(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = stamp.AppendString(dst, g.ID)
	if g.User != "" {
		dst = append(dst, `,"user":`...)
		dst = stamp.AppendString(dst, g.User)
	}
	return append(dst, '}')
}
