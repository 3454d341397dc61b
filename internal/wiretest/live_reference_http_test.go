package wiretest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// manage answers requests that are no client's.
func (r *reference) manage(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	path := strings.Split(strings.TrimPrefix(req.URL.Path, "/"), "/")
	switch {
	case req.Method == "POST" && (path[0] == "live" || path[0] == "publish"):
		r.post(rw, req.URL.Query().Get("topic"), string(body))
	case req.Method == "DELETE" && path[0] == "@connections":
		rw.WriteHeader(r.kick(path[1]))
	case path[0] == "topics" && len(path) > 2 && path[2] == "state":
		r.state(rw, req, path[1], strings.Join(path[3:], "/"), string(body))
	case path[0] == "topics" && path[2] == "messages" && req.Method == "DELETE":
		r.world.forget(path[1])
		r.deliver()
		fmt.Fprint(rw, `{"ok":true}`)
	case path[0] == "topics" && path[2] == "messages":
		last, _ := strconv.Atoi(req.URL.Query().Get("last"))
		for _, e := range r.world.room(path[1]).kept(last) {
			if e.kind == message {
				fmt.Fprintln(rw, r.render(e.frame))
			}
		}
	default:
		http.NotFound(rw, req)
	}
}

func (r *reference) post(rw http.ResponseWriter, topic, body string) {
	m := readLive(body)
	m.topic = topic
	if m.bad != "" || m.tied || m.own || topic == "" {
		http.Error(rw, "this is not understood", 400)
		return
	}
	heard := len(r.world.listeners(r.world.room(topic)))
	r.world.publish(nil, m)
	r.deliver()
	fmt.Fprint(rw, r.render(fmt.Sprintf(`{"ok":true,"offset":"%s","heard":%d}`, r.world.head(r.world.room(topic), false), heard)))
}

func (r *reference) state(rw http.ResponseWriter, req *http.Request, topic, key, body string) {
	room := r.world.room(topic)
	switch req.Method {
	case "GET":
		for _, e := range room.states() {
			fmt.Fprintln(rw, r.render(e.frame))
		}
		return
	case "DELETE":
		body = `{"_drop":true}`
	}
	m := readLive(body)
	m.known["_key"], m.topic = true, topic
	m.key, _ = url.PathUnescape(key)
	m.check()
	heard := len(r.world.listeners(room))
	r.world.publish(nil, m)
	r.deliver()
	fmt.Fprint(rw, r.render(fmt.Sprintf(`{"ok":true,"offset":"%s","heard":%d}`, r.world.head(room, false), heard)))
}

// kick ends a session. It returns the status.
func (r *reference) kick(id string) int {
	for _, s := range r.world.sessions {
		if r.world.values.value["id:"+s.name] == id && !s.ended {
			r.world.send(output{conn: s.conn, stream: "close", frame: "close 1000 kicked: <any>"})
			r.world.end(s, "kicked")
			r.deliver()
			return 204
		}
	}
	return 410
}
