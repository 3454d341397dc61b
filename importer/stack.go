package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	// accountID and apiID are what handlers are told by crier gateway, too.
	accountID = "123456789012"
	apiID     = "criercrier"
	// host is where crier gateway listens, unless it is told otherwise.
	host = "localhost:8080"
)

// A stack is the part of a template to which intrinsic functions refer.
type stack struct {
	name       string
	region     string
	parameters *tree
	mappings   *tree
	conditions *tree
	resources  []*resource
	doubtful   []*resource // of these, those whose condition is not known to hold
	api        *resource   // the WebSocket API
	stage      *tree       // of it

	steps, depth int
}

// A resource is one that the template's conditions allow.
type resource struct {
	name string // its logical id
	kind string // such as AWS::DynamoDB::Table
	raw  *tree
	line int
}

// property returns a property of a resource as it is written.
func (r *resource) property(name string) *tree { return r.raw.get("Properties").get(name) }

const maxSteps = 500_000

// spent reports whether resolving was given up.
func (s *stack) spent() bool { return s.steps > maxSteps }

// add takes over resources, without those whose conditions do not hold.
func (s *stack) add(resources *tree) {
	if resources == nil {
		return
	}
	for _, m := range resources.members {
		r := &resource{name: m.name, kind: m.value.get("Type").str(), raw: m.value, line: m.line}
		condition := m.value.get("Condition")
		holds, known := s.condition(condition)
		switch {
		case !condition.is(scalar):
		case !known:
			s.doubtful = append(s.doubtful, r)
		case !holds:
			continue
		}
		s.resources = append(s.resources, r)
	}
}

// find returns the resource of a name, or nil.
func (s *stack) find(name string) *resource {
	for _, r := range s.resources {
		if r.name == name {
			return r
		}
	}
	return nil
}

// of returns the resources of some kinds.
func (s *stack) of(kinds ...string) (found []*resource) {
	for _, r := range s.resources {
		if slices.Contains(kinds, r.kind) {
			found = append(found, r)
		}
	}
	return found
}

const (
	kindAPI         = "AWS::ApiGatewayV2::Api"
	kindSAMAPI      = "AWS::Serverless::WebSocketApi"
	kindRoute       = "AWS::ApiGatewayV2::Route"
	kindIntegration = "AWS::ApiGatewayV2::Integration"
	kindAuthorizer  = "AWS::ApiGatewayV2::Authorizer"
	kindStage       = "AWS::ApiGatewayV2::Stage"
	kindResponse    = "AWS::ApiGatewayV2::RouteResponse"
	kindFunction    = "AWS::Lambda::Function"
	kindSAMFunction = "AWS::Serverless::Function"
	kindTable       = "AWS::DynamoDB::Table"
	kindGlobalTable = "AWS::DynamoDB::GlobalTable"
	kindSimpleTable = "AWS::Serverless::SimpleTable"
)

// ref is what Ref returns.
func (s *stack) ref(name string) *tree {
	if pseudo, ok := s.pseudo(name); ok {
		return pseudo
	}
	if p := s.parameters.get(name); p != nil {
		return s.parameter(name, p)
	}
	r := s.find(name)
	if r == nil {
		return hole(name, name+" is not in this file")
	}
	switch r.kind {
	case kindTable, kindGlobalTable, kindSimpleTable:
		return s.tableName(r)
	case kindFunction, kindSAMFunction:
		return newText(r.name)
	case "AWS::Lambda::Alias", "AWS::Lambda::Version":
		return s.eval(r.property("FunctionName"))
	case kindStage:
		return s.eval(r.property("StageName"))
	case kindRoute, kindIntegration, kindAuthorizer, "AWS::ApiGatewayV2::Deployment":
		return newText(r.name)
	}
	if s.api != nil && r.name == s.api.name {
		return newText(apiID)
	}
	return hole(name, fmt.Sprintf("crier has no %s", r.kind))
}

// pseudo returns a pseudo parameter. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/pseudo-parameter-reference.html
func (s *stack) pseudo(name string) (value *tree, ok bool) {
	switch name {
	case "AWS::Region":
		return newText(s.region), true
	case "AWS::AccountId":
		return newText(accountID), true
	case "AWS::Partition":
		return newText("aws"), true
	case "AWS::URLSuffix":
		return newText("amazonaws.com"), true
	case "AWS::StackName":
		return newText(s.name), true
	case "AWS::NoValue":
		return nil, true
	}
	if strings.HasPrefix(name, "AWS::") {
		return hole(name, "only AWS has it"), true
	}
	return nil, false
}

func (s *stack) parameter(name string, p *tree) *tree {
	kind, value := p.get("Type").str(), p.get("Default")
	switch {
	case strings.HasPrefix(kind, "AWS::SSM::"):
		return hole(name, fmt.Sprintf("the parameter %s is read from Systems Manager", name))
	case !value.is(scalar):
		return hole(name, fmt.Sprintf("the parameter %s has no default", name))
	case kind == "CommaDelimitedList", strings.HasPrefix(kind, "List<"):
		t := &tree{kind: list}
		for part := range strings.SplitSeq(value.text, ",") {
			t.items = append(t.items, newText(strings.TrimSpace(part)))
		}
		return t
	}
	return value
}

// attribute is what Fn::GetAtt returns.
func (s *stack) attribute(name, attribute string) *tree {
	expression := name + "." + attribute
	r := s.find(name)
	if r == nil {
		return hole(expression, name+" is not in this file")
	}
	switch r.kind {
	case kindTable, kindGlobalTable, kindSimpleTable:
		if attribute == "Arn" {
			return s.arn("dynamodb", "table/", s.tableName(r))
		}
	case kindFunction, kindSAMFunction:
		if attribute == "Arn" {
			return s.arn("lambda", "function:", newText(r.name))
		}
		if attribute == "Alias" { // SAM's AutoPublishAlias
			return newText(r.name)
		}
	case "AWS::Lambda::Alias", "AWS::Lambda::Version":
		return s.arn("lambda", "function:", s.eval(r.property("FunctionName")))
	}
	if s.api != nil && r.name == s.api.name {
		switch attribute {
		case "ApiId":
			return newText(apiID)
		case "ApiEndpoint":
			return newText("wss://" + apiID + ".execute-api." + s.region + ".amazonaws.com")
		}
	}
	return hole(expression, fmt.Sprintf("crier has no %s", r.kind))
}

func (s *stack) arn(service, prefix string, name *tree) *tree {
	if strings.HasPrefix(name.str(), "arn:") {
		return name
	}
	return newText(fmt.Sprintf("arn:aws:%s:%s:%s:%s%s", service, s.region, accountID, prefix, name.str()), name.missing...)
}

// holes matches what is not known of a text.
var holes = regexp.MustCompile(`\$\{([^}]*)\}`)

// notInName matches what names of tables do not have.
var notInName = regexp.MustCompile(`[^a-zA-Z0-9_.-]+`)

// tableName returns the name of a table. One that AWS would make up is the logical id. What is not known of one is
// the name of what would say it: tables must have names, and whoever refers to one finds it.
func (s *stack) tableName(r *resource) *tree {
	name := s.eval(r.property("TableName"))
	if name.str() == "" {
		return newText(plainName(r.name))
	}
	return newText(plainName(name.text))
}

func plainName(text string) string {
	return strings.Trim(notInName.ReplaceAllString(holes.ReplaceAllString(text, "$1"), "-"), "-")
}
