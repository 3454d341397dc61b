package api

import (
	"strings"
	"testing"
)

// TestSelection holds the examples of API Gateway's documentation, and what follows from them.
func TestSelection(t *testing.T) {
	const body = `{"service":"chat","action":"join","data":{"room":"room1234"}}`
	for _, test := range []struct{ expression, message, want string }{
		{"$request.body.action", body, "join"},
		{"${request.body.action}", body, "join"},
		{"${request.body.service}/${request.body.action}", body, "chat/join"},
		{"${request.body.action}-${request.body.invalidPath}", body, "join-"},
		{"action", body, "action"},
		{`\$default`, body, "$default"},
		{"$request.body.service/$request.body.action", body, "chat/join"},
		{"$request.body.data.room", body, "room1234"},
		{"$request.body['data']['room']", body, "room1234"},
		{`$request.body.data["room"]`, body, "room1234"},
		{"$request.body.action", `{"action":["item1","item2"]}`, "[item1, item2]"},
		{"$request.body.a[0]", `{"a":["x","y"]}`, "x"},
		{"$request.body.a[-1]", `{"a":["x","y"]}`, "y"},
		{"$request.body.a[2]", `{"a":["x","y"]}`, ""},
		{"$request.body.a[*].b", `{"a":[{"b":1},{"c":2},{"b":"z"}]}`, "[1, z]"},
		{"$request.body[0]", `["x"]`, "x"},
		{"$request.body.action", `{"action":1}`, "1"},
		{"$request.body.action", `{"action":1.0}`, "1.0"},
		{"$request.body.action", `{"action":12345678901234567890}`, "12345678901234567890"},
		{"$request.body.action", `{"action":true}`, "true"},
		{"$request.body.action", `{"action":null}`, ""},
		{"$request.body.action", `{"action":{"b":1,"a":2}}`, `{"a":2,"b":1}`},
		{"$request.body.action", `{"action":"a","action":"b"}`, "b"},
		{"$request.body.action", `[1]`, ""},
		{"$request.body.action", `"action"`, ""},
		{"$request.body.action.deeper", body, ""},
		{"$request.body.Action", body, ""},
		{"$request.body", `"word"`, "word"},
		{"$request.body.action", `hello`, "none"},
		{"$request.body.action", ``, "none"},
		{"$request.body.action", `{"action":"a"} {}`, "none"},
		{"$request.body.action", `{"action":"a"}}`, "none"},
		{"$request.body.action", `{"action":"a"}]`, "none"},
		{"$request.body.action", "{\"action\":\"a\"}\r\n", "a"},
		{"action", `hello`, "action"},
	} {
		s, err := ParseSelection(test.expression)
		if err != nil {
			t.Errorf("%s: %v", test.expression, err)
			continue
		}
		got, ok := s.Key([]byte(test.message))
		if !ok {
			got = "none"
		}
		if got != test.want {
			t.Errorf("%s of %s: got %q, want %q", test.expression, test.message, got, test.want)
		}
		if s.String() != test.expression {
			t.Errorf("%s becomes %s", test.expression, s)
		}
	}
}

func TestSelectionMistakes(t *testing.T) {
	for expression, want := range map[string]string{
		"":                        "empty",
		"${request.body.action":   "no }",
		"$request.header.x":       "there is no variable $request.header.x",
		"$context.routeKey":       "a message has $request.body",
		"$request.body..action":   ".. is not known",
		"$request.body.":          "no name after a dot",
		"$request.body[0":         "no ]",
		"${request.body[x]}":      "neither a number nor a name in quotes",
		"${request.bodyaction}":   "want a dot or [",
		"a $request.body.x $else": "there is no variable $else",
	} {
		if _, err := ParseSelection(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", expression, err, want)
		}
	}
}

// FuzzSelection: no expression and no message makes Key panic, and what has no body in it is the same for all messages.
func FuzzSelection(f *testing.F) {
	f.Add("$request.body.a[0]['b'].*", `{"a":[{"b":1}]}`)
	f.Add(`x\$${request.body}`, `[[]]`)
	f.Fuzz(func(t *testing.T, expression, message string) {
		s, err := ParseSelection(expression)
		if err != nil {
			return
		}
		key, ok := s.Key([]byte(message))
		if again, okAgain := s.Key([]byte(message)); again != key || ok != okAgain {
			t.Errorf("%q of %q: %q, then %q", expression, message, key, again)
		}
		if other, _ := s.Key([]byte("not JSON")); !s.readsBody() && other != key {
			t.Errorf("%q depends on the message: %q, %q", expression, key, other)
		}
	})
}
