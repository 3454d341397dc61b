package autobahn

import (
	"fmt"
	"strings"
)

// A Result is what one case came to, without TLS and with it.
type Result struct {
	Case       Case
	Plain, TLS Verdict
}

// sections are the suite's, by number.
var sections = map[string]string{
	"1": "1. Framing", "2": "2. Pings and pongs", "3": "3. Reserved bits", "4": "4. Opcodes", "5": "5. Fragmentation",
	"6": "6. UTF-8", "7": "7. Closing", "9": "9. Limits", "10": "10. Automatic fragmentation",
	"12": "12, 13. Compression", "13": "12, 13. Compression",
}

// Table writes results, in the order of their cases, as Markdown.
func Table(results []Result) string {
	var out strings.Builder
	out.WriteString(totals(results))
	before := ""
	for _, r := range results {
		if name := r.Case.section(); name != before {
			fmt.Fprintf(&out, "\n## %s\n\n| case | the client | without TLS | with TLS |\n|---|---|---|---|\n", name)
			before = name
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", r.Case.ID, r.Case.Does, r.Plain, r.TLS)
	}
	return out.String()
}

func (c Case) section() string {
	if c.Stands == 0 {
		return "Beyond the suite"
	}
	number, _, _ := strings.Cut(c.ID, ".")
	return sections[number]
}

// totals counts the suite's cases by their ratings.
func totals(results []Result) string {
	plain, tls := make(map[string]int), make(map[string]int)
	for _, r := range results {
		plain[r.Plain.Rating] += r.Case.Stands
		tls[r.TLS.Rating] += r.Case.Stands
	}
	var out strings.Builder
	out.WriteString("| cases of the suite | without TLS | with TLS |\n|---|---|---|\n")
	for _, rating := range []string{OK, NonStrict, Informational, Failed, NotOffered} {
		fmt.Fprintf(&out, "| %s | %d | %d |\n", rating, plain[rating], tls[rating])
	}
	return out.String()
}
