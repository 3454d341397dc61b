package door

import (
	"encoding/json"
	"testing"
)

// TestUnknownParameters: a parameter that would be ignored is refused, before anything happens.
func TestUnknownParameters(t *testing.T) {
	for request, want := range map[string]string{
		"POST /publish?topc=a\nhi":                    "there is no parameter topc; did you mean topic?",
		"POST /publish?topic=a&Topic=b\nhi":           "there is no parameter Topic; did you mean topic?",
		"POST /publish?room=a\nhi":                    "there is no parameter room; there are topic, topicName and echo",
		"POST /publish?topic=50%\nhi":                 `the query is not understood: invalid URL escape "%"`,
		"POST /publish?topic=a;b\nhi":                 "the query is not understood: invalid semicolon separator in query",
		"POST /publish?x-id=Publish\nhi":              "there is no parameter x-id; there are topic, topicName and echo",
		"GET /@connections?topics=a":                  "there is no parameter topics; did you mean topic?",
		"GET /prod/@connections?apps=a":               "there is no parameter apps; did you mean app?",
		"GET /@connections?x=ada":                     "there is no parameter x; there are topic, app, user and limit",
		"POST /@connections/" + anID + "?topic=a\nhi": "there is no parameter topic: this path has none",
		"GET /@connections/" + anID + "?x=y":          "there is no parameter x: this path has none",
		"DELETE /@connections/" + anID + "?force":     "there is no parameter force; there is for",
		"GET /topics?limits=3":                        "there is no parameter limits; did you mean limit?",
		"GET /topics/?topic=a":                        "there is no parameter topic; there are app and limit",
		"GET /topics/a?ap=rooms":                      "there is no parameter ap; there is app",
		"DELETE /topics/a?apps=rooms":                 "there is no parameter apps; did you mean app?",
		"GET /stats?app=rooms":                        "there is no parameter app: this path has none",
		"GET /stats?=x":                               `there is no parameter "": this path has none`,
	} {
		h := &home{}
		resp, body := do(t, h, request)
		var told struct{ Message string }
		json.Unmarshal([]byte(body), &told)
		if resp.StatusCode != 400 || told.Message != want || resp.Header.Get("X-Amzn-Errortype") != "BadRequestException" || len(h.asked) > 0 {
			t.Errorf("%s\ngot  %d %s, asked %q\nwant %s", request, resp.StatusCode, told.Message, h.asked, want)
		}
	}
	for request, status := range map[string]int{
		"POST /@connections/" + anID + "?x-id=PostToConnection\nhi": 200,
		"GET /@connections/" + anID + "?X-Amz-Expires=60":           200,
		"GET /topics?X-Amz-Expires=60":                              200,
		"POST /publish?topicName=a&echo=0\nhi":                      200,
		"GET /@connections?topic=a&app=chat&limit=1":                200,
		"GET /topics/a?app=":                                        200,
		"PUT /publish?topc=a":                                       405,
	} {
		if resp, body := do(t, &home{}, request); resp.StatusCode != status {
			t.Errorf("%s: got %d %s, want %d", request, resp.StatusCode, body, status)
		}
	}
	if resp, body := do(t, &home{}, "POST /publish?topc=a\nhi", "Peer: 192.0.2.1:99"); resp.StatusCode != 401 {
		t.Errorf("a stranger is told %d %s", resp.StatusCode, body)
	}
}
