package app

import "strconv"

// Rights say what a client may do in a topic. [Everyone] is one, too.
type Rights interface {
	MayHear(topic string) bool
	MaySay(topic string) bool
}

// Restrict makes of the effects of an event those that the client has a right to.
// If it asks for something that it has no right to, nothing of it happens: the
// only effect is a Forbid.
//
// A client that may say something in a topic, but not hear it, is not subscribed
// to it: Mute takes the place of Subscribe.
func Restrict(effects []Effect, ev Event, rights Rights) []Effect {
	if ev.Kind == Disconnect {
		return effects // what the others are told
	}
	for i := range effects {
		e := &effects[i]
		switch e.Do {
		case Subscribe:
			switch {
			case rights.MayHear(e.Topic):
			case ev.Kind == Connect && rights.MaySay(e.Topic):
				e.Do = Mute
			default:
				return forbid(effects, "hear", e.Topic)
			}
		case PostMembers:
			if !rights.MayHear(e.Topic) {
				return forbid(effects, "hear", e.Topic)
			}
		case Publish:
			if e.Topics == nil && len(ev.Conn.Mute) > 0 {
				e.Topics = append(append(e.names[:0], ev.Conn.Topics...), ev.Conn.Mute...)
				if len(e.Topics) > MaxReach {
					return reject(effects[:0], tooFar)
				}
			}
			topics := e.Topics
			if topics == nil {
				topics = ev.Conn.Topics
			}
			for _, topic := range topics {
				if !rights.MaySay(topic) {
					return forbid(effects, "say anything in", topic)
				}
			}
		}
	}
	return effects
}

// Restrict refuses what a client asks for and has no right to.
func (o *Order) Restrict(rights Rights) {
	switch {
	case o.Do == Enter && !rights.MayHear(o.Topic):
		o.refuse(forbidden, noRight("hear", o.Topic))
	case (o.Do == Say || o.Do == Tell) && !rights.MaySay(o.Topic):
		o.refuse(forbidden, noRight("say anything in", o.Topic))
	}
}

// Unheard returns a sentence if a client may not hear all the topics that it wants
// to be in, and an empty text otherwise.
func (a *Address) Unheard(rights Rights) (wrong string) {
	for _, e := range a.Entries {
		if !rights.MayHear(e.Topic) {
			return noRight("hear", e.Topic)
		}
	}
	return ""
}

func forbid(effects []Effect, what, topic string) []Effect {
	sentence := noRight(what, topic)
	effects, e := add(effects[:0], Forbid)
	e.Data = append(e.buf, sentence...)
	return effects
}

// noRight returns a sentence about a right that a client does not have.
func noRight(what, topic string) string {
	if topic == Everyone {
		if what == "hear" {
			return "you may not hear what everyone does; name a topic"
		}
		return "you may not say anything to everyone; name a topic"
	}
	return "you may not " + what + " the topic " + strconv.Quote(topic)
}
