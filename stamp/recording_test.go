package stamp

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// A recording is what the original server answered to one message.
type recording struct{ Name, Input, Sender, Others string }

func recordings(t testing.TB) []recording {
	data, err := os.ReadFile("testdata/broadcast.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []recording }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("no recordings")
	}
	return file.Cases
}

// Where the original lost what the client said, what receivers get from us
// instead. Everywhere else they get the same.
var kept = map[string]map[string]any{
	"number-exp":              {"data": math.Inf(1)},                             // was null
	"object-numbers":          {"inf": math.Inf(1), "ninf": math.Inf(-1)},        // were null
	"object-proto-key-object": {"__proto__": map[string]any{"x": 1.0}, "a": 2.0}, // was dropped,
	"object-proto-key-scalar": {"__proto__": 5.0, "a": 2.0},                      // as here,
	"object-proto-then-read":  {"__proto__": nil, "a": 1.0},                      // and here
}

func TestRecordings(t *testing.T) {
	const now = 1700000000000
	unused := len(kept)
	for _, r := range recordings(t) {
		t.Run(r.Name, func(t *testing.T) {
			others, me := Stamp{Now: now}.Append(nil, []byte(r.Input))
			mine := AppendMine(nil, others, me)
			if kept[r.Name] != nil {
				unused--
			}
			compare(t, string(others), r.Others, kept[r.Name])
			compare(t, string(mine), r.Sender, kept[r.Name])
		})
	}
	if unused != 0 {
		t.Errorf("%d exceptions are not among the recordings", unused)
	}
}

// compare checks that a receiver gets the same from JSON.parse of either
// frame, apart from the exceptions.
func compare(t *testing.T, got, recorded string, except map[string]any) {
	t.Helper()
	want := parse(t, strings.Replace(recorded, `"<NOW>"`, "1700000000000", 1)).(map[string]any)
	if except != nil && reflect.DeepEqual(parse(t, got), want) {
		t.Errorf("%s is no exception any more", got)
	}
	for name, value := range except {
		want[name] = value
	}
	if !reflect.DeepEqual(parse(t, got), want) {
		t.Errorf("\n got %s\nwant %s\n but %v", got, recorded, except)
	}
}

// parse does what JSON.parse does: the last of equal names wins, numbers are
// float64, and too large ones infinite. (An object's order is not compared, and
// encoding/json has U+FFFD for half of a surrogate pair; the bytes are
// compared elsewhere.)
func parse(t *testing.T, frame string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(frame))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", frame, err)
	}
	return floats(v)
}

// floats replaces the numbers in v.
func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			panic(err)
		}
		return f
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = floats(v[name])
		}
	}
	return v
}
