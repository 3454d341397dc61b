package wiretest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// load reads a recording, which lies beside the code that it is about.
func load(t *testing.T, file string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), file))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatalf("reading the recording: %v", err)
	}
}

// root is the module's directory: tests of any package may run the suite.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	t.Fatalf("no go.mod above the test: %v", err)
	return ""
}

// A recordedBroadcast is what the original of the broadcast app answered.
type recordedBroadcast struct {
	Lossy     map[string]string
	Cases     []struct{ Name, Input, Sender, Others string }
	Lifecycle []struct {
		Step          string
		TableCount    *int
		Sender, Other []string
	}
}

func testRecordedBroadcast(t *testing.T, s server) {
	var recording recordedBroadcast
	load(t, "stamp/testdata/broadcast.json", &recording)
	if len(recording.Cases) == 0 {
		t.Fatal("the recording is empty")
	}
	room := "/?topic=" + unique("recorded")
	sender, other := s.dial(t, room), s.dial(t, room)
	for _, c := range recording.Cases {
		sender.say(c.Input)
		mine, others := sender.next(), other.next()
		if _, lossy := recording.Lossy[c.Name]; !lossy {
			sameScript(t, c.Name+", the sender's copy", mine, c.Sender)
			sameScript(t, c.Name+", the others' copy", others, c.Others)
		}
		if swapped := strings.Replace(others, `"_me":false`, `"_me":true`, 1); swapped != mine {
			t.Errorf("%s: the copies differ in more than _me\n%s\n%s", c.Name, mine, others)
		}
		if survivor := survives(c.Input); !strings.Contains(mine, survivor) {
			t.Errorf("%s: %s is not in %s", c.Name, survivor, mine)
		}
		checkNow(t, mine)
	}
}

// survives is the part of a message that every copy holds byte for byte: the members of an object, or a value that is
// none. Of other messages it is nothing, and of objects that bring stamps along.
func survives(input string) string {
	raw := strings.Trim(input, " \t\r\n")
	switch {
	case !json.Valid([]byte(raw)), raw == "null", raw[0] == '[', strings.Contains(raw, `"_`) && !strings.Contains(raw, `"__proto__"`):
		return ""
	case raw[0] == '{':
		return strings.TrimSpace(raw[1 : len(raw)-1])
	}
	return `{"data":` + raw + `,`
}

// sameScript compares as a receiver with JSON.parse would, the time apart.
func sameScript(t *testing.T, what, got, want string) {
	t.Helper()
	got = now.ReplaceAllString(got, `"_now":"<NOW>"`)
	if script(got) != script(want) {
		t.Errorf("%s\n got %s\nwant %s", what, got, want)
	}
}

// hearsScript checks the next messages as sameScript compares.
func (c *client) hearsScript(why string, want ...string) {
	c.t.Helper()
	for _, w := range want {
		sameScript(c.t, why, c.next(), w)
	}
}

// checkNow checks that a stamp tells the time, to the hour: clocks differ.
func checkNow(t *testing.T, frame string) {
	t.Helper()
	stamps := now.FindStringSubmatch(frame)
	if stamps == nil {
		t.Errorf("no time in %s", frame)
		return
	}
	var ms int64
	json.Unmarshal([]byte(stamps[1]), &ms)
	if off := time.Since(time.UnixMilli(ms)).Abs(); off > time.Hour {
		t.Errorf("the time in %s is %v away", frame, off)
	}
}

// testRecordedLifecycle replays who came and went. (What was done to the original's table, nobody can do to ours.)
func testRecordedLifecycle(t *testing.T, s server) {
	var recording recordedBroadcast
	load(t, "stamp/testdata/broadcast.json", &recording)
	room := unique("lifecycle")
	a, b := s.dial(t, "/?topic="+room), s.dial(t, "/?topic="+room)
	for _, step := range recording.Lifecycle {
		switch step.Step {
		case "A closed":
			a.bye()
		case "B closed":
			b.bye()
		}
		for _, frame := range step.Sender {
			var said struct{ Data string }
			if err := json.Unmarshal([]byte(frame), &said); err != nil {
				t.Fatal(err)
			}
			a.say(said.Data)
		}
		a.hearsScript(step.Step, step.Sender...)
		b.hearsScript(step.Step, step.Other...)
		if want := step.TableCount; want != nil {
			eventually(t, step.Step, func() bool { return len(s.members(t, "broadcast", room)) == *want })
		}
	}
}

// A recordedStep is a step of what the original of the rooms app answered.
type recordedStep struct {
	Step, From, Input string
	Frames            map[string][]string
	Result            json.RawMessage
}

func testRecordedRooms(t *testing.T, s server) {
	var recording struct{ Steps []recordedStep }
	load(t, "app/testdata/rooms.json", &recording)
	topic := unique("t1")
	clients := make(map[string]*client)
	for _, name := range []string{"alice", "bob", "carol"} {
		clients[name] = s.dial(t, "/rooms", "X-WhoAmI: "+name)
	}
	replayed := 0
	for _, step := range recording.Steps {
		// In the recording a subscription belonged to a user, and the newest connection got the messages; when the
		// older one closed, all was lost. Here it belongs to the connection: from there on expectations differ.
		if strings.Contains(step.Input, "alice connected twice") {
			break
		}
		if replayRooms(t, s, clients, step, topic) {
			replayed++
		}
	}
	if replayed < 30 {
		t.Errorf("only %d steps were replayed", replayed)
	}
	for name, c := range clients {
		c.hearsNothing("at the end of the recording, " + name)
	}
}

// replayRooms replays a step with a topic of our own in place of t1, and reports whether there was anything to do.
func replayRooms(t *testing.T, s server, clients map[string]*client, step recordedStep, topic string) bool {
	t.Helper()
	ours := func(text string) string { return strings.ReplaceAll(text, `"t1"`, `"`+topic+`"`) }
	switch {
	case step.From != "":
		clients[step.From].say(ours(step.Input))
		for name, frames := range step.Frames {
			for _, f := range frames {
				if f == `{"action":"subscribe","ok":true}` { // the recording's reply lost its topic
					f = `{"action":"subscribe","topic":"t1","ok":true}`
				}
				clients[name].hearsScript(step.From+" says "+step.Input, ours(f))
			}
		}
		return true
	case step.Step == "GET /redis/t1" || step.Step == "GET /redis/none":
		path := strings.Replace(step.Step, "/redis/", "/topics/", 1)
		path = strings.Replace(path, "t1", topic, 1) + "?app=rooms"
		var want struct {
			Status int
			Body   string
		}
		if err := json.Unmarshal(step.Result, &want); err != nil {
			t.Fatal(err)
		}
		a := s.ask(t, path)
		if a.status == 404 {
			return false // a home without lists of topics
		}
		a.wants(t, step.Step, want.Status, want.Body+"\n")
		return true
	}
	return false
}

// testRecordedDirectory replays the recording; other people's connections may be listed among ours.
func testRecordedDirectory(t *testing.T, s server) {
	var recording struct {
		Cases []struct{ Step, Input string }
	}
	load(t, "app/testdata/directory.json", &recording)
	a, b := s.dial(t, "/directory"), s.dial(t, "/directory")
	idA, idB := a.id(), b.id()
	for _, c := range recording.Cases {
		if c.Step == "B closed" {
			b.bye()
			eventually(t, "B is not listed", func() bool { return !strings.Contains(directory(t, a, c.Input), idB) })
			continue
		}
		list := directory(t, a, c.Input)
		for _, id := range []string{idA, idB} {
			if !strings.Contains(list, `{"connectionId":"`+id+`"}`) {
				t.Errorf("%s is not in %s", id, list)
			}
		}
		b.hearsNothing("the list is for who asks")
	}
}

// directory says something and returns the list that comes back, having checked its form.
func directory(t *testing.T, c *client, input string) string {
	t.Helper()
	c.say(input)
	list := c.next()
	var all struct {
		Items               []struct{ ConnectionID string }
		Count, ScannedCount int
	}
	d := json.NewDecoder(strings.NewReader(list))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	if all.Count != len(all.Items) || all.ScannedCount != len(all.Items) || all.Count == 0 {
		t.Errorf("%d items, but %s", len(all.Items), list)
	}
	if !strings.HasPrefix(list, `{"Items":[{"connectionId":"`) {
		t.Errorf("the list begins with %.60s", list)
	}
	return list
}
