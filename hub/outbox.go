package hub

// A private is a frame for one member alone. It is either a post, or the
// member's own copy of what it published. A copy has the same seq as the entry
// in the log. A private can also be a series of frames.
type private struct {
	seq    uint64
	frame  []byte // empty: the member wants no copy, or it is a series
	series *Series
	place  uint32 // a number from Member.places
	post   bool   // it counts against Config.Posts
	quiet  bool   // it is not counted as a message
	last   bool   // it is the member's last frame
}

// size is how much of the budget a private takes, in bytes.
func (p *private) size() int {
	if p.series != nil {
		return p.series.size() + privateOverhead
	}
	return len(p.frame) + privateOverhead
}

// privateOverhead is how much a private takes in addition to its frame, in
// bytes.
const privateOverhead = 48

// An outbox holds what waits for one member alone. Most members have no such
// frames most of the time.
type outbox struct {
	rest    []byte    // the unwritten end of a frame that was written in part
	control []private // frames that may overtake messages; in order, like own
	own     []private
	posts   int // bytes of posts in control and own
	copies  int // bytes of copies in own
	series  int // bytes of series in own
}

func (o *outbox) empty() bool { return len(o.rest)+len(o.control)+len(o.own) == 0 }

// size is how much of the budget the frames in the outbox take. It may be a
// little too high.
func (o *outbox) size() int {
	return o.posts + o.copies + o.series + (len(o.control)+len(o.own))*privateOverhead
}

// nothing is the outbox of all members whose outbox is empty. It is never
// written to.
var nothing outbox

func (m *Member) placed(p private) private {
	m.places++
	p.place = m.places
	return p
}

// before reports whether p was put into the outbox before q.
func (p *private) before(q *private) bool { return int32(p.place-q.place) < 0 }

// boxed returns m's outbox for writing. It requires the shard to be locked.
func (m *Member) boxed() *outbox {
	if m.out == &nothing {
		s := m.shard
		if n := len(s.boxes); n > 0 {
			m.out, s.boxes = s.boxes[n-1], s.boxes[:n-1]
		} else {
			m.out = new(outbox)
		}
	}
	return m.out
}

// maxOwn is how many frames the lists of an outbox may have room for if it is
// kept for the next member.
const maxOwn = 64

// unbox gives the outbox back if it is empty. It requires the shard to be
// locked.
func (m *Member) unbox() {
	if m.out == &nothing || !m.out.empty() {
		return
	}
	s := m.shard
	if cap(m.out.own) <= maxOwn && cap(m.out.control) <= maxOwn && len(s.boxes) < maxBoxes {
		m.out.rest = nil
		s.boxes = append(s.boxes, m.out)
	}
	m.out = &nothing
}
