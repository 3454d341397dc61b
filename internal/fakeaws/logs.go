package fakeaws

import (
	"encoding/json"
	"net/http"
	"strconv"
)

type logLine struct {
	at   int64
	text string
}

// Log adds a line to the only log there is; at is in milliseconds since 1970.
func (a *AWS) Log(at int64, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, logLine{at, text})
}

// filterLogEvents has two lines a page.
func (a *AWS) filterLogEvents(w http.ResponseWriter, r *http.Request) *Fault {
	var ask struct {
		StartTime int64
		NextToken string
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		return &Fault{http.StatusBadRequest, "InvalidParameterException", err.Error()}
	}
	type line struct {
		EventID   string `json:"eventId,omitempty"`
		Timestamp int64  `json:"timestamp"`
		Message   string `json:"message"`
	}
	var answer struct {
		Events    []line `json:"events"`
		NextToken string `json:"nextToken,omitempty"`
	}
	const page = 2
	from, _ := strconv.Atoi(ask.NextToken)
	for i := from; i < len(a.lines); i++ {
		if len(answer.Events) == page {
			answer.NextToken = strconv.Itoa(i)
			break
		}
		if a.lines[i].at >= ask.StartTime {
			id := strconv.Itoa(i)
			if a.NoIDs {
				id = ""
			}
			answer.Events = append(answer.Events, line{id, a.lines[i].at, a.lines[i].text})
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	json.NewEncoder(w).Encode(answer)
	return nil
}
