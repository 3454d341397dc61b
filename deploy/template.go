package deploy

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

//go:embed stack.yaml
var template string

// Template returns the CloudFormation template of a stack, with these values of parameters as defaults. A secret cannot be one.
func Template(parameters map[string]string) (string, error) {
	text := template
	for name, value := range parameters {
		start := strings.Index(text, "\n  "+name+":\n")
		if start < 0 {
			return "", fmt.Errorf("the template has no parameter %s", name)
		}
		head, block := text[:start+1], text[start+1:]
		old := defaultValue.FindStringSubmatchIndex(block)
		next := nextParameter.FindStringIndex(block[1:])
		switch own := block[:next[0]+1]; {
		case value == "":
		case strings.Contains(own, "NoEcho: true"):
			return "", fmt.Errorf("a template is no place for secrets: give the stack the parameter %s when you deploy it", name)
		default:
			quoted, err := json.Marshal(value) // which is YAML, too
			if err != nil {
				return "", err
			}
			text = head + block[:old[2]] + string(quoted) + block[old[3]:]
		}
	}
	return text, nil
}

var (
	defaultValue  = regexp.MustCompile(`\n    Default: (.*)`)
	nextParameter = regexp.MustCompile(`\n  (\S|\n)|\n\S`)
)

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
