package serve

import (
	"context"
	"encoding/json"
	"time"

	"crier/door"
	"crier/hub"
)

// A question is what a server asks all others. It travels as JSON. Those who are
// asked have applied what the asking one had applied.
type question struct {
	About about   `json:"about"`
	ID    string  `json:"id,omitempty"`
	App   string  `json:"app,omitempty"`
	Topic *string `json:"topic,omitempty"`
	Data  []byte  `json:"data,omitempty"`
}

// An about is what a question is about.
type about string

const (
	aboutPost        about = "post"        // to the connection of that id
	aboutInfo        about = "info"        // of the connection of that id
	aboutClose       about = "close"       // the connection of that id
	aboutConnections about = "connections" // of an app, or of a topic
	aboutTopics      about = "topics"      // of an app
	aboutRemove      about = "remove"      // a topic
	aboutMembers     about = "members"     // their ids
	aboutAudience    about = "audience"    // how many members topics of an app have
	aboutStats       about = "stats"
	aboutNothing     about = "nothing" // else than that they have come so far
)

// A reply is an answer. It has what its question is about.
type reply struct {
	Found   bool         `json:"found,omitempty"`
	Full    bool         `json:"full,omitempty"` // a post found its connection, but no room
	Info    *door.Info   `json:"info,omitempty"`
	List    []door.Info  `json:"list,omitempty"`
	Topics  []door.Topic `json:"topics,omitempty"`
	Members []string     `json:"members,omitempty"`
	Count   int          `json:"count,omitempty"`
	Stats   *door.Stats  `json:"stats,omitempty"`
}

const (
	// askTimeout is how long other servers have to answer.
	askTimeout = 2 * time.Second
	// countTimeout is how long they have to say how many get a message that is
	// published already.
	countTimeout = 500 * time.Millisecond
)

// ask asks all other servers. It returns their answers, and how many servers
// there are, with this one.
func (h *home) ask(ctx context.Context, q *question) (replies []reply, servers int) {
	if h.shared == nil {
		return nil, 1
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	text, _ := json.Marshal(q)
	answers, servers := h.shared.Ask(ctx, text)
	for _, answer := range answers {
		var r reply
		if json.Unmarshal(answer, &r) == nil {
			replies = append(replies, r)
		}
	}
	return replies, servers
}

// answer answers a question of another server.
func (h *home) answer(text []byte) []byte {
	var q question
	if json.Unmarshal(text, &q) != nil {
		return nil
	}
	if q.Topic == nil && (q.About == aboutRemove || q.About == aboutMembers) {
		return nil
	}
	var r reply
	switch q.About {
	case aboutPost:
		no := h.postHere(q.ID, q.Data)
		r.Found, r.Full = no == nil, no == &door.Full
	case aboutInfo:
		if info, ok := h.infoHere(q.ID); ok {
			r.Info = &info
		}
	case aboutClose:
		r.Found = h.closeHere(q.ID)
	case aboutConnections:
		r.List = h.connectionsHere(q.App, q.Topic)
	case aboutTopics:
		r.Topics = h.topicsHere(q.App)
	case aboutRemove:
		for _, m := range h.mountsNamed(q.App) {
			r.Count += h.removeHere(m, *q.Topic)
		}
	case aboutMembers:
		r.Members = h.memberIDs(hub.Topic{App: q.App, Name: *q.Topic})
	case aboutAudience:
		var names []string
		json.Unmarshal(q.Data, &names)
		r.Count = h.hub.Audience(appendTopics(nil, q.App, names))
	case aboutStats:
		stats := h.statsHere()
		r.Stats = &stats
	case aboutNothing:
	default:
		return nil // of a newer version
	}
	answer, _ := json.Marshal(r)
	return answer
}

// audience returns how many connections get a message to topics of one app, on
// all servers that answer.
func (h *home) audience(ctx context.Context, topics []hub.Topic) int {
	n := h.hub.Audience(topics)
	if h.shared == nil || len(topics) == 0 {
		return n
	}
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	data, _ := json.Marshal(names)
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	replies, _ := h.ask(ctx, &question{About: aboutAudience, App: topics[0].App, Data: data})
	for _, r := range replies {
		n += r.Count
	}
	return n
}

// askMembers gets the list of the members of a topic from all servers, for the
// client that waits for it.
func (s *connection) askMembers(of hub.Topic) {
	h := s.mount.home
	ids := h.memberIDs(of)
	replies, _ := h.ask(context.Background(), &question{About: aboutMembers, App: of.App, Topic: &of.Name})
	for _, r := range replies {
		ids = append(ids, r.Members...)
	}
	list := listOf(ids)
	s.mu.Lock()
	f := s.flight
	f.asking, f.list = false, list
	then := s.settle()
	s.mu.Unlock()
	then()
}

// stats returns what all servers report that answer.
func (h *home) stats() door.Stats {
	all := h.statsHere()
	if h.shared == nil {
		return all
	}
	replies, servers := h.ask(context.Background(), &question{About: aboutStats})
	all.Servers, all.Answered = servers, 1
	for _, r := range replies {
		if r.Stats != nil {
			all.Answered++
			all.Add(r.Stats)
		}
	}
	return all
}

// sendAway closes connections whose clients must go to other servers, over some
// time so that they do not all arrive there at once.
func (h *home) sendAway(list []*connection) {
	if len(list) == 0 {
		return
	}
	h.asking.Go(func() {
		pace := time.NewTicker(max(cutOffSpread/time.Duration(len(list)), time.Microsecond))
		defer pace.Stop()
		for _, s := range list {
			s.conn.Close(errCutOff)
			select {
			case <-pace.C:
			case <-h.listeners.ctx.Done(): // the server ends
			}
		}
	})
}

// cutOffSpread is over what time clients are sent to other servers.
const cutOffSpread = time.Second
