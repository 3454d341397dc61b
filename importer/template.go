package importer

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// template reads a template of CloudFormation, of SAM, or of the CDK.
func (c *conversion) template(root *tree) error {
	c.origin = "CloudFormation"
	for _, transform := range root.get("Transform").each() {
		if strings.HasPrefix(transform.text, "AWS::Serverless-") {
			c.origin = "AWS SAM"
		}
	}
	if strings.HasSuffix(c.source.Name, ".template.json") {
		c.origin = "the AWS CDK"
	}
	c.stack = &stack{name: "local", region: c.source.Region, parameters: root.get("Parameters"), mappings: root.get("Mappings"), conditions: root.get("Conditions")}
	c.stack.add(root.get("Resources"))
	if err := c.chooseAPI(); err != nil {
		return err
	}
	globals := root.get("Globals")
	for _, r := range c.stack.of(kindFunction, kindSAMFunction) {
		c.functions = append(c.functions, c.templateFunction(r, globals.get("Function")))
	}
	c.service.environment = variables(globals.get("Function").get("Environment").get("Variables"))
	if c.stack.api.kind == kindSAMAPI {
		c.samAPI(globals.get("WebSocketApi"))
	} else {
		c.routes()
	}
	c.resourcesLeft()
	return nil
}

// ownFile says how to go on where no API is described.
const ownFile = "without --from, crier gateway init writes a crier.yaml to fill in"

// chooseAPI finds the WebSocket API. Another one is left out.
func (c *conversion) chooseAPI() error {
	var others []*resource
	for _, r := range c.stack.of(kindAPI, kindSAMAPI) {
		if r.kind == kindAPI && c.stack.eval(r.property("ProtocolType")).str() != "WEBSOCKET" {
			continue
		}
		if c.stack.api == nil {
			c.stack.api = r
		} else {
			others = append(others, r)
		}
	}
	if c.stack.api == nil {
		return errors.New("there is no WebSocket API in it: no AWS::ApiGatewayV2::Api whose ProtocolType is WEBSOCKET, and no AWS::Serverless::WebSocketApi; " + ownFile)
	}
	for _, r := range others {
		c.leave(r.line, "the WebSocket API "+r.name, "a crier.yaml has one: this is "+c.stack.api.name)
	}
	return nil
}

// ofAPI reports whether a resource belongs to the API.
func (c *conversion) ofAPI(r *resource) bool {
	id := r.property("ApiId")
	return id.get("Ref").str() == c.stack.api.name || strings.HasPrefix(strings.Join(texts(id.get("Fn::GetAtt")), "."), c.stack.api.name+".")
}

func texts(t *tree) (list []string) {
	for _, item := range t.each() {
		list = append(list, item.text)
	}
	return list
}

// routes reads routes, integrations, authorizer and stage.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGatewayV2.html
func (c *conversion) routes() {
	c.service.selection = c.stack.eval(c.stack.api.property("RouteSelectionExpression")).str()
	for _, r := range c.stack.of(kindStage) {
		if c.ofAPI(r) && c.stack.stage == nil {
			c.stack.stage, c.service.stageLine = c.stack.eval(r.property("StageName")), r.line
			c.service.stageVariables = variables(c.stack.eval(r.property("StageVariables")))
		}
	}
	c.service.stage = c.stack.stage
	responses := make(map[string]bool)
	for _, r := range c.stack.of(kindResponse) {
		responses[c.stack.eval(r.property("RouteId")).str()] = true
	}
	for _, r := range c.stack.of(kindRoute) {
		if !c.ofAPI(r) {
			continue
		}
		key := c.stack.eval(r.property("RouteKey")).str()
		name, ok := c.integration(r.line, key, strings.TrimPrefix(c.stack.eval(r.property("Target")).str(), "integrations/"))
		if !ok {
			continue
		}
		respond := responses[r.name] || r.property("RouteResponseSelectionExpression") != nil
		c.addRoute(r.line, key, name, respond)
		c.authorization(key, r)
	}
}

// authorization reads who may connect.
func (c *conversion) authorization(key string, r *resource) {
	if truth(c.stack.eval(r.property("ApiKeyRequired"))) {
		c.leave(r.line, "the API key of "+key, "crier has none")
	}
	switch kind := c.stack.eval(r.property("AuthorizationType")).str(); {
	case kind == "AWS_IAM":
		c.leave(r.line, "the IAM authorization of "+key, "whoever can reach crier may connect")
	case kind == "CUSTOM" && key == "$connect":
		id := c.stack.eval(r.property("AuthorizerId"))
		a := c.stack.find(id.str())
		if a == nil {
			c.leave(r.line, "the authorizer of $connect", "it is not in this file")
			return
		}
		c.authorizer(a.line, a.name, c.stack.eval(a.property("AuthorizerUri")), c.stack.eval(a.property("IdentitySource")))
	}
}

// authorizer takes over a REQUEST authorizer.
func (c *conversion) authorizer(line int, name string, uri, identity *tree) {
	f := c.functionOf(uri)
	if f == nil {
		c.leave(line, "the authorizer "+name, "its function is not in this file")
		return
	}
	c.service.authorizer = &authorizer{integration: c.use(f)}
	for _, source := range identity.each() {
		if identitySource.MatchString(source.text) {
			c.service.authorizer.identity = append(c.service.authorizer.identity, source.text)
		} else {
			c.leave(line, "the identity source "+source.text, "it is none of a WebSocket API")
		}
	}
}

var identitySource = regexp.MustCompile(`^(route\.request\.(header|querystring)|stageVariables|context)\..+$`)

// functionName finds the name of a function in its ARN, and in what contains that.
var functionName = regexp.MustCompile(`:function:([^:/]+)`)

// functionOf returns the function that a URI or an ARN names, or nil.
func (c *conversion) functionOf(uri *tree) *function {
	name := uri.str()
	if found := functionName.FindStringSubmatch(name); found != nil {
		name = found[1]
	}
	i := slices.IndexFunc(c.functions, func(f *function) bool { return f.name == name })
	if i < 0 {
		i = slices.IndexFunc(c.functions, func(f *function) bool { return f.deployed == name })
	}
	if i < 0 || name == "" {
		return nil
	}
	return c.functions[i]
}

// integration takes over the integration of a route and returns its name.
func (c *conversion) integration(line int, key, id string) (name string, ok bool) {
	r := c.stack.find(id)
	if r == nil || r.kind != kindIntegration {
		c.leave(line, "the route "+key, "its integration is not in this file")
		return "", false
	}
	uri := c.stack.eval(r.property("IntegrationUri"))
	switch kind := c.stack.eval(r.property("IntegrationType")).str(); kind {
	case "AWS_PROXY":
		if f := c.functionOf(uri); f != nil {
			return c.use(f), true
		}
		c.addIntegration(c.elsewhere(r.line, r.name, "its function is not in this file: "+uri.str()))
		return r.name, true
	case "MOCK":
		c.mock(r)
		return r.name, true
	case "HTTP_PROXY":
		if u, err := url.Parse(uri.str()); uri.known() && err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
			c.addIntegration(integration{name: r.name, http: uri.text})
			return r.name, true
		}
		c.leave(line, "the route "+key, fmt.Sprintf("the URL of %s is not known: %s", r.name, uri.str()))
	default:
		c.leave(line, "the route "+key, fmt.Sprintf("%s is an integration of type %s; crier has AWS_PROXY, HTTP_PROXY and MOCK", r.name, kind))
	}
	return "", false
}

// mock takes over a fixed answer, as far as it is one.
func (c *conversion) mock(r *resource) {
	i := integration{name: r.name}
	for _, response := range c.stack.of("AWS::ApiGatewayV2::IntegrationResponse") {
		if c.stack.eval(response.property("IntegrationId")).str() != r.name {
			continue
		}
		for _, m := range c.stack.eval(response.property("ResponseTemplates")).getMembers() {
			i.mock = m.value.str()
		}
	}
	if strings.ContainsAny(i.mock, "$#") {
		i.comment = "A mapping template, which crier sends as it is."
	}
	c.addIntegration(i)
}

// templateFunction reads a function of Lambda or SAM.
func (c *conversion) templateFunction(r *resource, globals *tree) *function {
	property := func(name string) *tree {
		if own := r.property(name); own != nil {
			return c.stack.eval(own)
		}
		if r.kind == kindSAMFunction {
			return c.stack.eval(globals.get(name))
		}
		return nil
	}
	f := &function{
		name:        r.name,
		deployed:    property("FunctionName").str(),
		runtime:     property("Runtime").str(),
		handler:     property("Handler").str(),
		image:       property("PackageType").str() == "Image",
		environment: variables(r.property("Environment").get("Variables")),
		build:       r.raw.get("Metadata").get("BuildMethod").str(),
		logical:     r.name,
		line:        r.line,
	}
	f.timeout = f.number("timeout", property("Timeout"), 3) // Lambda's default
	f.memory = f.number("memory", property("MemorySize"), 0)
	f.concurrency = f.number("concurrency", property("ReservedConcurrentExecutions"), 0)
	for _, layer := range append(property("Layers").each(), c.stack.eval(globals.get("Layers")).each()...) {
		f.layers = union(f.layers, []string{strings.Trim(layer.text, "${}")})
	}
	for _, event := range r.property("Events").getMembers() {
		f.triggers = append(f.triggers, at(event.line, "the trigger "+event.value.get("Type").str()+" of "+r.name))
	}
	if inline := property("InlineCode"); inline != nil {
		f.inline = inline.text
	}
	if r.kind == kindSAMFunction {
		f.place(property("CodeUri"), ".")
	} else {
		f.inline = property("Code").get("ZipFile").str()
		f.place(property("Code"), "")
	}
	if asset := r.raw.get("Metadata").get("aws:asset:path").str(); asset != "" {
		f.directory, f.remote = asset, ""
	} else if key := property("Code").get("S3Key").str(); f.remote != "" && c.exists("asset."+strings.TrimSuffix(key, ".zip")) {
		f.directory, f.remote = "asset."+strings.TrimSuffix(key, ".zip"), "" // of the CDK, beside its template
	}
	return f
}

// place reads where the code of a function is.
func (f *function) place(code *tree, otherwise string) {
	switch {
	case code.is(scalar) && !strings.Contains(code.text, "://"):
		f.directory = path.Clean(code.text)
	case code.is(scalar):
		f.remote = code.text
	case code.get("S3Bucket") != nil || code.get("Bucket") != nil:
		f.remote = "s3://" + code.get("S3Bucket").str() + code.get("Bucket").str() + "/" + code.get("S3Key").str() + code.get("Key").str()
	case code.get("ImageUri") != nil:
		f.image = true
	default:
		f.directory = otherwise
	}
}

// number reads a setting. For one that is not known, it returns another number, and notes that.
func (f *function) number(setting string, t *tree, otherwise int) int {
	n, err := strconv.Atoi(t.str())
	switch {
	case err == nil && t.known():
		return n
	case t == nil, t.kind == null:
		return otherwise
	}
	if f.unknown == nil {
		f.unknown = make(map[string]string)
	}
	f.unknown[setting] = strings.Join(append([]string{"it is " + cmp.Or(t.str(), "no number")}, t.missing...), "; ")
	return otherwise
}

func truth(t *tree) bool { return strings.EqualFold(t.str(), "true") }

// variables reads an object of variables.
func variables(t *tree) (list []variable) {
	for _, m := range t.getMembers() {
		if m.value != nil && m.value.kind != null {
			list = append(list, variable(m))
		}
	}
	return list
}

// samAPI reads SAM's own form of a WebSocket API.
// https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-websocketapi.html
func (c *conversion) samAPI(globals *tree) {
	api := c.stack.api
	property := func(name string) *tree {
		if own := api.property(name); own != nil {
			return c.stack.eval(own)
		}
		return c.stack.eval(globals.get(name))
	}
	c.service.selection = property("RouteSelectionExpression").str()
	if c.stack.stage = property("StageName"); c.stack.stage == nil {
		c.stack.stage = newText("default")
	}
	c.service.stage = c.stack.stage
	c.service.stageVariables = variables(property("StageVariables"))
	for _, m := range property("Routes").getMembers() {
		f := c.functionOf(m.value.get("FunctionArn"))
		if f == nil {
			c.leave(m.line, "the route "+m.name, "its function is not in this file")
			continue
		}
		c.addRoute(m.line, m.name, c.use(f), m.value.get("RouteResponseSelectionExpression") != nil)
	}
	line := cmp.Or(api.property("Auth").line("AuthType"), api.line)
	switch auth := property("Auth"); auth.get("AuthType").str() {
	case "CUSTOM":
		c.authorizer(line, api.name, auth.get("AuthArn"), auth.get("IdentitySource"))
	case "AWS_IAM":
		c.leave(line, "the IAM authorization of "+api.name, "whoever can reach crier may connect")
	}
	if property("Domain") != nil {
		c.leave(api.line, "the domain of "+api.name, "clients connect to ws://"+host)
	}
}
