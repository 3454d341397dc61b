package app

import "testing"

func BenchmarkLive(b *testing.B) {
	for _, m := range []struct{ name, data string }{
		{"object", `{"type":"move","player":"ann","x":128,"y":-7.25,"keys":["a","d"]}`},
		{"pointer", `{"x":128,"y":-7.25,"_keep":false}`},
		{"state", `{"x":128,"y":-7.25,"_key":"cursor","_tied":true}`},
	} {
		b.Run(m.name, func(b *testing.B) {
			var o Order
			conn := &Conn{ID: "JC1dgf9yoAMCK-g=", Identity: Identity{User: "ada"}, Topics: []string{"a"}}
			ev := Event{Kind: Message, Conn: conn, Now: 1561016329388, Data: []byte(m.data)}
			b.ReportAllocs()
			for b.Loop() {
				Live{}.Message(&o, ev)
			}
		})
	}
}
