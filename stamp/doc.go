// Package stamp turns what a client said into what everyone hears: bytes in,
// one stamped JSON object out.
//
//	hi                  {"data":"hi","_now":1700000000000,"_me":false}
//	{"move":"left"}     {"move":"left","_now":1700000000000,"_me":false}
//	{"_me":1,"a":1.0}   {"_me":false,"a":1.0,"_now":1700000000000}
//	["a",{"b":2}]       {"0":"a","1":{"b":2},"_now":1700000000000,"_me":false}
//	42                  {"data":42,"_now":1700000000000,"_me":false}
//	null                {"_now":1700000000000,"_me":false}
//	{"a":1,}            {"data":"{\"a\":1,}","_now":1700000000000,"_me":false}
//
// # The stamps
//
// There are up to three: the topic a message was sent to (_topic), the
// server's time (_now), and whether the receiver is who sent it (_me). They are
// the server's word. A value the client gave one of these names is replaced
// where it stands, and every further member of that name is dropped, however
// its name is spelled ("\u005fme" is _me). So a stamped message has exactly one
// of each. Stamps the client did not mention follow its members, in the order
// above. Only the top level is looked at.
//
// The sender's copy differs from everyone else's in one word, so a message is
// stamped once for all: [Stamp.Append] writes what the others get and says
// where that word is, [AppendMine] makes the sender's copy from it.
//
// # Nothing is lost
//
// Apart from stamps, an object's members come out byte for byte as they went
// in: 9007199254740993, 1.0, 1e400, escapes, duplicate names, the order, and
// the white space between the braces. The same goes for the elements of an
// array and for a lone string or number. This is why there is no tree: JSON is
// checked and copied as it is read, and no value is ever decoded.
//
// What is not JSON as RFC 8259 defines it is text, and is sent as a string. So
// is JSON nested deeper than [MaxDepth]: the server could relay it, but its
// receivers' parsers might not survive it.
//
// # What it costs
//
// Time and memory are linear in the message, whatever it says: it is read once,
// values of more than 64 levels twice, and what turns out to be text once more.
// Nothing recurses, and nothing is allocated when dst has room.
//
// # What it does not do
//
// It reads no clock, knows no connection and decides nothing about who gets
// what. It does not check UTF-8, which is the transport's business: bytes that
// are no UTF-8 never panic here, and pass as they are. It is no general JSON
// parser: [Object] finds top-level members, [String] decodes one string, and
// that is all a server needs that relays what it does not understand.
package stamp
