package client

import (
	"bytes"
	"container/list"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"

	"crier/stamp"
)

const (
	mostSenders = 1000 // senders whose ids are remembered
	mostIDs     = 8192 // ids of each sender: many more than can be on their way at once
)

// ids are the ids received.
type ids struct {
	last   map[string]*list.Element
	recent list.List // of heard; the most recent sender is last
}

// heard are the ids received from one sender. On API Gateway they overtake each
// other.
type heard struct {
	name  string
	count uint64               // the last
	seen  [mostIDs / 64]uint64 // bit n%mostIDs is for id n, from count-mostIDs+1 on
}

func newIDs() ids { return ids{last: make(map[string]*list.Element)} }

// again checks a message's id, and reports whether the message was not received
// before. If it is our own, it confirms it and all before it.
func (c *Client) again(data []byte, mine *bool) (first bool) {
	if !bytes.Contains(data, []byte(`"_id":"`)) {
		*mine = isMine(data)
		return true
	}
	id, _ := stamp.String([]byte(member(data, "_id")))
	name, count, ok := parseID(id)
	if !ok {
		return true
	}
	if name == c.name {
		if count > c.count {
			return true // another client uses our id
		}
		*mine = true // an earlier connection of ours may have sent it
		c.confirmID(count)
	}
	return c.remember(name, count)
}

// remember stores an id, and reports whether it is new.
func (s *ids) remember(name string, count uint64) bool {
	at, ok := s.last[name]
	if !ok {
		if s.recent.Len() == mostSenders {
			delete(s.last, s.recent.Remove(s.recent.Front()).(*heard).name)
		}
		at = s.recent.PushBack(&heard{name: name, count: count})
		s.last[name] = at
	}
	s.recent.MoveToBack(at)
	return at.Value.(*heard).note(count)
}

// note stores a count, and reports whether it is new.
func (h *heard) note(count uint64) bool {
	if count < h.count && h.count-count >= mostIDs {
		return false // too old to be remembered
	}
	for n := max(h.count, count-min(count, mostIDs)); n < count; {
		n++
		h.seen[n%mostIDs/64] &^= 1 << (n % 64)
	}
	h.count = max(h.count, count)
	bit := &h.seen[count%mostIDs/64]
	if *bit>>(count%64)&1 == 1 {
		return false
	}
	*bit |= 1 << (count % 64)
	return true
}

// parseID reads an id such as k3x9q2ab-17.
func parseID(id string) (name string, count uint64, ok bool) {
	name, digits, ok := strings.Cut(id, "-")
	if !ok || name == "" || strings.Trim(name, "0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", 0, false
	}
	count, err := strconv.ParseUint(digits, 10, 64)
	return name, count, err == nil && len(digits) <= 15 // JavaScript's numbers have no more
}

func newName() string { return strings.ToLower(rand.Text()[:8]) }

// named returns what the server makes of a message, before its stamps, with an
// id.
func (o *outbox) named(m *message) []byte {
	if m.id == 0 {
		o.count++
		m.id = o.count
	}
	return withMembers(m.data, fmt.Sprintf(`"_id":"%s-%d"`, o.name, m.id))
}

// withMembers returns what the server makes of text, before its stamps, with
// members such as `"a":1,"b":2`.
func withMembers(text []byte, members string) []byte {
	var object []byte
	if stamp.Object(text, nil, nil) {
		object = bytes.TrimSuffix(bytes.TrimSpace(text), []byte("}"))
		if object = append([]byte(nil), object...); len(bytes.TrimSpace(object)) > len("{") {
			object = append(object, ',')
		}
	} else {
		object, _ = stamp.Stamp{}.Append(nil, text)
		object = bytes.TrimSuffix(object, []byte(`"_now":0,"_me":false}`))
	}
	return append(append(object, members...), '}')
}
