package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// A specification is what internal/interop/spec.mjs makes.
type specification struct {
	Resources map[string]struct {
		Attributes []string
		Properties map[string]property
	}
}

type property struct {
	Type       string
	Required   bool
	Values     []any
	Element    *property
	Types      []property
	Properties map[string]property
}

// A checker looks at a template and collects what is wrong with it.
type checker struct {
	Parameters map[string]parameter
	Conditions map[string]yaml.Node
	Resources  map[string]resource
	Outputs    map[string]yaml.Node

	spec       specification
	complaints []string
	used       map[string]bool     // parameters and conditions
	needs      map[string][]string // which resources a resource refers to
}

type parameter struct {
	Type, Default string
	AllowedValues []string
}

type resource struct {
	Type       string
	DependsOn  []string
	Properties yaml.Node
}

// read takes the template apart. It leaves alone what functions such as !Ref can stand in.
func (c *checker) read(text string) error {
	var sections map[string]yaml.Node
	if err := yaml.Unmarshal([]byte(text), &sections); err != nil {
		return err
	}
	for name, section := range sections {
		var err error
		switch name {
		case "Parameters":
			c.Parameters = map[string]parameter{}
			var raw map[string]map[string]yaml.Node
			if err = section.Decode(&raw); err == nil {
				for name, p := range raw {
					c.Parameters[name] = readParameter(p)
				}
			}
		case "Conditions":
			err = section.Decode(&c.Conditions)
		case "Resources":
			err = c.readResources(section)
		case "Outputs":
			var raw map[string]map[string]yaml.Node
			err = section.Decode(&raw)
			c.Outputs = map[string]yaml.Node{}
			for name, output := range raw {
				c.Outputs[name] = output["Value"]
			}
		case "AWSTemplateFormatVersion", "Description":
		default:
			c.complain("CloudFormation knows no section %s", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readParameter(raw map[string]yaml.Node) (p parameter) {
	p.Type, p.Default = raw["Type"].Value, raw["Default"].Value
	values := raw["AllowedValues"]
	for _, v := range values.Content {
		p.AllowedValues = append(p.AllowedValues, v.Value)
	}
	return p
}

func (c *checker) readResources(section yaml.Node) error {
	var raw map[string]map[string]yaml.Node
	if err := section.Decode(&raw); err != nil {
		return err
	}
	c.Resources = map[string]resource{}
	for name, r := range raw {
		depends := r["DependsOn"]
		var on []string
		for _, node := range depends.Content {
			on = append(on, node.Value)
		}
		c.Resources[name] = resource{Type: r["Type"].Value, DependsOn: on, Properties: r["Properties"]}
	}
	return nil
}

func newChecker(t *testing.T, text string) *checker {
	t.Helper()
	c := &checker{used: map[string]bool{}, needs: map[string][]string{}}
	data, err := os.ReadFile("testdata/specification.json")
	if err == nil {
		err = json.Unmarshal(data, &c.spec)
	}
	if err == nil {
		err = c.read(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func check(t *testing.T, text string) []string {
	t.Helper()
	c := newChecker(t, text)
	for name, r := range c.Resources {
		c.resource(name, r)
	}
	for name, condition := range c.Conditions {
		c.functions("condition "+name, name, &condition)
		if !c.used[name] {
			c.complain("the condition %s is not used", name)
		}
	}
	for name, value := range c.Outputs {
		c.value("output "+name, name+".Value", &value, property{Type: "string"})
	}
	for name, p := range c.Parameters {
		if p.Default != "" && p.AllowedValues != nil && !slices.Contains(p.AllowedValues, p.Default) {
			c.complain("%s: the default %s is not allowed", name, p.Default)
		}
		if !c.used[name] {
			c.complain("the parameter %s is not used", name)
		}
	}
	c.circles()
	c.routes()
	c.role()
	slices.Sort(c.complaints)
	return c.complaints
}

func (c *checker) complain(format string, values ...any) {
	c.complaints = append(c.complaints, fmt.Sprintf(format, values...))
}

func (c *checker) resource(name string, r resource) {
	spec, ok := c.spec.Resources[r.Type]
	if !ok {
		c.complain("%s: %s is no resource type that testdata/specification.json has", name, r.Type)
		return
	}
	for _, other := range r.DependsOn {
		if _, ok := c.Resources[other]; !ok {
			c.complain("%s: depends on %s, which is not there", name, other)
		}
	}
	c.needs[name] = append(c.needs[name], r.DependsOn...)
	c.object(name, name, &r.Properties, spec.Properties)
}

func (c *checker) object(of, path string, node *yaml.Node, properties map[string]property) {
	if node.Kind != yaml.MappingNode {
		c.complain("%s: want properties", path)
		return
	}
	has := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		name := node.Content[i].Value
		has[name] = true
		p, ok := properties[name]
		if !ok {
			c.complain("%s: no property %s", path, name)
			continue
		}
		c.value(of, path+"."+name, node.Content[i+1], p)
	}
	for name, p := range properties {
		if p.Required && !has[name] {
			c.complain("%s: %s is required", path, name)
		}
	}
}

// value checks what stands at a path of a resource.
func (c *checker) value(of, path string, node *yaml.Node, p property) {
	if node.Tag == "!If" && len(node.Content) == 3 {
		c.condition(path, node.Content[0].Value)
		c.value(of, path, node.Content[1], p)
		c.value(of, path, node.Content[2], p)
		return
	}
	if strings.HasPrefix(node.Tag, "!") && !strings.HasPrefix(node.Tag, "!!") {
		c.function(of, path, node)
		return
	}
	switch p.Type {
	case "object":
		c.object(of, path, node, p.Properties)
	case "array":
		if node.Kind != yaml.SequenceNode {
			c.complain("%s: want a list", path)
		}
		for i, element := range node.Content {
			c.value(of, fmt.Sprintf("%s.%d", path, i), element, *p.Element)
		}
	case "union":
		c.value(of, path, node, p.Types[slices.IndexFunc(p.Types, func(each property) bool {
			return (node.Kind == yaml.ScalarNode) == (each.Type == "string") && (node.Kind == yaml.SequenceNode) == (each.Type == "array")
		})])
	case "map", "json":
		c.functions(of, path, node)
	case "boolean":
		if node.Tag != "!!bool" {
			c.complain("%s: want a boolean", path)
		}
	case "integer", "number":
		c.number(path, node)
	default:
		if node.Kind != yaml.ScalarNode {
			c.complain("%s: want a string", path)
		}
		c.allowed(path, node.Value, p)
	}
}

// functions finds the functions in what has no properties that are known.
func (c *checker) functions(of, path string, node *yaml.Node) {
	if strings.HasPrefix(node.Tag, "!") && !strings.HasPrefix(node.Tag, "!!") {
		c.function(of, path, node)
	}
	for _, child := range node.Content {
		c.functions(of, path, child)
	}
}

// limits are of numbers that the specification has no limits for:
// https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html, PutFunctionEventInvokeConfig.html
var limits = map[string][2]int{
	"Timeout": {1, 900}, "MaximumRetryAttempts": {0, 2}, "MaximumEventAgeInSeconds": {60, 21_600},
}

func (c *checker) number(path string, node *yaml.Node) {
	var n int
	if node.Tag != "!!int" || node.Decode(&n) != nil {
		c.complain("%s: want a number", path)
		return
	}
	limit, ok := limits[path[strings.LastIndex(path, ".")+1:]]
	if ok && n < limit[0] {
		c.complain("%s: %d is less than %d", path, n, limit[0])
	}
	if ok && n > limit[1] {
		c.complain("%s: %d is more than %d", path, n, limit[1])
	}
}

// values are those of properties that the specification has no values for, from the pages of the resource types.
var values = map[string][]string{
	"ProtocolType":    {"WEBSOCKET", "HTTP"},
	"IntegrationType": {"AWS", "AWS_PROXY", "HTTP", "HTTP_PROXY", "MOCK"},
	"BillingMode":     {"PROVISIONED", "PAY_PER_REQUEST"},
	"AttributeType":   {"S", "N", "B"},
	"KeyType":         {"HASH", "RANGE"},
	"Runtime":         {"provided.al2023"},
	"LogFormat":       {"Text", "JSON"},
	"SystemLogLevel":  {"DEBUG", "INFO", "WARN"},
	"Principal":       {"apigateway.amazonaws.com"},
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
	"Statistic":          {"SampleCount", "Average", "Sum", "Minimum", "Maximum"},
	"ComparisonOperator": {"GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"},
	"TreatMissingData":   {"breaching", "notBreaching", "ignore", "missing"},
}

func (c *checker) allowed(path, value string, p property) {
	allowed := values[path[strings.LastIndex(path, ".")+1:]]
	for _, v := range p.Values {
		allowed = append(allowed, fmt.Sprint(v))
	}
	if allowed != nil && !slices.Contains(allowed, value) {
		c.complain("%s: %q is none of %q", path, value, allowed)
	}
}

var substitution = regexp.MustCompile(`\$\{([^!}]+)\}`)

func (c *checker) function(of, path string, node *yaml.Node) {
	switch node.Tag {
	case "!Ref":
		c.reference(of, path+": !Ref "+node.Value, node.Value)
	case "!Not", "!Equals": // what they compare is looked at by functions
	case "!GetAtt":
		c.attribute(of, path+": !GetAtt "+node.Value, node.Value)
	case "!Sub":
		for _, found := range substitution.FindAllStringSubmatch(node.Value, -1) {
			if strings.Contains(found[1], ".") {
				c.attribute(of, path+": "+found[0], found[1])
			} else {
				c.reference(of, path+": "+found[0], found[1])
			}
		}
	default:
		c.complain("%s: the template uses no %s elsewhere", path, node.Tag)
	}
}

// pseudo are parameters that are always there:
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/pseudo-parameter-reference.html
var pseudo = []string{"AWS::AccountId", "AWS::NotificationARNs", "AWS::NoValue", "AWS::Partition", "AWS::Region", "AWS::StackId", "AWS::StackName", "AWS::URLSuffix"}

func (c *checker) reference(of, where, name string) {
	_, isParameter := c.Parameters[name]
	_, isResource := c.Resources[name]
	c.used[name] = true
	c.needs[of] = append(c.needs[of], name)
	if !isParameter && !isResource && !slices.Contains(pseudo, name) {
		c.complain("%s: there is no such parameter or resource", where)
	}
}

func (c *checker) condition(path, name string) {
	c.used[name] = true
	if _, ok := c.Conditions[name]; !ok {
		c.complain("%s: there is no condition %s", path, name)
	}
}

func (c *checker) attribute(of, where, text string) {
	name, attribute, _ := strings.Cut(text, ".")
	r, ok := c.Resources[name]
	c.needs[of] = append(c.needs[of], name)
	if !ok {
		c.complain("%s: there is no such resource", where)
	} else if !slices.Contains(c.spec.Resources[r.Type].Attributes, attribute) {
		c.complain("%s: %s has no such attribute", where, r.Type)
	}
}

// circles takes away what needs nothing that is left, again and again. What stays cannot be created.
func (c *checker) circles() {
	left := slices.Sorted(maps.Keys(c.Resources))
	for {
		still := slices.DeleteFunc(slices.Clone(left), func(name string) bool {
			return !slices.ContainsFunc(c.needs[name], func(other string) bool { return slices.Contains(left, other) })
		})
		if len(still) == len(left) {
			break
		}
		left = still
	}
	if len(left) > 0 {
		c.complain("%s go in a circle", strings.Join(left, ", "))
	}
}

// routes: API Gateway has a message for each of them.
func (c *checker) routes() {
	var keys []string
	for _, r := range c.Resources {
		if r.Type != "AWS::ApiGatewayV2::Route" {
			continue
		}
		var p map[string]yaml.Node
		r.Properties.Decode(&p)
		keys = append(keys, p["RouteKey"].Value)
	}
	for _, key := range []string{"$connect", "$disconnect", "$default"} {
		if !slices.Contains(keys, key) {
			c.complain("the route %s is missing", key)
		}
	}
}

// role: the function may do a few things to what is the stack's own, and nothing else.
func (c *checker) role() {
	var p struct {
		Policies []struct {
			PolicyDocument struct {
				Statement []struct {
					Action   yaml.Node `yaml:"Action"`
					Resource yaml.Node `yaml:"Resource"`
				} `yaml:"Statement"`
			} `yaml:"PolicyDocument"`
		} `yaml:"Policies"`
	}
	role := c.Resources["Role"]
	if err := role.Properties.Decode(&p); err != nil || len(p.Policies) != 1 {
		c.complain("the role's policy cannot be read: %v", err)
		return
	}
	for _, s := range p.Policies[0].PolicyDocument.Statement {
		actions, resources := s.Action.Content, s.Resource.Content
		if s.Action.Kind == yaml.ScalarNode {
			actions = []*yaml.Node{&s.Action}
		}
		if s.Resource.Kind == yaml.ScalarNode {
			resources = []*yaml.Node{&s.Resource}
		}
		for _, action := range actions {
			for _, r := range resources {
				own := r.Tag == "!GetAtt" || r.Tag == "!Sub" && !strings.HasPrefix(r.Value, "*")
				if !own || strings.Contains(action.Value, "*") || strings.Contains(r.Value, "/*/") {
					c.complain("the role may do %s to %s", action.Value, r.Value)
				}
			}
		}
	}
}
