//go:build linux

package chaos

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// outcome returns what became of a message.
func (m *sent) outcome() string {
	if m.told == "" {
		select {
		case fate := <-m.fate:
			m.told = fate.String()
		default:
			return "unknown"
		}
	}
	return m.told
}

// compare returns what is wrong with what everybody has received.
func (s *storm) compare() (faults []string) {
	all := slices.Concat(s.players, s.gone)
	for _, p := range all {
		p.mu.Lock()
		defer p.mu.Unlock()
		faults = append(faults, p.faults...)
	}
	books := make(map[string]*book)
	for _, p := range all {
		faults = append(faults, p.write(books)...)
	}
	faults = append(faults, s.order(books)...)
	for _, b := range books {
		sort.Strings(b.places)
	}
	for _, p := range s.players {
		faults = append(faults, p.read(books, true)...)
	}
	for _, p := range s.gone {
		faults = append(faults, p.read(books, false)...)
	}
	faults = append(faults, s.confirmed(books)...)
	faults = append(faults, s.together()...)
	return append(faults, s.talked()...)
}

// A book is everything that anybody has received of a topic, and that is kept.
type book struct {
	at     map[string]id
	places []string // sorted
}

// write adds what a player has received.
func (p *player) write(books map[string]*book) (faults []string) {
	for topic, list := range p.stretches {
		b := books[topic]
		if b == nil {
			b = &book{at: make(map[string]id)}
			books[topic] = b
		}
		for _, s := range list {
			for _, h := range s.list {
				switch have, ok := b.at[h.place]; {
				case !ok:
					b.at[h.place] = h.id
					b.places = append(b.places, h.place)
				case have != h.id:
					faults = append(faults, fmt.Sprintf("%s has %v at %s in %s, another player has %v", p.name, h.id, h.place, topic, have))
				}
			}
		}
	}
	return faults
}

// order checks that each message is at one place, and that those of each player
// are in the order in which it sent them.
func (s *storm) order(books map[string]*book) (faults []string) {
	type entry struct {
		place, topic string
		id           id
	}
	var all []entry
	for topic, b := range books {
		for at, i := range b.at {
			all = append(all, entry{at, topic, i})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return map[bool]int{true: -1, false: 1}[a.place < b.place]
	})
	last := make(map[string]entry)
	for i, e := range all {
		if i > 0 && all[i-1].place == e.place {
			faults = append(faults, fmt.Sprintf("%v and %v are both at %s", all[i-1].id, e.id, e.place))
		}
		if before := last[e.id.player]; before.id.n >= e.id.n {
			faults = append(faults, fmt.Sprintf("%v is at %s in %s, after %v at %s in %s", e.id, e.place, e.topic, before.id, before.place, before.topic))
		}
		last[e.id.player] = e
	}
	return faults
}

// read checks that a player has everything: from the beginning of each stretch to
// its end, and in the last one, if it is there still, to the end of all.
func (p *player) read(books map[string]*book, there bool) (faults []string) {
	for topic, list := range p.stretches {
		b := books[topic]
		for i, s := range list {
			places := b.places
			if s.after != "" {
				places = places[sort.SearchStrings(places, s.after+"0"):]
			} else if len(s.list) > 0 {
				places = places[sort.SearchStrings(places, s.list[0].place):]
			}
			if i < len(list)-1 || s.left || p.out[topic] || !there {
				end := s.after
				if n := len(s.list); n > 0 {
					end = s.list[n-1].place
				}
				places = places[:sort.SearchStrings(places, end+"0")]
			}
			have := make(map[string]bool)
			for _, h := range s.list {
				have[h.place] = true
			}
			for _, at := range places {
				if !have[at] {
					faults = append(faults, fmt.Sprintf("%s lacks %v at %s in %s", p.name, b.at[at], at, topic))
				}
			}
		}
	}
	return faults
}

// confirmed checks that what was confirmed is there, in topics in which somebody
// has been all the time: others in the busy ones, in the others the player itself.
func (s *storm) confirmed(books map[string]*book) (faults []string) {
	there := make(map[id]bool)
	for _, b := range books {
		for _, i := range b.at {
			there[i] = true
		}
	}
	for _, p := range slices.Concat(s.players, s.gone) {
		for n := range p.sent {
			m := &p.sent[n]
			kept := m.text.Keep == nil && m.text.Key == ""
			watched := strings.HasPrefix(m.text.Topic, "hot") || !p.leaves && !p.moved[m.text.Topic]
			switch outcome := m.outcome(); {
			case outcome == "confirmed" && kept && watched && !there[m.id]:
				faults = append(faults, fmt.Sprintf("%v to %s is confirmed, and nobody has it", m.id, m.text.Topic))
			case outcome == "rejected", outcome == "dropped" && !slices.Contains(s.gone, p):
				faults = append(faults, fmt.Sprintf("%v is %s", m.id, outcome))
			}
		}
	}
	return faults
}

// together checks what the players that are there know of each other, and of the
// state of each topic.
func (s *storm) together() (faults []string) {
	ids := make(map[string][]string)
	for _, p := range s.players {
		for _, topic := range p.topics {
			if len(p.here(topic)) > 0 {
				ids[topic] = append(ids[topic], p.client.ID())
			} else if !p.out[topic] {
				faults = append(faults, fmt.Sprintf("%s is not in %s", p.name, topic))
			}
		}
	}
	here, state := make(map[string][]string), make(map[string]string)
	for _, p := range s.players {
		for _, topic := range p.topics {
			got := p.here(topic)
			if len(got) == 0 {
				continue
			}
			if first, ok := here[topic]; !ok {
				here[topic], state[topic] = got, p.state(topic)
			} else if !slices.Equal(first, got) {
				faults = append(faults, fmt.Sprintf("%s sees %v in %s, another player sees %v", p.name, got, topic, first))
			} else if now := p.state(topic); now != state[topic] {
				faults = append(faults, fmt.Sprintf("%s has the state %s of %s, another player has %s", p.name, now, topic, state[topic]))
			}
			if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(ids[topic]))) {
				faults = append(faults, fmt.Sprintf("%s sees %v in %s, and %v are there", p.name, got, topic, ids[topic]))
			}
		}
	}
	return faults
}

// talked checks what clients of other apps have heard: all connections the same,
// for as long as both were there.
func (s *storm) talked() (faults []string) {
	heard := make(map[string][][]id)
	for _, o := range s.others {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, list := range o.heard {
			if len(list) > 0 {
				heard[o.app()] = append(heard[o.app()], list)
			}
		}
		for n := range o.sent {
			m := &o.sent[n]
			if m.outcome() == "confirmed" && !o.own[m.id] {
				faults = append(faults, fmt.Sprintf("%v is confirmed, and its copy has not come", m.id))
			}
		}
	}
	for app, lists := range heard {
		places := make([]map[id]int, len(lists))
		for i, list := range lists {
			places[i] = make(map[id]int)
			for n, m := range list {
				if _, double := places[i][m]; double {
					faults = append(faults, fmt.Sprintf("%v comes twice on a connection of %s", m, app))
				}
				places[i][m] = n
			}
		}
		for i, a := range lists {
			for j, b := range lists {
				from, ok := places[i][b[0]]
				if i == j || !ok {
					continue
				}
				n := min(len(a)-from, len(b))
				if !slices.Equal(a[from:from+n], b[:n]) {
					faults = append(faults, fmt.Sprintf("in %s one connection hears %v, another %v", app, differ(a[from:from+n], b[:n]), b[0]))
				}
			}
		}
	}
	return faults
}

// differ returns where two lists begin to differ.
func differ(a, b []id) string {
	for i := range a {
		if a[i] != b[i] {
			return fmt.Sprintf("%v where the other hears %v", a[max(0, i-2):min(len(a), i+3)], b[max(0, i-2):min(len(b), i+3)])
		}
	}
	return ""
}
