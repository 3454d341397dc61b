package app

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// TestLiveOrders replays testdata/live/orders.txt: blocks of a line that says who
// speaks, a message, and what it asks for.
//
//	NAME USER TOPICS    NAME is said to have that user (- is none) and to be in TOPICS
//	MESSAGE             in hexadecimal after "binary "
//	----
//	what it asks for
func TestLiveOrders(t *testing.T) {
	const file = "testdata/live/orders.txt"
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var o Order
	for _, block := range strings.Split(strings.TrimSpace(string(script)), "\n\n") {
		lines := strings.SplitN(block, "\n", 3)
		who := strings.Fields(lines[0])
		conn := &Conn{ID: who[0]}
		if who[1] != "-" {
			conn.Identity.User = who[1]
		}
		if len(who) > 2 {
			conn.Topics = strings.Split(who[2], ",")
		}
		data, binary := strings.CutPrefix(lines[1], "binary ")
		Live{}.Message(&o, Event{Kind: Message, Conn: conn, Now: 1561016329388, Data: []byte(data), Binary: binary})
		fmt.Fprintf(&out, "%s\n%s\n----\n%s\n\n", lines[0], lines[1], strings.TrimSpace(o.describe()))
	}
	got := strings.TrimSpace(out.String()) + "\n"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got != string(script) {
		t.Errorf("the transcript is now:\n%s", got)
	}
}

func (o *Order) describe() string {
	var b strings.Builder
	switch o.Do {
	case Refuse:
		fmt.Fprintf(&b, "refused %s\n", o.Frame)
	case Enter:
		fmt.Fprintf(&b, "enter %q last %d since %q\n", o.Entry.Topic, o.Entry.Last, o.Entry.Since)
	case Exit:
		fmt.Fprintf(&b, "exit %q\n", o.Topic)
	case Say, Tell:
		fmt.Fprintf(&b, "%s %q", map[Doing]string{Say: "say", Tell: "tell"}[o.Do], o.Topic)
		if o.Do == Tell {
			fmt.Fprintf(&b, " to %q", o.To)
		}
		if o.Keep {
			b.WriteString(" kept")
		}
		if o.Key != (Key{}) {
			fmt.Fprintf(&b, " key %q %s %s", o.Key.Name, map[Tie]string{Shared: "shared", Tied: "tied to", Owned: "owned by"}[o.Key.Of], o.Key.By)
		}
		if o.Drop {
			b.WriteString(" drop")
		}
		fmt.Fprintf(&b, "\n%s\n%s\n", marked(o.Frame, o.OffsetAt), marked(o.Copy, o.CopyOffsetAt))
	}
	return b.String()
}

// marked returns a frame with O in place of its offset.
func marked(frame []byte, at int) string {
	if at == 0 {
		return string(frame)
	}
	return string(frame[:at]) + "O" + string(frame[at+OffsetSize:])
}

func TestLiveAddress(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"", noLiveTopic},
		{"topic=", noLiveTopic},
		{"user=ada", noLiveTopic},
		{"topics=a", "there is no parameter topics; did you mean topic?"},
		{"topic=a", "a/0//"},
		{"topic=a&user=ada", "a/0// seen told"},
		{"topic=a&topic=b&topic=a&last=20", "a/20// b/20//"},
		{"topic=a&since=x", "a/0/x/ since x"},
		{"topic=a&topic=b&since=x", "a/0/x/ b/0/x/ since x"},
		{"topic=a&topic=b&since=x&since=&last=3", "a/3/x/ b/3//"},
		{"topic=a&topic=b&topic=c&since=x&since=y", "since is one offset for all topics, or one for each of them, in their order"},
		{"topic=a&last=x", "last is a number of messages, such as ?last=20"},
		{"topic=a&last=-1", "last is a number of messages, such as ?last=20"},
		{"topic=a&presence=1", "a/0// seen told"},
		{"topic=a&presence=seen&user=ada", "a/0// seen"},
		{"topic=a&presence=told", "a/0// told"},
		{"topic=a&presence=0&user=ada", "a/0//"},
		{"topic=a&presence=2", "presence is 1, seen, told or 0"},
		{"topic=a&echo=0&resume=R&token=T&mine=1", "a/0// silent resume R"},
		{"topic=" + strings.Repeat("x", 257), longTopic},
		{"topic=%ff", "a topic's name is UTF-8"},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		a, got := Live{}.Address(query, query.Has("user"))
		if got == "" {
			got = describeAddress(a)
		}
		if got != c.want {
			t.Errorf("?%s: %s, want %s", c.query, got, c.want)
		}
	}
	many := url.Values{}
	for i := range MaxEntries + 1 {
		if _, wrong := (Live{}).Address(many, false); i > 0 && wrong != "" {
			t.Errorf("%d topics: %s", i, wrong)
		}
		many.Add("topic", strconv.Itoa(i))
	}
	if _, wrong := (Live{}).Address(many, false); wrong != manyTopics {
		t.Errorf("%d topics: %q", MaxEntries+1, wrong)
	}
}

func describeAddress(a Address) string {
	var list []string
	for _, e := range a.Entries {
		list = append(list, fmt.Sprintf("%s/%d/%s/", e.Topic, e.Last, e.Since))
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{{a.Seen, "seen"}, {a.Told, "told"}, {a.Silent, "silent"}, {a.Resume != "", "resume " + a.Resume}, {a.Since != "", "since " + a.Since}} {
		if flag.set {
			list = append(list, flag.name)
		}
	}
	return strings.Join(list, " ")
}

func TestLiveNames(t *testing.T) {
	for user, want := range map[string]string{
		"ada":                    "",
		"":                       "",
		"JC1dgf9yoAMCK-g=":       "a user's name cannot look like a connection id",
		"JC1dgf9yoAMCK-g":        "",
		"a\nb":                   "a user's name has no control characters",
		"\xff":                   "a user's name is UTF-8",
		strings.Repeat("x", 65):  "a user's name has at most 64 bytes",
		strings.Repeat("ü", 32):  "",
		"0123456789abcdef":       "",
		"Ada Lovelace of London": "",
	} {
		id, wrong := Live{}.Identify(url.Values{"user": {user}}, nil)
		if wrong != want || wrong == "" && id.User != user {
			t.Errorf("%q: %q, %q; want %q", user, id.User, wrong, want)
		}
	}
}

func TestFramesOfLive(t *testing.T) {
	const id = "JC1dgf9yoAMCK-g="
	var o Order
	Live{}.Message(&o, Event{Conn: &Conn{ID: id, Identity: Identity{User: "ada"}, Topics: []string{`"_from":"x"`}}, Now: 1561016329388, Data: []byte(`{"x":3}`)})
	frame := slices.Clone(o.Frame)
	copy(frame[o.OffsetAt:], "m4k2q-00000001d")
	if got := OffsetOf(frame); got != "m4k2q-00000001d" {
		t.Errorf("the offset is %q", got)
	}
	if SentAt(frame) != 1561016329388 || !From(frame, id) || From(frame, "JC1dgf9yoAMCK-h=") || From(frame, "") {
		t.Errorf("%s: sent at %d, from %v", frame, SentAt(frame), From(frame, id))
	}
	mine := slices.Clone(o.Copy)
	copy(mine[o.CopyOffsetAt:], "m4k2q-00000001d")
	if got := AppendMine(nil, frame); string(got) != string(mine) {
		t.Errorf("the sender's copy is %s, want %s", got, mine)
	}
	g := &Guest{ID: id, User: "ada"}
	join, at := AppendJoin(nil, g, 2, "a", 5)
	if got := marked(join, at); got != `{"_join":{"id":"`+id+`","user":"ada","same":2},"_topic":"a","_offset":"O","_now":5}` || !From(join, id) || SentAt(join) != 5 {
		t.Errorf("%s, from %v, sent at %d", got, From(join, id), SentAt(join))
	}
	leave, at := AppendLeave([]byte("before"), g, 0, "lost", "a", 5)
	if got := marked(leave, at); got != `before{"_leave":{"id":"`+id+`","user":"ada","same":0,"why":"lost"},"_topic":"a","_offset":"O","_now":5}` {
		t.Error(got)
	}
	drop, at := AppendDrop([]byte("before"), Key{Name: "k", Of: Tied, By: id}, "a", "", id, 5)
	if got := marked(drop, at); got != `before{"_key":"k","_tied":true,"_drop":true,"_topic":"a","_from":"`+id+`","_offset":"O","_now":5,"_me":false}` {
		t.Error(got)
	}
	for _, frame := range []string{``, `{}`, `{"_now":5}`, `{"_offset":"m4k2q-00000001d"}`, `{"a":",\"_offset\":\"m4k2q-00000001d\",\"_now\":5","_now":5}`} {
		if OffsetOf([]byte(frame)) != "" || From([]byte(frame), id) {
			t.Errorf("%s has an offset %q", frame, OffsetOf([]byte(frame)))
		}
	}
}

func TestHere(t *testing.T) {
	var h Here
	view := map[string]bool{} // as a client keeps it
	var all []*Guest
	see := func() []string {
		var list []string
		for _, part := range strings.Split(strings.Trim(string(h.append(nil)), "[]"), "},") {
			if _, rest, ok := strings.Cut(part, `"id":"`); ok {
				id, _, _ := strings.Cut(rest, `"`)
				list = append(list, id)
			}
		}
		return list
	}
	check := func(why string) {
		t.Helper()
		list := see()
		if len(list) != len(view) || h.Count() != len(all) || len(list) > maxHere || len(h.append(nil)) > maxHereBytes+2 {
			t.Fatalf("%s: %d in the list, %d in the view, %d in all, counted %d", why, len(list), len(view), len(all), h.Count())
		}
		for i, id := range list {
			if !view[id] || all[i].ID != id {
				t.Fatalf("%s: %s is at place %d", why, id, i)
			}
		}
	}
	for i := range 3000 {
		g, tell := h.Add(fmt.Sprintf("%016d", i), []string{"", "ada", strings.Repeat("b", i%64)}[i%3])
		all = append(all, g)
		if tell {
			view[g.ID] = true
		}
		if tell != h.Told(g) {
			t.Fatalf("guest %d is told: %v and %v", i, tell, h.Told(g))
		}
	}
	check("all came")
	if h.Same("ada") != 1000 || h.guests[h.place(all[7])] != all[7] {
		t.Errorf("ada has %d connections", h.Same("ada"))
	}
	for i := 0; len(all) > 0; i++ {
		k := i * 7919 % len(all)
		g := all[k]
		told := h.Told(g)
		all = slices.Delete(all, k, k+1)
		tell, more := h.Remove(g)
		if tell != told {
			t.Fatalf("%d: told %v, tell %v", i, told, tell)
		}
		delete(view, g.ID)
		for _, g := range more {
			view[g.ID] = true
		}
		if i%100 == 0 || len(all) < 3 {
			check(fmt.Sprint("left: ", i))
		}
	}
	if h.same != nil || h.guests != nil || h.Same("ada") != 0 {
		t.Errorf("it remembers %v, %v", h.same, h.guests)
	}
}

func TestState(t *testing.T) {
	var s State
	number := uint64(0)
	set := func(k Key, frame string, drop bool) {
		number++
		s.Set(k, number, []byte(frame), drop)
	}
	list := func(after uint64) string {
		var b strings.Builder
		for v := range s.After(after) {
			fmt.Fprintf(&b, "%d%s ", v.Number, v.Frame)
		}
		return b.String()
	}
	k, tied, owned := Key{Name: "k"}, Key{"k", Tied, "i"}, Key{"k", Owned, "ada"}
	set(k, "a", false)
	set(tied, "b", false)
	set(owned, "c", false)
	set(k, "d", false)
	if got := list(0); got != "2b 3c 4d " {
		t.Error(got)
	}
	if got := list(2); got != "3c 4d " {
		t.Error(got)
	}
	if s.keys != 3 || s.bytes != 3+3+1+3 || !s.Has(tied) || fmt.Sprint(s.TiedTo("i")) != fmt.Sprint([]Key{tied}) {
		t.Errorf("%d keys, %d bytes", s.keys, s.bytes)
	}
	if s.Fits(Key{Name: "new"}, 1, 3, 1000) || !s.Fits(Key{Name: "new"}, 1, 4, 1000) || s.Fits(k, 100, 3, 100) || !s.Fits(k, 100, 3, 110) {
		t.Error("what fits")
	}
	set(tied, "gone", true)
	if got := list(0); got != "3c 4d 5gone " || s.Has(tied) || s.keys != 2 || len(s.TiedTo("i")) != 0 {
		t.Error(got)
	}
	never := func([]byte) bool { return false }
	s.ForgetMarks(6, never)
	if s.Lost() != 0 {
		t.Error("a mark that fits is forgotten")
	}
	s.ForgetMarks(5, never)
	if got := list(0); got != "3c 4d " || s.Lost() != 5 || s.marks != 0 {
		t.Errorf("%s, lost %d, %d bytes of marks", got, s.Lost(), s.marks)
	}
	set(k, "gone", true)
	set(k, "back", false)
	if got := list(0); got != "3c 7back " || s.marks != 0 {
		t.Error(got)
	}
	s.Clear()
	if !s.Empty() || s.Memory() != 0 || list(0) != "" {
		t.Error("it is not empty")
	}
}

// TestOffsetOf: a frame has the offset that the server has written, and no other.
func TestOffsetOf(t *testing.T) {
	const mine = `"_offset":"00000-000000001"`
	for _, c := range []struct {
		text string
		has  bool
	}{
		{`hi`, true},
		{`{"a":{"b":1,` + mine + `,"_now":1}}`, true},
		{`{"_keep":false}`, false},
		{`{"a":{"b":1,` + mine + `,"_now":1},"_keep":false}`, false},
		{`{"_keep":false,"a":[{"b":1,` + mine + `,"_now":1,"_me":false}]}`, false},
		{`{"_to":"x",` + mine + `,"_now":1,"_me":false}`, false},
	} {
		for _, topic := range []string{"a", `,` + mine, `,"_offset":"00000-00000000`} {
			var o Order
			Live{}.Message(&o, Event{Conn: &Conn{ID: "x", Topics: []string{topic}}, Data: []byte(c.text)})
			want := ""
			if c.has {
				want = "abcde-000000000"
				copy(o.Frame[o.OffsetAt:], want)
			}
			if got := OffsetOf(o.Frame); got != want {
				t.Errorf("%s has offset %q", o.Frame, got)
			}
		}
	}
	hello := Hello{ID: "x", Topic: "a", Offset: "abcde-000000000", Here: new(Here)}
	if got := OffsetOf(hello.Append(nil)); got != "" {
		t.Errorf("a greeting has offset %q", got)
	}
	if got := OffsetOf(hello.AppendReady(nil)); got != hello.Offset {
		t.Errorf("the end of a replay has offset %q", got)
	}
}

// TestIdentityIsAlone: a name does not keep the query in memory that it is from.
func TestIdentityIsAlone(t *testing.T) {
	for _, identifier := range []Identifier{Live{}, IdentifierOf(Rooms{})} {
		query := url.Values{"user": {"ada"}}
		id, wrong := identifier.Identify(query, nil)
		if id.User != "ada" || wrong != "" || unsafe.StringData(id.User) == unsafe.StringData(query["user"][0]) {
			t.Errorf("%T: %+v, %s", identifier, id, wrong)
		}
	}
}
