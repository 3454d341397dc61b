package app

import (
	"strconv"

	"crier/stamp"
)

// AppendErrorFrame appends the text that tells a connection why its message was refused, byte for byte as API Gateway
// writes it, which is not how a JSON encoder would:
//
//	{"message": "Forbidden", "connectionId":"eHrdFcnvvHcCE-w=", "requestId":"eHrjDEuVPHcFWMg="}
//
// Seen in many reports, github.com/aws/chalice/issues/1406 among them.
func AppendErrorFrame(dst []byte, message, connectionID, requestID string) []byte {
	dst = append(dst, `{"message": `...)
	dst = stamp.AppendString(dst, message)
	dst = append(dst, `, "connectionId":`...)
	dst = stamp.AppendString(dst, connectionID)
	dst = append(dst, `, "requestId":`...)
	dst = stamp.AppendString(dst, requestID)
	return append(dst, '}')
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }
