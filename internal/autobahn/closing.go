package autobahn

import (
	"bytes"
	"fmt"
	"strings"
)

// closedBy is a case whose frames close the connection. It is for the server to
// answer with one of the codes.
func closedBy(id, does string, codes []int, frames ...Frame) Case {
	return Case{ID: id, Does: does, Steps: []Step{{Frames: frames, Closes: true}}, Codes: codes}
}

// closing is 7.1.
func closing() []Case {
	clean := func(id, does string, frames ...Frame) Case {
		c := closedBy(id, does, []int{1000}, frames...)
		c.Clean = true
		return c
	}
	bye := closeFrame(1000, "")
	large := message{opText, bytes.Repeat([]byte("BAsd7&jh23"), 256<<10/10+1)[:256<<10]}
	late := clean("7.1.6", "sends text of 256 KiB, text, a close frame and a ping",
		large.frame(), helloThere.frame(), bye, ping(""))
	late.Want, late.Lax = []Event{large.event(), helloThere.event()}, [][]Event{nil, {large.event()}}
	late.Informational = true
	return []Case{
		echoed(Case{ID: "7.1.1", Does: "sends text, and closes when it has come back",
			Steps: once(0, helloThere.frame())}, helloThere.event()),
		clean("7.1.2", "sends two close frames", bye, Frame{Op: opClose}),
		clean("7.1.3", "sends a close frame and a ping", bye, ping("")),
		clean("7.1.4", "sends a close frame and text", bye, helloThere.frame()),
		clean("7.1.5", "sends a fragment, a close frame and the last fragment",
			fragment(opText, "fragment1"), bye, last(opContinuation, "fragment2")),
		late,
	}
}

// closeFrames is 7.3 and 7.5.
func closeFrames() []Case {
	list := []Case{
		closedBy("7.3.1", "closes without a code", []int{1000, noCode}, Frame{Op: opClose}),
		closedBy("7.3.2", "closes with one octet", []int{1002}, last(opClose, "a")),
		closedBy("7.3.3", "closes with a code", []int{1000}, closeFrame(1000, "")),
		closedBy("7.3.4", "closes with a code and a reason", []int{1000}, closeFrame(1000, "Hello World!")),
		closedBy("7.3.5", "closes with a reason of 123 octets", []int{1000}, closeFrame(1000, strings.Repeat("*", 123))),
		closedBy("7.3.6", "closes with a reason of 124 octets", []int{1002}, closeFrame(1000, strings.Repeat("*", 124))),
		closedBy("7.5.1", "closes with a reason that is not UTF-8", []int{1002, 1007},
			closeFrame(1000, greek+"\xed\xa0\x80edited")),
	}
	for i := range list {
		list[i].Clean = list[i].Codes[0] == 1000
	}
	return list
}

// closeCodes is 7.7, 7.9 and 7.13.
func closeCodes() (list []Case) {
	add := func(section, number, code int, codes ...int) *Case {
		list = append(list, closedBy(fmt.Sprintf("7.%d.%d", section, number), fmt.Sprintf("closes with code %d", code),
			codes, closeFrame(code, "")))
		return &list[len(list)-1]
	}
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		add(7, i+1, code, 1000, code).Clean = true
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		add(9, i+1, code, 1002)
	}
	for i, code := range []int{5000, 65535} {
		add(13, i+1, code, 1000, 1002, code).Informational = true
	}
	return list
}

// The suite has 18 sizes and fragmentations for each kind of data and each offer
// of sections 12 and 13. To a server that does not agree to compression it sends
// nothing in any of them.
const deflateSizes = 18

// compression is sections 12 and 13: the client offers permessage-deflate.
func compression() []Case {
	const offer = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
	const takeover = "; server_no_context_takeover"
	const bits8, bits15 = "; server_max_window_bits=8", "; server_max_window_bits=15"
	list := []Case{
		{ID: "12.*", Stands: 5 * deflateSizes, Offer: offer, Does: "offers `" + offer + "`, for five kinds of data"},
		{ID: "13.1.*", Stands: deflateSizes, Offer: offer, Does: "offers the same, as do the next ones"},
	}
	for i, more := range []string{takeover, bits8, bits15, takeover + bits8, takeover + bits15} {
		list = append(list, Case{ID: fmt.Sprintf("13.%d.*", i+2), Stands: deflateSizes, Offer: offer + more,
			Does: "adds `" + more[2:] + "`"})
	}
	list = append(list, Case{ID: "13.7.*", Stands: deflateSizes, Does: "offers those of 13.5, 13.2 and 13.1 to choose from",
		Offer: offer + takeover + bits8 + ", " + offer + takeover + ", " + offer})
	for i := range list {
		list[i] = echoed(list[i])
	}
	return list
}

// ours is what the suite lacks: 3.6 as it is described there; fragments that end
// amid a character; and some of its cases with all that the client sends in
// single octets, from the handshake on. Under TLS those are octets of ciphertext.
func ours(suite []Case) []Case {
	list := []Case{
		refused(Case{ID: "3.6, ping", Does: "sends a ping with RSV = 6",
			Steps: once(0, Frame{Op: opPing, RSV: 6, Payload: hello.payload})}),
		notText(Case{ID: "6.6.10, fragments", Does: "sends the start of a valid text in fragments of one octet",
			Steps: once(0, fragments(opText, []byte(greek[:10]), 1)...)}),
	}
	for _, c := range suite {
		switch c.ID {
		case "1.1.1", "1.1.3", "1.2.5", "2.4", "2.10", "3.2", "5.6", "5.15", "5.19", "6.2.3", "6.3.1", "6.4.2",
			"7.1.1", "7.1.3", "7.3.5", "7.9.4":
			c.ID += ", octets"
			c.Octets, c.Stands = true, 0
			list = append(list, c)
		}
	}
	return list
}
