package deploy

import (
	_ "embed"
	"fmt"
	"regexp"
)

//go:embed stack.yaml
var template string

// Template is the CloudFormation template of a stack.
func Template() string { return template }

// Apps are what a stack can serve, as the template's parameter App has them.
var Apps = []string{"broadcast", "bridge", "chat", "rooms", "directory"}

// AccessParameters are those of the template that say who may connect.
var AccessParameters = []string{"KeyHashes", "TokenSecrets", "TokenKeys", "TokenJwks", "TokenAudience", "TokenIssuer", paramOrigins}

// The outputs and parameters of the template that this package reads and sets.
const (
	paramApp          = "App"
	paramCodeBucket   = "CodeBucket"
	paramCodeKey      = "CodeKey"
	paramArchitecture = "Architecture"
	paramOrigins      = "AllowOrigins"

	outputURL      = "Url"
	outputFunction = "Function"
	outputTable    = "Table"
	outputLogGroup = "LogGroup"
	outputFailed   = "Failed"
)

var goodName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

// CheckName says what AWS would have against a stack of this name, before anything is sent. The stack, its table and
// its function all have the name, so the strictest rule counts for each end: CloudFormation's first character and
// alphabet, DynamoDB's three characters at least, Lambda's 64 at most.
func CheckName(name string) error {
	switch {
	case len(name) < 3:
		return fmt.Errorf("the name %q is too short: DynamoDB wants three characters at least", name)
	case len(name) > 64:
		return fmt.Errorf("the name %q is too long: Lambda takes 64 characters, it has %d", name, len(name))
	case !goodName.MatchString(name):
		return fmt.Errorf("the name %q will not do: CloudFormation wants letters, digits and hyphens, and a letter first", name)
	}
	return nil
}
