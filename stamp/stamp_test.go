package stamp

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppend(t *testing.T) {
	plain, room, payload := Stamp{Now: 5}, Stamp{Now: 5, Topic: "a\"b"}, Stamp{Now: 5, Topic: "t", Name: "payload"}
	for _, c := range []struct {
		why   string
		stamp Stamp
		in    string
		want  string
	}{
		{"text", plain, `hi`, `{"data":"hi","_now":5,"_me":false}`},
		{"text is escaped as JSON.stringify does", plain, "\"\\/\b\t\n\f\r\x00\x1f\x7f<\u2028é",
			`{"data":"\"\\/\b\t\n\f\r\u0000\u001f` + "\x7f<\u2028é" + `","_now":5,"_me":false}`},
		{"nothing is text", plain, ``, `{"data":"","_now":5,"_me":false}`},
		{"white space is text", plain, "   ", `{"data":"   ","_now":5,"_me":false}`},
		{"bytes that are no UTF-8 pass", plain, "\xff\xfe", "{\"data\":\"\xff\xfe\",\"_now\":5,\"_me\":false}"},

		{"object", plain, `{"a":1}`, `{"a":1,"_now":5,"_me":false}`},
		{"no members, no comma", plain, `{}`, `{"_now":5,"_me":false}`},
		{"no members, but white space", plain, ` { } `, `{ "_now":5,"_me":false}`},
		{"only outer white space goes", plain, " \r\n\t{ \"a\" :\t1 , \"b\":[ 1 ] } ", "{ \"a\" :\t1 , \"b\":[ 1 ] ,\"_now\":5,\"_me\":false}"},
		{"members survive byte for byte", plain,
			`{"n":9007199254740993,"f":1.0,"e":1E+400,"z":-0,"s":"\u0061\/\ud800","a":1,"a":2,"__proto__":{}}`,
			`{"n":9007199254740993,"f":1.0,"e":1E+400,"z":-0,"s":"\u0061\/\ud800","a":1,"a":2,"__proto__":{},"_now":5,"_me":false}`},

		{"in place", plain, `{"_me":"x","a":1,"_now":{"b":[]}}`, `{"_me":false,"a":1,"_now":5}`},
		{"in place with white space", plain, `{ "_me" : "x" , "a":1 }`, `{ "_me" : false , "a":1 ,"_now":5}`},
		{"only one", plain, `{"_me":1}`, `{"_me":false,"_now":5}`},
		{"twice", plain, `{"_me":1,"_me":2}`, `{"_me":false,"_now":5}`},
		{"twice, the other in between", plain, `{ "_now" : 1 , "a":2 , "_now":3 }`, `{ "_now" : 5 , "a":2  ,"_me":false}`},
		{"thrice, then another member", plain, `{"_me":1,"_me":2 , "_me":3 , "a":4}`, `{"_me":false  , "a":4,"_now":5}`},
		{"all twice", plain, `{"_me":1,"_now":2,"_me":3,"_now":4}`, `{"_me":false,"_now":5}`},
		{"escaped names are the same names", plain, `{"\u005fme":1,"_\u006D\u0065":2,"_me":3}`, `{"\u005fme":false,"_now":5}`},
		{"similar names are not", plain, `{"_ME":1,"_me ":2,"_m":3,"":4,"\\u005fme":5,"_me\u0000":6}`,
			`{"_ME":1,"_me ":2,"_m":3,"":4,"\\u005fme":5,"_me\u0000":6,"_now":5,"_me":false}`},
		{"only at the top", plain, `{"a":{"_me":1,"_now":2}}`, `{"a":{"_me":1,"_now":2},"_now":5,"_me":false}`},
		{"the word false elsewhere", plain, `{"a":"false","_me":false,"b":false}`, `{"a":"false","_me":false,"b":false,"_now":5}`},

		{"topic", room, `{"a":1}`, `{"a":1,"_topic":"a\"b","_now":5,"_me":false}`},
		{"topic alone", room, `null`, `{"_topic":"a\"b","_now":5,"_me":false}`},
		{"topic in place", room, `{"_me":0,"_topic":1,"\u005ftopic":2}`, `{"_me":false,"_topic":"a\"b","_now":5}`},
		{"no topic, so the client may have one", plain, `{"_topic":1,"_topic":2}`, `{"_topic":1,"_topic":2,"_now":5,"_me":false}`},

		{"array", plain, `[ 1.0 ,"two",{ "three":3 },null]`, `{"0":1.0,"1":"two","2":{ "three":3 },"3":null,"_now":5,"_me":false}`},
		{"array of ten or more", plain, `[0,0,0,0,0,0,0,0,0,0,0]`,
			`{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"10":0,"_now":5,"_me":false}`},
		{"empty array", plain, ` [ ] `, `{"_now":5,"_me":false}`},
		{"null", plain, ` null `, `{"_now":5,"_me":false}`},
		{"string", plain, ` "\u0061" `, `{"data":"\u0061","_now":5,"_me":false}`},
		{"number", plain, `-1.50e+3`, `{"data":-1.50e+3,"_now":5,"_me":false}`},
		{"true", plain, `true`, `{"data":true,"_now":5,"_me":false}`},

		{"another name for a scalar", payload, `1`, `{"payload":1,"_topic":"t","_now":5,"_me":false}`},
		{"another name for a text", payload, `x`, `{"payload":"x","_topic":"t","_now":5,"_me":false}`},
		{"a name to escape", Stamp{Name: "\n"}, `1`, `{"\n":1,"_now":0,"_me":false}`},
		{"a time before 1970", Stamp{Now: -1}, `1`, `{"data":1,"_now":-1,"_me":false}`},
	} {
		t.Run(c.why, func(t *testing.T) {
			checkAppend(t, c.stamp, c.in, c.want)
		})
	}
}

// What is nearly JSON is text.
func TestAppendNotJSON(t *testing.T) {
	for _, in := range []string{
		`{"a":1,}`, `{,"a":1}`, `{"a":1,,"b":2}`, `{"a":1 "b":2}`, `{"a" 1}`, `{"a":}`, `{"a"}`, `{a:1}`, `{"a":`, `{"a":1`, `{`, `}`, `{]`, `{"a":1]`, `{"a":1}}`, `{"a":1}{}`, `{"a":1}//x`, `{'a':1}`,
		`{"_me":1,"_me":2,}`, `{"_now":1,"a"}`,
		`[1,]`, `[,1]`, `[1`, `[`, `]`, `[}`, `[1}`, `[1]]`, `[1 2]`, `[[1,]]`, `[{"a":1,}]`, `[{"a"}]`, `[{]`, `[[}]`, `[{}`, `[[],`, `[{"a":[}]`,
		`NaN`, `Infinity`, `undefined`, `nul`, `nulll`, `True`, `tru`, `falsy`,
		`01`, `-01`, `+1`, `-`, `1.`, `.5`, `1.e1`, `1e`, `1e+`, `0x1`, `1_0`, `1,`, `1 2`, `--1`,
		`"`, `"a`, `"a"b`, `"\"`, `"\x"`, `"\u12"`, `"\u123`, `"\u12g4"`, `"\U0041"`, "\"a\x00\"", "\"12345678\t\"", "\"\x1f\"",
		"\ufeff{\"a\":1}", "\u00a0{}", "\v{}", "{}\x00", "{\"a\":\u20281}",
	} {
		want := `{"data":` + slowString(in) + `,"_now":5,"_me":false}`
		checkAppend(t, Stamp{Now: 5}, in, want)
	}
}

// checkAppend checks both copies, and that what was in dst before stays there.
func checkAppend(t *testing.T, s Stamp, in, want string) {
	t.Helper()
	const before = "false"
	out, me := s.Append([]byte(before), []byte(in))
	others, kept := strings.CutPrefix(string(out), before)
	if !kept {
		t.Fatalf("Append(%q) changed dst: %q", in, out)
	}
	if others != want {
		t.Fatalf("Append(%q)\n got %s\nwant %s", in, others, want)
	}
	if !json.Valid([]byte(others)) {
		t.Fatalf("Append(%q) is not JSON: %s", in, others)
	}
	if me < 0 || me+5 > len(others) || others[me:me+5] != "false" {
		t.Fatalf("Append(%q): nothing false at %d of %s", in, me, others)
	}
	mine := string(AppendMine([]byte(before), []byte(others), me))
	if mine != before+others[:me]+"true"+others[me+5:] {
		t.Fatalf("AppendMine(%q) = %s", others, mine)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(mine[len(before):]), &members); err != nil || string(members["_me"]) != "true" {
		t.Fatalf("%s: _me is not true (%v)", mine, err)
	}
}

func TestMaxDepth(t *testing.T) {
	nest := func(open, close string, depth int) string {
		return strings.Repeat(open, depth) + strings.Repeat(close, depth)
	}
	for _, depth := range []int{1, 2, 63, 64, 65, 66, 127, 128, 129, 130, MaxDepth - 1, MaxDepth} {
		in := nest("[", "]", depth)
		checkAppend(t, Stamp{}, in, slowAppend(Stamp{}, in))
		if strings.Contains(slowAppend(Stamp{}, in), "data") {
			t.Errorf("%d levels are not JSON", depth)
		}
		in = `{"a":` + nest(`[{"a":`, "}]", (depth-1)/2)
		in = strings.Replace(in, ":}", ":0}", 1) + "}"
		checkAppend(t, Stamp{}, in, slowAppend(Stamp{}, in))
	}
	for _, depth := range []int{MaxDepth + 1, MaxDepth + 2, 2 * MaxDepth} {
		in := nest("[", "]", depth)
		checkAppend(t, Stamp{}, in, `{"data":"`+in+`","_now":0,"_me":false}`)
		if in = `{"a":` + nest("[", "]", depth-1) + `}`; Object([]byte(in), nil, nil) {
			t.Errorf("%d levels are an object", depth)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	dst, mine := make([]byte, 0, 16<<10), make([]byte, 0, 16<<10)
	names := []string{"action", "topic", "payload"}
	values := make([][]byte, len(names))
	s := Stamp{Now: 1700000000000, Topic: "lobby"}
	for _, m := range messages {
		data := []byte(m.data)
		allocs := testing.AllocsPerRun(100, func() {
			others, me := s.Append(dst, data)
			AppendMine(mine, others, me)
			Object(data, names, values)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", m.name, allocs)
		}
	}
}

func TestObject(t *testing.T) {
	for _, c := range []struct{ in, action, topic string }{
		{`{"action":"a","topic":"b"}`, `"a"`, `"b"`},
		{` { "action" : {"topic":1} , "b":2 } `, `{"topic":1}`, ``},
		{`{"action":1,"action":[2]}`, `[2]`, ``},
		{`{"\u0061ction":1,"t\u006Fpic":2}`, `1`, `2`},
		{`{"\\u0061ction":1,"Topic":2,"topi":3,"topic\u0000":4}`, ``, ``},
		{`{"action":null}`, `null`, ``},
		{`{}`, ``, ``},
	} {
		var v [2][]byte
		if !Object([]byte(c.in), []string{"action", "topic"}, v[:]) {
			t.Errorf("Object(%s) = false", c.in)
		}
		if string(v[0]) != c.action || string(v[1]) != c.topic {
			t.Errorf("Object(%s) found %q, want %q and %q", c.in, v, c.action, c.topic)
		}
	}
	for _, in := range []string{``, ` `, `null`, `"action"`, `[]`, `{"action":1,}`, `{"action":1}x`, `{"action":1`} {
		v := [][]byte{{}}
		if Object([]byte(in), []string{"action"}, v) || v[0] != nil {
			t.Errorf("Object(%s) is true, or found %q", in, v)
		}
	}
	for name, in := range map[string]string{
		`\n`: `{"\n":1}`, "": `{"\u0000":1}`, "😀": `{"\ud83d":1}`, "a": `{"":1}`,
	} {
		v := [][]byte{{}}
		if !Object([]byte(in), []string{name}, v) || v[0] != nil {
			t.Errorf("%s has a member %q", in, name)
		}
	}
	for name, in := range map[string]string{
		`\n`: `{"\\n":1}`, "": `{"":1}`, "😀": `{"\uD83D\ude00":1}`, "\u2028\b\"/": `{"` + "\u2028" + `\b\"\/":1}`,
	} {
		v := [][]byte{{}}
		if !Object([]byte(in), []string{name}, v) || string(v[0]) != "1" {
			t.Errorf("%s has no member %q", in, name)
		}
	}
}

func TestString(t *testing.T) {
	for raw, want := range map[string]string{
		`""`:                       "",
		`"hi"`:                     "hi",
		`"\"\\\/\b\f\n\r\t"`:       "\"\\/\b\f\n\r\t",
		`"\u0041\u00e9\uFFff"`:     "Aé\uffff",
		`"a\ud83d\ude00b"`:         "a😀b",
		`"\ud800"`:                 "\ufffd",
		`"\udc00\ud800x"`:          "\ufffd\ufffdx",
		`"\ud800\u0041"`:           "\ufffdA",
		`"\ud800\ud83d\ude00"`:     "\ufffd😀",
		`"\ud800\n"`:               "\ufffd\n",
		"\"é\u2028\x7f\"":          "é\u2028\x7f",
		`"long enough for a word"`: "long enough for a word",
	} {
		if got, ok := String([]byte(raw)); !ok || got != want {
			t.Errorf("String(%s) = %q, %v; want %q", raw, got, ok, want)
		}
	}
	for _, raw := range []string{``, `"`, `a`, `1`, `null`, ` "a"`, `"a" `, `"a"b"`, `"\u12"`, `["a"]`, "\"\n\""} {
		if got, ok := String([]byte(raw)); ok || got != "" {
			t.Errorf("String(%s) = %q, %v", raw, got, ok)
		}
	}
}

// Every byte at every place in a word, next to every kind of neighbour.
func TestPlain(t *testing.T) {
	for _, around := range []byte{'a', 0x80, 0xff, ' ', '!', '#', '[', ']', 0x7f} {
		for c := range 256 {
			for at := range 17 {
				s := bytes.Repeat([]byte{around}, 24)
				s[at] = byte(c)
				want := len(s)
				if c < ' ' || c == '"' || c == '\\' {
					want = at
				}
				if got := plain(s); got != want {
					t.Fatalf("plain(%q) = %d, want %d", s, got, want)
				}
				if got := plain(string(s)); got != want {
					t.Fatalf("plain of string %q = %d, want %d", s, got, want)
				}
			}
		}
	}
}

func TestAppendStringRoundTrip(t *testing.T) {
	for c := range rune(0x3000) {
		s := "a" + string(c)
		raw := AppendString([]byte("x"), s)[1:]
		if string(raw) != slowString(s) {
			t.Fatalf("AppendString(%q) = %s", s, raw)
		}
		if got, ok := String(raw); !ok || got != s || !utf8.Valid(raw) {
			t.Fatalf("String(%s) = %q, %v", raw, got, ok)
		}
	}
}
