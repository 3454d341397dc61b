package spelling

import "testing"

func TestNearest(t *testing.T) {
	query := []string{"topic", "topicName", "echo", "user", "app", "limit"}
	for typed, want := range map[string]string{
		// One slip.
		"topc": "topic", "topics": "topic", "tpoic": "topic", "topik": "topic", "usr": "user", "users": "user", "suer": "user", "ehco": "echo",
		"apps": "app", "limits": "limit", "topic1": "topic",
		// Capitals, and what is no letter.
		"Topic": "topic", "TOPICNAME": "topicName", "topic[]": "topic", "topic_name": "topicName", "topic-name": "topicName", "App": "app",
		// Two slips, in a long name.
		"topcNme": "topicName", "opticName": "topicName",
		// A known name is near itself.
		"topic": "topic",

		// Names of somebody's own.
		"token": "", "t": "", "_": "", "v": "", "ts": "", "cacheBust": "", "name": "", "room": "", "id": "", "uid": "", "": "", "[]": "",
		"top": "", "logic": "", "optic": "", "topicId": "", "userId": "", "username": "", "each": "", "ap": "", "темы": "",
	} {
		if got := Nearest(typed, query); got != want {
			t.Errorf("near %q is %q, want %q", typed, got, want)
		}
	}
	if got := Nearest("cat", []string{"bat", "cart", "cat"}); got != "cat" {
		t.Errorf("near cat is %q", got)
	}
	if got := Nearest("topic", nil); got != "" {
		t.Errorf("near nothing is %q", got)
	}
}

// TestSlips: the distance is that of the simplest way to compute it.
func TestSlips(t *testing.T) {
	var words []string
	for n := range 3 * 3 * 3 * 3 {
		word := ""
		for ; n > 0; n /= 3 {
			word += string("abc"[n%3])
		}
		words = append(words, word)
	}
	for _, a := range words {
		for _, b := range words {
			want := distance(a, b)
			if a == "" || b == "" {
				continue // is near nothing
			}
			if got := slips([]rune(a), []rune(b)); got != want && (got <= maxSlips || want <= maxSlips) {
				t.Errorf("from %q to %q there are %d slips, want %d", a, b, got, want)
			}
		}
	}
}

func distance(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	if a[0] == b[0] {
		return distance(a[1:], b[1:])
	}
	least := 1 + min(distance(a[1:], b), distance(a, b[1:]), distance(a[1:], b[1:]))
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		least = min(least, 1+distance(a[2:], b[2:]))
	}
	return least
}
