package lambda

import (
	"cmp"
	"net/http"

	"crier/trust"
)

// forPrograms answers programs of this machine only: any page in a browser can
// find the port of an API, and would run handlers with events of its own.
func forPrograms(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := cmp.Or(trust.FromElsewhere(r), trust.FromPage(r, false)); why != "" {
			message := "only programs of this machine are answered here: " + why
			refuse(w, http.StatusForbidden, "AccessDeniedException", message)
			return
		}
		api.ServeHTTP(w, r)
	})
}
