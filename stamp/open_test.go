package stamp

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

var openNames = []string{"_topic", "_key", "_id"}

func TestOpen(t *testing.T) {
	for _, c := range []struct{ data, out, values, twice string }{
		{`hi`, `{"data":"hi"`, "", ""},
		{``, `{"data":""`, "", ""},
		{`null`, `{`, "", ""},
		{`[1,[2]]`, `{"0":1,"1":[2]`, "", ""},
		{` "x" `, `{"data":"x"`, "", ""},
		{`{}`, `{`, "", ""},
		{` { } `, `{`, "", ""},
		{`{"a":1}`, `{"a":1`, "", ""},
		{`{ "a" : 1 , "b":2 }`, `{ "a" : 1 , "b":2 `, "", ""},
		{`{"_key":"k"}`, `{`, `_key="k"`, ""},
		{`{"_key":"k","a":1}`, `{"a":1`, `_key="k"`, ""},
		{`{"_key":"k","_id":7,"a":1,"b":2}`, `{"a":1,"b":2`, `_key="k" _id=7`, ""},
		{`{"a":1,"_key":"k","b":2}`, `{"a":1,"b":2`, `_key="k"`, ""},
		{`{"a":1,"b":2,"_key":"k"}`, `{"a":1,"b":2`, `_key="k"`, ""},
		{`{"a":1,"_key":"k","_id":{"x":[1]}}`, `{"a":1`, `_key="k" _id={"x":[1]}`, ""},
		{`{"a":1,"_id":1,"b":2,"_id":2,"c":3}`, `{"a":1,"b":2,"c":3`, `_id=2`, "_id"},
		{`{"\u005fkey":"k","a":1}`, `{"a":1`, `_key="k"`, ""},
		{`{"_Key":"k","_keys":1,"a":{"_key":1}}`, `{"_Key":"k","_keys":1,"a":{"_key":1}`, "", ""},
		{`{"_key":"k",}`, `{"data":"{\"_key\":\"k\",}"`, "", ""},
		{`{"_key":"k"`, `{"data":"{\"_key\":\"k\""`, "", ""},
	} {
		var values [3][]byte
		out, members, twice := Open([]byte("before"), []byte(c.data), openNames, values[:])
		var found, again []string
		for i, name := range openNames {
			if values[i] != nil {
				found = append(found, name+"="+string(values[i]))
			}
			if twice&(1<<i) != 0 {
				again = append(again, name)
			}
		}
		slices.SortFunc(found, func(a, b string) int { return strings.Index(c.values, a) - strings.Index(c.values, b) })
		if string(out) != "before"+c.out || strings.Join(found, " ") != c.values || strings.Join(again, " ") != c.twice {
			t.Errorf("%s: %s, found %q, twice %q", c.data, out, found, again)
		}
		if members != (len(strings.TrimSpace(c.out)) > 1) {
			t.Errorf("%s: members is %v", c.data, members)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, r := range recordings(f) {
		f.Add([]byte(r.Input))
	}
	f.Add([]byte(`{"_key":1, "a" : 2 ,"_id":[] , "b":3,"_id":4}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var values [3][]byte
		out, members, _ := Open(nil, data, openNames, values[:])
		if members {
			out = append(out, ',')
		}
		out = append(out, `"_end":0}`...)
		var got map[string]json.RawMessage
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q became %q: %v", data, out, err)
		}
		var want [3][]byte
		whole := Object(data, openNames, want[:])
		for i, name := range openNames {
			if got[name] != nil {
				t.Fatalf("%q became %q", data, out)
			}
			if string(values[i]) != string(want[i]) {
				t.Fatalf("%q: %s is %q, want %q", data, name, values[i], want[i])
			}
		}
		if !whole {
			return
		}
		var all map[string]json.RawMessage
		json.Unmarshal(data, &all)
		for _, name := range append(openNames, "_end") {
			delete(all, name)
			delete(got, name)
		}
		if len(all) != len(got) {
			t.Fatalf("%q became %q", data, out)
		}
		for name, value := range all {
			if string(got[name]) != string(value) {
				t.Fatalf("%q became %q: %q is %s", data, out, name, got[name])
			}
		}
	})
}
