package stamp

import (
	"encoding/json"
	"strings"
	"testing"
)

// The messages that are measured, and that must not allocate.
var messages = []struct{ name, data string }{
	{"text/64", "The quick brown fox jumps over the lazy dog, and nobody minds it."[:64]},
	{"object/64", `{"type":"move","player":"ann","x":128,"y":-7.25,"keys":["a","d"]}`},
	{"object/4096", bigObject(4096)},
	{"array/64", `["The quick brown fox",{"jumps":"over"},[1,2,3],"the lazy dog"]`},
	{"own/64", `{"_now":1,"_me":"forged","\u005fme":"again","x":1,"_topic":null}`},
	{"broken/64", `{"say":"\"hi\"","to":["everyone","in","the","room",],"at":1e5}\t`},
	{"deep/400", strings.Repeat("[", 200) + strings.Repeat("]", 200)},
}

// bigObject makes an object of about size bytes such as a game would send.
func bigObject(size int) string {
	var b strings.Builder
	b.WriteString(`{"type":"state","players":[`)
	for b.Len() < size-100 {
		b.WriteString(`{"id":"8f14e45f","name":"Ann","pos":[12.5,-3.75,0],"say":"hello, \"world\"","hp":100,"alive":true},`)
	}
	b.WriteString(`null],"tick":123456}`)
	return b.String()
}

func BenchmarkAppend(b *testing.B) {
	for _, m := range messages {
		b.Run(m.name, func(b *testing.B) {
			data, dst := []byte(m.data), make([]byte, 0, 16<<10)
			s := Stamp{Now: 1700000000000}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				s.Append(dst, data)
			}
		})
	}
}

func BenchmarkAppendMine(b *testing.B) {
	dst := make([]byte, 0, 1<<10)
	others, me := Stamp{}.Append(nil, []byte(messages[1].data))
	b.ReportAllocs()
	for b.Loop() {
		AppendMine(dst, others, me)
	}
}

func BenchmarkObject(b *testing.B) {
	names := []string{"action", "topic", "payload"}
	values := make([][]byte, len(names))
	for _, m := range []struct{ name, data string }{
		{"rooms/64", `{"action":"broadcast","topic":"lobby","payload":{"hello":"you"}}`},
		{"other/4096", bigObject(4096)},
	} {
		b.Run(m.name, func(b *testing.B) {
			data := []byte(m.data)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				Object(data, names, values)
			}
		})
	}
}

// BenchmarkValid is the yardstick: what encoding/json needs only to say yes.
func BenchmarkValid(b *testing.B) {
	for _, m := range messages[1:3] {
		b.Run(m.name, func(b *testing.B) {
			data := []byte(m.data)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				json.Valid(data)
			}
		})
	}
}
