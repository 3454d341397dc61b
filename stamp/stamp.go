package stamp

import "slices"

// A Stamp is what the server adds to a message.
type Stamp struct {
	// Now is the time, in milliseconds since 1970 began in UTC.
	Now int64
	// Topic is where the message was sent. If it is empty there is no _topic
	// stamp, and a _topic of the client's own is a member like any other.
	Topic string
	// Name is the member that holds a message which is neither an object nor
	// an array nor null; "data" if empty. It must not be the name of a stamp.
	Name string
}

// Append appends the stamped form of data to dst: what everyone but the sender
// gets. The message is out[len(dst):], and me counts from its first byte:
//
//	others := out[len(dst):]
//	others[me:me+5]                              // is the word false
//	others[:me] + "true" + others[me+5:]         // is the sender's copy
//
// Data and the spare capacity of dst must not overlap. Append may grow dst even
// if the message would just have fitted; 64 bytes more than data, Topic and
// Name are room enough for what has little to escape.
func (s Stamp) Append(dst, data []byte) (out []byte, me int) {
	// All but the client's and the server's words takes at most 64 bytes, so
	// this is enough unless there is much to escape, or an array to number.
	dst = slices.Grow(dst, len(data)+len(s.Topic)+len(s.Name)+64)
	f := frame{Stamp: s, out: dst}
	if !f.json(data) {
		// What f has written so far is beyond dst, and forgotten.
		f = frame{Stamp: s, out: dst}
		f.text(data)
	}
	return f.out, f.me - len(dst)
}

// AppendMine appends the sender's copy of a message to dst. Others and me are
// what [Stamp.Append] made: the message from its first byte, and where it says
// false.
func AppendMine(dst, others []byte, me int) []byte {
	dst = slices.Grow(dst, len(others)-1)
	dst = append(dst, others[:me]...)
	dst = append(dst, "true"...)
	return append(dst, others[me+len("false"):]...)
}
