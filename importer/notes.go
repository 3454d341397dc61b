package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// notes are what a person should know.
type notes struct{ steps, fills, left []string }

// step notes a command that must be run before the API. Words that a shell would not take as they are get quotes:
// they come from a file that may be anybody's.
func (n *notes) step(command ...string) {
	for i, word := range command {
		if !plainWord.MatchString(word) {
			command[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	n.stepText(strings.Join(command, " "))
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// todo notes what must be done before the API runs, where no command is known for it.
func (n *notes) todo(what string) { n.stepText("# " + what) }

func (n *notes) stepText(text string) {
	if !slices.Contains(n.steps, text) {
		n.steps = append(n.steps, text)
	}
}

// at adds to what is noted where the source has it, if that is known.
func at(line int, what string) string {
	if line == 0 {
		return what
	}
	return fmt.Sprintf("%s (line %d)", what, line)
}

// fill notes what must be filled in, and why it is not known.
func (n *notes) fill(line int, what, why string) {
	if note := at(line, what) + ": " + why; !slices.Contains(n.fills, note) {
		n.fills = append(n.fills, note)
	}
}

// leave notes what was left out, and why.
func (n *notes) leave(line int, what, why string) {
	if note := at(line, what) + ": " + why; !slices.Contains(n.left, note) {
		n.left = append(n.left, note)
	}
}

// unneeded are kinds of resources, or beginnings of them, that do nothing here, or have been read.
var unneeded = []string{
	"AWS::IAM::", "AWS::Logs::", "AWS::CloudWatch::", "AWS::XRay::", "AWS::CDK::", "AWS::Lambda::Permission", "AWS::Lambda::Alias", "AWS::Lambda::Version",
	"AWS::Lambda::EventInvokeConfig", "AWS::Lambda::LayerVersion", "AWS::Serverless::LayerVersion", "AWS::ApiGateway::Account", kindFunction, kindSAMFunction, kindTable, kindGlobalTable, kindSimpleTable,
	kindRoute, kindIntegration, kindAuthorizer, kindStage, kindResponse, kindAPI, kindSAMAPI,
	"AWS::ApiGatewayV2::Deployment", "AWS::ApiGatewayV2::IntegrationResponse", "AWS::ApplicationAutoScaling::",
}

// reasons say why kinds of resources are left out, where there is more to say than that crier has none.
var reasons = map[string]string{
	"AWS::ApiGatewayV2::DomainName":       "clients connect to ws://" + host,
	"AWS::ApiGatewayV2::ApiMapping":       "clients connect to ws://" + host,
	"AWS::ApiGatewayV2::Model":            "messages are not checked against models",
	"AWS::Lambda::EventSourceMapping":     "functions get events of the WebSocket API only",
	"AWS::CloudFormation::Stack":          "only one file is read",
	"AWS::Serverless::Application":        "only one file is read",
	"AWS::CloudFormation::CustomResource": "what it does is not known here",
}

// resourcesLeft tells of resources that have no counterpart in crier.yaml.
func (c *conversion) resourcesLeft() {
	for _, r := range c.stack.doubtful {
		c.fill(r.line, "the resource "+r.name, "whether its condition "+r.raw.get("Condition").str()+" holds is not known; it is taken over")
	}
	var kinds []string
	names := make(map[string][]string)
	for _, r := range c.stack.resources {
		if slices.ContainsFunc(unneeded, func(prefix string) bool { return strings.HasPrefix(r.kind, prefix) }) && !c.otherAPI(r) {
			continue
		}
		if !slices.Contains(kinds, r.kind) {
			kinds = append(kinds, r.kind)
		}
		names[r.kind] = append(names[r.kind], at(r.line, r.name))
	}
	for _, kind := range kinds {
		reason, list := reasons[kind], strings.Join(names[kind], ", ")
		switch {
		case reason != "":
		case kind == "":
			kind, reason = "the resource", "it has no Type"
		case kind == kindAPI:
			reason = "it is no WebSocket API"
		case strings.HasPrefix(kind, "Custom::"):
			reason = reasons["AWS::CloudFormation::CustomResource"]
		default:
			reason = "crier has none"
		}
		c.leave(0, kind+" "+list, reason)
	}
}

// otherAPI reports whether a resource is an API of another protocol.
func (c *conversion) otherAPI(r *resource) bool {
	return r.kind == kindAPI && r != c.stack.api && c.stack.eval(r.property("ProtocolType")).str() != "WEBSOCKET"
}

// addRoute adds a route. Where API Gateway takes what crier.yaml does not, it says so.
func (c *conversion) addRoute(line int, key, integration string, respond bool) {
	switch {
	case holes.MatchString(key):
		c.leave(line, "the route "+key, "its key is not known here")
		return
	case key == "$connect" || key == "$disconnect":
		if respond {
			c.leave(line, "the route response of "+key, "nobody is there to get it")
		}
		respond = false
	case key == "" || key[0] == '$' && key != "$default":
		c.leave(line, "the route "+key, "it is none of a WebSocket API")
		return
	}
	if i := slices.IndexFunc(c.service.routes, func(r route) bool { return r.key == key }); i >= 0 {
		c.leave(0, "the route "+key+" to "+c.service.routes[i].integration, "there is "+at(line, "a later one")+", and there can be one")
		c.service.routes[i] = route{key, integration, respond}
		return
	}
	c.service.routes = append(c.service.routes, route{key, integration, respond})
}

// addIntegration adds an integration, unless there is one of this name.
func (c *conversion) addIntegration(i integration) {
	if !slices.ContainsFunc(c.service.integrations, func(o integration) bool { return o.name == i.name }) {
		c.service.integrations = append(c.service.integrations, i)
	}
}
