package door

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"crier/spelling"
)

// A query says which parameters a path of the management API reads from a
// request's query.
type query struct {
	names []string
	sdk   bool // requests may come from AWS's SDKs, some of which name the operation in x-id
}

// check refuses a request with a parameter that would be ignored: POST
// /publish?topc=a must not go to everyone. All requests may have a credential;
// presigned ones carry their signature in parameters X-Amz-….
func (q query) check(r *http.Request) *Refusal {
	refuse := func(sentence string) *Refusal {
		no := BadQuery.Saying(sentence)
		return &no
	}
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse("the query is not understood: " + err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if name != "token" && !slices.Contains(q.names, name) && !strings.HasPrefix(name, "X-Amz-") && !(q.sdk && name == "x-id") {
			return refuse("there is no parameter " + plain(name) + q.hint(name))
		}
	}
	return nil
}

// hint returns the end of a sentence about an unknown name.
func (q query) hint(name string) string {
	if meant := meant(name, q.names); meant != "" {
		return meant
	}
	switch n := len(q.names); n {
	case 0:
		return ": this path has none"
	case 1:
		return "; there is " + q.names[0]
	default:
		return "; there are " + strings.Join(q.names[:n-1], ", ") + " and " + q.names[n-1]
	}
}

// meant returns the end of a sentence about a name that is probably one of those,
// misspelt; otherwise nothing.
func meant(name string, names []string) string {
	if near := spelling.Nearest(name, names); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// plain returns a name unchanged if it looks like a name, and quoted otherwise.
func plain(name string) string {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.[]", r)
	}
	if name == "" || strings.ContainsFunc(name, odd) {
		return strconv.Quote(name)
	}
	return name
}
