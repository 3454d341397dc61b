package cluster

// A Machine is what a log's events are applied to. Its methods are called one at
// a time. They must not wait, and must not ask a clock, the order of a map, or
// anything else that differs between servers for what they do to the state.
type Machine interface {
	// Apply applies the next event. The event is valid until Apply returns.
	Apply(e *Event)
	// Save appends the state, as Restore takes it. The same state has the same
	// bytes on all servers.
	Save(dst []byte) []byte
	// Restore replaces the state with one that Save returned. Empty data means
	// the state before all events.
	Restore(data []byte) error
	// CutOff is called when this server's incarnation has ended against its
	// will: its clients must go to other servers. What it has appended and has
	// not seen applied is lost, and is reported before as Lost.
	CutOff(why error)
}

// An Event is what a machine is given.
type Event struct {
	Kind   Kind
	Server Server // that wrote the record or the tick, or that came or left
	Now    int64  // the time of the log in milliseconds since 1970; it never goes back
	Beat   uint64 // how many seconds the log has seen
	Data   []byte // of a Record
	Own    any    // of a Record or Lost: what Append was given, if it was this server's incarnation; otherwise nil
}

// A Kind is what an event says.
type Kind uint8

const (
	Record Kind = iota + 1 // Data, which a server has appended
	Beat                   // a second has passed
	Came                   // a server begins
	Left                   // a server has ended, or is dead: what belongs to it has no server any more
	Lost                   // only on the server that has appended it: a record will never be applied
)

// A Server is an incarnation of a server. No two have the same number.
type Server uint64
