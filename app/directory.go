package app

import "crier/stamp"

// Directory is the app at /directory. A client that sends anything gets the
// list of connections. The others get nothing.
type Directory struct{}

// Handle implements App.
func (Directory) Handle(dst []Effect, ev Event) []Effect {
	switch ev.Kind {
	case Connect:
		return subscribe(dst, Everyone)
	case Message:
		dst, e := add(dst, PostMembers)
		e.Topic = Everyone
		return dst
	}
	return dst
}

// MaxMembers is how many connections a list of members names at most: as many
// as fit in a message of 128 KiB.
const MaxMembers = 3400

// AppendMembers appends the list of a topic's members, in the form of a table
// scan:
//
//	{"Items":[{"connectionId":"JC1dgf9yoAMCK-g="}],"Count":1,"ScannedCount":1}
//
// As in a scan, LastEvaluatedKey is added at the end when there are more
// members than are listed.
func AppendMembers(dst []byte, ids []string, more bool) []byte {
	dst = append(dst, `{"Items":[`...)
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendKey(dst, id)
	}
	dst = append(dst, `],"Count":`...)
	dst = appendInt(dst, len(ids))
	dst = append(dst, `,"ScannedCount":`...)
	dst = appendInt(dst, len(ids))
	if more && len(ids) > 0 {
		dst = append(dst, `,"LastEvaluatedKey":`...)
		dst = appendKey(dst, ids[len(ids)-1])
	}
	return append(dst, '}')
}

func appendKey(dst []byte, id string) []byte {
	dst = append(dst, `{"connectionId":`...)
	dst = stamp.AppendString(dst, id)
	return append(dst, '}')
}
