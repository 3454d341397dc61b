package door

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"crier/access"
)

// methods are the HTTP methods that a path supports.
type methods map[string]method

// A method is what a request does, and what right it needs.
type method struct {
	need    func(may *access.Grant) bool // nil: that of managing everything
	without string                       // what those are told who have not got it
	topic   string                       // that it is about, if the path says so
	handle  func(w http.ResponseWriter, r *http.Request, may *access.Grant)
}

// managing is a method for those that manage the server.
func managing(handle http.HandlerFunc) method {
	return method{handle: func(w http.ResponseWriter, r *http.Request, _ *access.Grant) { handle(w, r) }}
}

// hearing is a method for those that may hear a topic.
func hearing(topic string, handle http.HandlerFunc) method {
	m := managing(handle)
	m.need, m.topic = func(may *access.Grant) bool { return may.MayHear(topic) }, topic
	m.without = "you may not hear the topic " + strconv.Quote(topic)
	return m
}

// saying is a method for those that may say something in a topic.
func saying(topic string, handle func(w http.ResponseWriter, r *http.Request, may *access.Grant)) method {
	return method{
		need:    func(may *access.Grant) bool { return may.MaySay(topic) },
		without: "you may not say anything in the topic " + strconv.Quote(topic),
		topic:   topic, handle: handle,
	}
}

// publishing is a method for those that may say something somewhere, and that
// checks where.
func publishing(handle func(w http.ResponseWriter, r *http.Request, may *access.Grant)) method {
	return method{need: (*access.Grant).SaysAnything, without: "you may not say anything", handle: handle}
}

// manage answers a request without a WebSocket, if it is allowed.
func (d *Door) manage(w http.ResponseWriter, r *http.Request, m methods, q query) {
	w.Header().Set("X-Amzn-Requestid", NewID())
	method, ok := m[r.Method]
	if !ok {
		w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(m)), ", "))
		d.refuse(w, r, MethodNotAllowed)
		return
	}
	may, no := d.authorize(r, method)
	if no != nil {
		d.challenge(w, *no)
		d.refuse(w, r, *no)
		return
	}
	no = q.check(r)
	if no == nil && slices.Contains(q.names, "app") {
		no = d.checkApp(r.URL.Query().Get("app"))
	}
	if no != nil {
		d.refuse(w, r, *no)
		return
	}
	method.handle(w, r, may)
}

// checkApp refuses the name of an unknown app. An empty name means all apps.
func (d *Door) checkApp(name string) *Refusal {
	var names []string
	for _, m := range d.config.Mounts {
		names = append(names, m.Name)
	}
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	no := BadQuery.Saying("there is no app " + plain(name) + query{names: names}.hint(name))
	return &no
}

// segments returns the parts of the path, each decoded. SDKs write @ and = as
// they are, or as %40 and %3D.
func segments(r *http.Request) []string {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for i, part := range parts {
		if s, err := url.PathUnescape(part); err == nil {
			parts[i] = s
		}
	}
	return parts
}

// connection returns the methods of one connection, as in API Gateway's
// management API.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
func (d *Door) connection(id string) methods {
	checked := func(handler http.HandlerFunc) method {
		return managing(func(w http.ResponseWriter, r *http.Request) {
			if !validID(id) {
				d.refuse(w, r, InvalidID.Saying(InvalidID.Say+id))
				return
			}
			handler(w, r)
		})
	}
	return methods{
		"POST": checked(func(w http.ResponseWriter, r *http.Request) {
			data, no := d.body(w, r)
			if no == nil {
				no = d.config.Connections.Post(id, data)
			}
			if no != nil {
				d.refuse(w, r, *no)
				return
			}
			w.WriteHeader(http.StatusOK)
		}),
		"GET": checked(func(w http.ResponseWriter, r *http.Request) {
			info, no := d.config.Connections.Info(id)
			if no != nil {
				d.refuse(w, r, *no)
				return
			}
			answer(w, describe(info))
		}),
		"DELETE": checked(func(w http.ResponseWriter, r *http.Request) {
			if no := d.closeConnection(r, id); no != nil {
				d.refuse(w, r, *no)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}),
	}
}

// closeConnection closes a connection. With ?for=, it signs out its user instead.
func (d *Door) closeConnection(r *http.Request, id string) *Refusal {
	keep, no := keepOut(r)
	if no != nil {
		return no
	}
	if keep == 0 {
		return d.config.Connections.Close(id)
	}
	info, no := d.config.Connections.Info(id)
	switch {
	case no != nil:
		return no
	case info.User == "":
		return &NobodyToKeepOut
	}
	return d.config.Users.SignOut(r.Context(), info.User, keep)
}

// user returns the methods of a user.
func (d *Door) user(name string) methods {
	return methods{"DELETE": managing(func(w http.ResponseWriter, r *http.Request) {
		keep, no := keepOut(r)
		if no == nil && (name == "" || !utf8.ValidString(name)) {
			wrong := BadQuery.Saying("a user has a name, in UTF-8: /users/ada")
			no = &wrong
		}
		if no == nil {
			no = d.config.Users.SignOut(r.Context(), name, keep)
		}
		if no != nil {
			d.refuse(w, r, *no)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})}
}

// keepOut returns for how long a request wants a user to be kept out; zero if it
// does not want that.
func keepOut(r *http.Request) (time.Duration, *Refusal) {
	query := r.URL.Query()
	if !query.Has("for") {
		return 0, nil
	}
	keep, err := time.ParseDuration(query.Get("for"))
	if err != nil || keep < 0 {
		no := BadQuery.Saying("a user is kept out for a time such as ?for=10m")
		return 0, &no
	}
	return keep, nil
}

// ofConnection is the query of a request about a connection.
func ofConnection(r *http.Request) query {
	if r.Method == http.MethodDelete {
		return query{names: []string{"for"}, sdk: true}
	}
	return query{sdk: true}
}

// body reads a message from a request.
func (d *Door) body(w http.ResponseWriter, r *http.Request) ([]byte, *Refusal) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(d.config.MaxMessage)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &TooLarge
	case err != nil:
		return nil, &CutShort
	}
	return data, nil
}

// connectionInfo is the answer to GET for a connection, with API Gateway's
// members.
type connectionInfo struct {
	ConnectedAt string `json:"connectedAt"`
	Identity    struct {
		SourceIP  string  `json:"sourceIp"`
		UserAgent *string `json:"userAgent"` // null if the client sent none
	} `json:"identity"`
	LastActiveAt string `json:"lastActiveAt"`
}

func describe(info Info) connectionInfo {
	c := connectionInfo{ConnectedAt: timestamp(info.Connected), LastActiveAt: timestamp(info.LastActive)}
	c.Identity.SourceIP = info.SourceIP
	if info.UserAgent != "" {
		c.Identity.UserAgent = &info.UserAgent
	}
	return c
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	body := json.NewEncoder(w)
	body.SetEscapeHTML(false)
	body.Encode(v)
}

// listedConnection is a connection in a list: crier's own members, then API
// Gateway's.
type listedConnection struct {
	ID     string   `json:"connectionId"`
	App    string   `json:"app"`
	User   string   `json:"user,omitempty"`
	Topics []string `json:"topics"`
	Unread int      `json:"unread"`
	Slowed bool     `json:"throttled,omitempty"`
	Server string   `json:"server,omitempty"`
	connectionInfo
}

func (d *Door) listConnections(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	var topic *string
	if query.Has("topic") {
		name := query.Get("topic")
		topic = &name
	}
	limit, no := limitOf(query)
	if no != nil {
		d.refuse(w, r, *no)
		return
	}
	list := []listedConnection{}
	infos, asked := d.config.Topics.Connections(query.Get("app"), topic)
	asked.tell(w)
	for _, info := range infos {
		if query.Has("user") && info.User != query.Get("user") {
			continue
		}
		list = append(list, listedConnection{info.ID, info.App, info.User, append([]string{}, info.Topics...), info.Unread, info.Throttled, info.Server, describe(info)})
	}
	sort.Slice(list, func(i, k int) bool {
		a, b := list[i], list[k]
		if a.ConnectedAt != b.ConnectedAt {
			return a.ConnectedAt < b.ConnectedAt
		}
		return a.ID < b.ID
	})
	answer(w, list[:min(limit, len(list))])
}

// tell tells how many servers have answered, where the body is a list.
func (a Asked) tell(w http.ResponseWriter) {
	if a.Servers > 0 {
		w.Header().Set("Crier-Servers", strconv.Itoa(a.Servers))
		w.Header().Set("Crier-Answered", strconv.Itoa(a.Answered))
	}
}

// limitOf returns how many rows of a list a query asks for. Without a limit it
// is all of them.
func limitOf(query url.Values) (int, *Refusal) {
	if !query.Has("limit") {
		return math.MaxInt, nil
	}
	n, err := strconv.Atoi(query.Get("limit"))
	if err != nil || n < 0 {
		no := BadQuery.Saying("a limit is a number, such as ?limit=100")
		return 0, &no
	}
	return n, nil
}

func (d *Door) listTopics(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, no := limitOf(query)
	if no != nil {
		d.refuse(w, r, *no)
		return
	}
	topics, asked := d.config.Topics.Topics(query.Get("app"))
	asked.tell(w)
	list := append([]Topic{}, topics...)
	sort.Slice(list, func(i, k int) bool {
		a, b := list[i], list[k]
		if query.Has("limit") && a.Members != b.Members {
			return a.Members > b.Members // with a limit, the largest topics are listed
		}
		if a.App != b.App {
			return a.App < b.App
		}
		return a.Topic < b.Topic
	})
	answer(w, list[:min(limit, len(list))])
}

// topic returns the methods of one topic, as on the admin side of the recorded
// rooms service.
func (d *Door) topic(name string) methods {
	return methods{
		"GET": managing(func(w http.ResponseWriter, r *http.Request) {
			members := []string{}
			known := make(map[string]bool)
			infos, asked := d.config.Topics.Connections(r.URL.Query().Get("app"), &name)
			asked.tell(w)
			for _, info := range infos {
				who := info.User
				if who == "" {
					who = info.ID
				}
				if !known[who] {
					known[who] = true
					members = append(members, who)
				}
			}
			sort.Strings(members)
			answer(w, members)
		}),
		"DELETE": managing(func(w http.ResponseWriter, r *http.Request) {
			answer(w, d.config.Topics.Remove(r.URL.Query().Get("app"), name))
		}),
	}
}

func (d *Door) publish(w http.ResponseWriter, r *http.Request, may *access.Grant) {
	heard := 0
	data, no := d.body(w, r)
	if no == nil {
		heard, no = d.config.Topics.Publish(r, data, may)
	}
	if no != nil {
		d.refuse(w, r, *no)
		return
	}
	answer(w, struct {
		OK    bool `json:"ok"`
		Heard int  `json:"heard"`
	}{true, heard})
}
