package deploy

import "strings"

// A Status is CloudFormation's word for the state of a stack or of one of its resources.
type Status string

// words has a word for people for each status of CloudFormation's, but for what all failures have in common.
var words = map[Status]string{
	"REVIEW_IN_PROGRESS": "planned",

	"CREATE_IN_PROGRESS": "creating",
	"CREATE_COMPLETE":    "created",
	"CREATE_FAILED":      "could not be created",

	"UPDATE_IN_PROGRESS":                  "updating",
	"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "updated, tidying up",
	"UPDATE_COMPLETE":                     "updated",
	"UPDATE_FAILED":                       "could not be updated",

	"DELETE_IN_PROGRESS": "removing",
	"DELETE_COMPLETE":    "removed",
	"DELETE_SKIPPED":     "left as it is",
	"DELETE_FAILED":      "could not be removed",

	"ROLLBACK_IN_PROGRESS": "undoing the creation",
	"ROLLBACK_COMPLETE":    "creation undone",
	"ROLLBACK_FAILED":      "creation could not be undone",

	"UPDATE_ROLLBACK_IN_PROGRESS":                  "undoing the update",
	"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "update undone, tidying up",
	"UPDATE_ROLLBACK_COMPLETE":                     "update undone",
	"UPDATE_ROLLBACK_FAILED":                       "update could not be undone",
}

// Word is the status as a person would put it.
func (s Status) Word() string {
	if word, ok := words[s]; ok {
		return word
	}
	return strings.ToLower(strings.ReplaceAll(string(s), "_", " "))
}

// Busy tells whether CloudFormation is at work.
func (s Status) Busy() bool { return strings.HasSuffix(string(s), "_IN_PROGRESS") && s != reviewing }

// Failed tells whether something went wrong that a person should look at.
func (s Status) Failed() bool { return strings.HasSuffix(string(s), "_FAILED") }

const (
	reviewing            Status = "REVIEW_IN_PROGRESS"
	created              Status = "CREATE_COMPLETE"
	updated              Status = "UPDATE_COMPLETE"
	removed              Status = "DELETE_COMPLETE"
	creationUndone       Status = "ROLLBACK_COMPLETE"
	updateRollbackFailed Status = "UPDATE_ROLLBACK_FAILED"
	updateUndone         Status = "UPDATE_ROLLBACK_COMPLETE"
)
