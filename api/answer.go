package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// An answer is the result of a proxy integration.
type answer struct {
	status   int    // 200 if the integration did not say
	implied  bool   // the integration did not say
	protocol string // the subprotocol that a $connect handler has chosen, or nothing
	body     []byte // what a route response sends; empty if there is nothing
	odd      error  // why API Gateway would refuse it; nil: it would not
}

// errMalformed says that a payload is not a proxy's answer.
var errMalformed = errors.New("malformed answer")

const wanted = `want an object such as {"statusCode": 200}`

// answerMembers are those of an answer: what else is in it makes API Gateway
// refuse it.
var answerMembers = []string{"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}

// parseAnswer reads what an integration returned. docs/gateway.md says what is
// known about each case. An answer that API Gateway would refuse, but whose
// meaning is clear, is read nevertheless and marked as odd.
func parseAnswer(payload []byte) (answer, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil || members == nil {
		return answer{}, fmt.Errorf("%w: it is %s; %s", errMalformed, excerptOf(payload), wanted)
	}
	a := answer{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if slices.Contains(answerMembers, name) {
			continue
		}
		a.odd = fmt.Errorf("%w: API Gateway knows no member %.40q of an answer, only %s", errMalformed, name, strings.Join(answerMembers, ", "))
		if _, ok := members["statusCode"]; !ok {
			return answer{}, a.odd
		}
		break
	}
	var err error
	if a.status, a.implied, err = statusOf(members["statusCode"]); err != nil {
		return answer{}, err
	}
	if a.protocol, err = protocolOf(members["headers"], members["multiValueHeaders"]); err != nil {
		return answer{}, err
	}
	a.body, err = bodyOf(members["body"], members["isBase64Encoded"])
	return a, err
}

// statusOf reads a status: a number, or a text of digits.
func statusOf(text json.RawMessage) (status int, implied bool, err error) {
	if absent(text) {
		return 200, true, nil
	}
	var number float64 // Python's may be 200.0
	if err := json.Unmarshal(text, &number); err == nil && number == float64(int32(number)) {
		return int(number), false, nil
	}
	var digits string
	if err := json.Unmarshal(text, &digits); err == nil {
		if status, err := strconv.ParseUint(digits, 10, 31); err == nil {
			return int(status), false, nil
		}
	}
	return 0, false, fmt.Errorf("%w: statusCode is %s", errMalformed, excerptOf(text))
}

// protocolOf returns the value of the header Sec-WebSocket-Protocol, however
// its name is spelt.
func protocolOf(headers, multiHeaders json.RawMessage) (string, error) {
	const name = "Sec-WebSocket-Protocol"
	var single map[string]any
	var multi map[string][]any
	if err := unmarshal(headers, &single); err != nil {
		return "", fmt.Errorf("%w: headers is %s; want an object of texts", errMalformed, excerptOf(headers))
	}
	if err := unmarshal(multiHeaders, &multi); err != nil {
		return "", fmt.Errorf("%w: multiValueHeaders is %s; want an object of lists", errMalformed, excerptOf(multiHeaders))
	}
	protocol := ""
	for spelt, values := range multi {
		if strings.EqualFold(spelt, name) && len(values) > 0 {
			protocol = fmt.Sprint(values[len(values)-1])
		}
	}
	for spelt, value := range single {
		if strings.EqualFold(spelt, name) && value != nil {
			protocol = fmt.Sprint(value)
		}
	}
	if strings.ContainsFunc(protocol, unicode.IsControl) {
		return "", fmt.Errorf("%w: the subprotocol %q is none", errMalformed, protocol)
	}
	return protocol, nil
}

// bodyOf reads a body: text, or a number or a truth value as their text.
func bodyOf(text, isBase64 json.RawMessage) ([]byte, error) {
	var encoded bool
	if err := unmarshal(isBase64, &encoded); err != nil {
		return nil, fmt.Errorf("%w: isBase64Encoded is %s", errMalformed, excerptOf(isBase64))
	}
	var body string
	switch {
	case absent(text):
	case text[0] == '{' || text[0] == '[':
		return nil, fmt.Errorf("%w: body is %s; want text, as JSON.stringify and json.dumps make it", errMalformed, excerptOf(text))
	case text[0] == '"':
		if err := json.Unmarshal(text, &body); err != nil {
			return nil, fmt.Errorf("%w: body is %s", errMalformed, excerptOf(text))
		}
	default:
		body = string(text)
	}
	if !encoded {
		return []byte(body), nil
	}
	data, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("%w: the body is not base64: %w", errMalformed, err)
	}
	return data, nil
}

// unmarshal is json.Unmarshal where nothing means null.
func unmarshal(text json.RawMessage, v any) error {
	if absent(text) {
		return nil
	}
	return json.Unmarshal(text, v)
}

func absent(text json.RawMessage) bool { return len(text) == 0 || bytes.Equal(text, []byte("null")) }

// excerptOf returns the beginning of a payload.
func excerptOf(payload []byte) string {
	if len(payload) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%.200s", payload)
}
