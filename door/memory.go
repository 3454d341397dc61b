package door

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"crier/access"
)

// Live is the name of the mount whose topics have a Memory.
const Live = "live"

// withoutSocket answers requests to live that are not for a WebSocket: POST says
// something, and GET listens. It returns false if it is another request.
func (d *Door) withoutSocket(w http.ResponseWriter, r *http.Request, m Mount) bool {
	switch {
	case hasToken(r.Header, "Upgrade", "websocket"):
		return false
	case r.Method == http.MethodPost:
		d.manage(w, r, methods{"POST": saying(r.URL.Query().Get("topic"), d.say)}, query{names: []string{"topic"}})
		return true
	case r.Method != http.MethodGet || !takesEvents(r):
		return false
	}
	if !d.pages.AtHome(r, secure(r)) {
		d.refusePage(w, r)
		return true
	}
	if no := d.listen(w, r, m); no != nil {
		d.turnAway(w, r, *no)
	}
	return true
}

// listen answers with events until the client has gone, or refuses it.
func (d *Door) listen(w http.ResponseWriter, r *http.Request, m Mount) *Refusal {
	if no := d.enter(r); no != nil {
		return no
	}
	defer d.config.Addresses.Leave(access.From(r))
	may, no := d.admit(r, m)
	if no != nil {
		return no
	}
	return d.config.Memory.Listen(w, r, may)
}

// takesEvents reports whether a client takes server-sent events. Browsers that
// show a page take anything, too, but it should be a page.
func takesEvents(r *http.Request) bool {
	accept := strings.Join(r.Header["Accept"], ",")
	return accept == "" || strings.Contains(accept, "text/event-stream") ||
		strings.Contains(accept, "*/*") && !strings.Contains(accept, "text/html")
}

// say publishes the body of a request to the topic of its query.
func (d *Door) say(w http.ResponseWriter, r *http.Request, may *access.Grant) {
	topics := r.URL.Query()["topic"]
	if len(topics) != 1 || topics[0] == "" {
		d.refuse(w, r, BadQuery.Saying("a message goes to one topic: ?topic=something"))
		return
	}
	d.sayTo(w, r, may, topics[0], nil)
}

func (d *Door) sayTo(w http.ResponseWriter, r *http.Request, may *access.Grant, topic string, state *State) {
	data, no := d.body(w, r)
	var said Said
	if no == nil {
		said, no = d.config.Memory.Say(r.Context(), topic, may.Name(), data, state)
	}
	if no != nil {
		d.refuse(w, r, *no)
		return
	}
	answer(w, struct {
		OK     bool   `json:"ok"`
		Offset string `json:"offset,omitempty"`
		Heard  int    `json:"heard"`
	}{true, said.Offset, said.Heard})
}

// remembered answers requests for what a topic of live knows: its messages, its
// state, and one key. It returns false if the path is none of these.
func (d *Door) remembered(w http.ResponseWriter, r *http.Request, topic string, path []string) bool {
	var m methods
	names := []string{"app"}
	switch {
	case len(path) == 1 && path[0] == "messages":
		names = append(names, "last")
		m = methods{
			"GET": hearing(topic, func(w http.ResponseWriter, r *http.Request) { d.readMessages(w, r, topic) }),
			"DELETE": managing(func(w http.ResponseWriter, r *http.Request) {
				answer(w, map[string]bool{"ok": d.config.Memory.Forget(topic)})
			}),
		}
	case len(path) == 1 && path[0] == "state":
		m = methods{"GET": hearing(topic, func(w http.ResponseWriter, r *http.Request) { lines(w, d.config.Memory.Read(topic, -1)) })}
	case len(path) == 2 && path[0] == "state":
		m = methods{
			"PUT": saying(topic, func(w http.ResponseWriter, r *http.Request, may *access.Grant) {
				d.sayTo(w, r, may, topic, &State{Key: path[1]})
			}),
			"DELETE": saying(topic, func(w http.ResponseWriter, r *http.Request, may *access.Grant) {
				d.sayTo(w, r, may, topic, &State{Key: path[1], Drop: true})
			}),
		}
	default:
		return false
	}
	if name := r.URL.Query().Get("app"); name != "" && name != Live {
		d.refuse(w, r, OnlyLive)
		return true
	}
	if !utf8.ValidString(topic) {
		d.refuse(w, r, BadQuery.Saying("a topic's name is UTF-8"))
		return true
	}
	d.manage(w, r, m, query{names: names})
	return true
}

func (d *Door) readMessages(w http.ResponseWriter, r *http.Request, topic string) {
	last := 1 << 30
	if text := r.URL.Query().Get("last"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			d.refuse(w, r, BadQuery.Saying("last is a number of messages, such as ?last=20"))
			return
		}
		last = n
	}
	lines(w, d.config.Memory.Read(topic, last))
}

// lines answers with one JSON text a line.
func lines(w http.ResponseWriter, texts [][]byte) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	for _, text := range texts {
		w.Write(append(text[:len(text):len(text)], '\n'))
	}
}
