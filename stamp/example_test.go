package stamp_test

import (
	"fmt"

	"crier/stamp"
)

func Example() {
	s := stamp.Stamp{Now: 1700000000000}
	for _, said := range []string{
		`hi`,
		`{"move": "left", "id": 9007199254740993}`,
		`{"_me":"forged","a":1.0}`,
		`["a",{"b":2}]`,
	} {
		others, me := s.Append(nil, []byte(said))
		fmt.Printf("%s\n", others)
		fmt.Printf("%s\n", stamp.AppendMine(nil, others, me))
	}
	// Output:
	// {"data":"hi","_now":1700000000000,"_me":false}
	// {"data":"hi","_now":1700000000000,"_me":true}
	// {"move": "left", "id": 9007199254740993,"_now":1700000000000,"_me":false}
	// {"move": "left", "id": 9007199254740993,"_now":1700000000000,"_me":true}
	// {"_me":false,"a":1.0,"_now":1700000000000}
	// {"_me":true,"a":1.0,"_now":1700000000000}
	// {"0":"a","1":{"b":2},"_now":1700000000000,"_me":false}
	// {"0":"a","1":{"b":2},"_now":1700000000000,"_me":true}
}

func ExampleObject() {
	said := []byte(`{"action":"broadcast","payload":{"x":1},"topic":"lob\u0062y"}`)
	var v [3][]byte
	if stamp.Object(said, []string{"action", "topic", "payload"}, v[:]) {
		action, _ := stamp.String(v[0])
		topic, ok := stamp.String(v[1])
		fmt.Println(action, topic, ok, string(v[2]))
	}
	// Output: broadcast lobby true {"x":1}
}
