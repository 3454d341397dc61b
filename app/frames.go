package app

import (
	"strconv"

	"crier/stamp"
)

// AppendErrorFrame appends the text that tells a connection why its message was
// refused. It is byte for byte as API Gateway writes it, which differs from
// what a JSON encoder would write:
//
//	{"message": "Forbidden", "connectionId":"eHrdFcnvvHcCE-w=", "requestId":"eHrjDEuVPHcFWMg="}
//
// It is seen in many reports, such as github.com/aws/chalice/issues/1406.
func AppendErrorFrame(dst []byte, message, connectionID, requestID string) []byte {
	dst = append(dst, `{"message": `...)
	dst = stamp.AppendString(dst, message)
	dst = append(dst, `, "connectionId":`...)
	dst = stamp.AppendString(dst, connectionID)
	dst = append(dst, `, "requestId":`...)
	dst = stamp.AppendString(dst, requestID)
	return append(dst, '}')
}

// AppendSkipped appends the text that tells a connection how many messages it
// missed because it reads too slowly:
//
//	{"_skipped":12,"_now":1561016329388}
//
// A message to several of its topics counts once for each of them.
func AppendSkipped(dst []byte, messages int, now int64) []byte {
	dst = append(dst, `{"_skipped":`...)
	dst = appendInt(dst, messages)
	dst = append(dst, `,"_now":`...)
	dst = strconv.AppendInt(dst, now, 10)
	return append(dst, '}')
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }
