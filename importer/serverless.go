package importer

import (
	"errors"
	"slices"
	"strings"
)

// serverless reads a serverless.yml. https://www.serverless.com/framework/docs/providers/aws/guide/serverless.yml
func (c *conversion) serverless(root *tree) error {
	c.origin = "the Serverless Framework"
	r := &resolver{c: c, root: root, stage: "dev", region: c.source.Region, dotenv: make(map[string]string), files: make(map[string]*tree)}
	stage := r.find(root, "provider.stage")
	if stage.known() && stage.text != "" {
		r.stage = stage.text
	}
	if region := r.find(root, "provider.region"); region.known() && region.text != "" {
		r.region, c.regional = region.text, true
	}
	if truth(root.get("useDotenv")) || r.has("serverless-dotenv-plugin") {
		r.readDotenv()
	}
	name := r.find(root, "service")
	if name.is(object) {
		name = name.get("name")
	}
	c.stack = &stack{name: plainName(name.str() + "-" + r.stage), region: r.region}
	provider := func(key string) *tree { return r.find(root, "provider."+key) }

	functions := merged(r.find(root, "functions"))
	c.serverlessResources(r, functions)
	for _, m := range functions.getMembers() {
		c.functions = append(c.functions, c.serverlessFunction(r, m, provider))
	}
	for _, key := range []string{"websocketsApiRouteSelectionExpression", "websocketApiRouteSelectionExpression"} {
		if selection := provider(key); selection.str() != "" {
			c.service.selection = selection.text
		}
	}
	c.service.environment = c.serverlessEnvironment(root.get("provider").get("environment"), provider("environment"))
	for i, m := range functions.getMembers() {
		for _, event := range m.value.get("events").each() {
			c.websocket(c.functions[i], event.line("websocket"), event.get("websocket"))
		}
	}
	c.service.stage, c.service.stageLine = newText(r.stage), root.get("provider").line("stage")
	switch {
	case r.openStage:
		c.service.stage = newText(r.stage, c.source.Name+" leaves it to the option --stage")
	case stage != nil && !stage.known():
		c.service.stage = newText(r.stage, stage.missing...)
	}
	if r.steps > maxSteps {
		c.stack.steps = r.steps
	}
	if len(c.service.routes) == 0 {
		return errors.New("there is no WebSocket API in it: no function has a websocket event; " + ownFile)
	}
	c.pluginsLeft(r)
	if root.get("constructs") != nil {
		c.leave(root.line("constructs"), "constructs", "they are made by the plugin serverless-lift")
	}
	c.resourcesLeft()
	return nil
}

// merged makes one object of a list of objects.
func merged(t *tree) *tree {
	if !t.is(list) {
		return t
	}
	all := &tree{kind: object}
	for _, part := range t.items {
		all = all.with(part)
	}
	return all
}

// serverlessResources takes over the resources, and adds those that Serverless makes of functions and their events.
func (c *conversion) serverlessResources(r *resolver, functions *tree) {
	parts := r.find(r.root, "resources")
	all := []*tree{parts}
	if parts.is(list) {
		all = parts.items
	}
	resources := &tree{kind: object}
	for _, part := range all {
		c.stack.conditions = c.stack.conditions.with(part.get("Conditions"))
		c.stack.mappings = c.stack.mappings.with(part.get("Mappings"))
		c.stack.parameters = c.stack.parameters.with(part.get("Parameters"))
		resources = resources.with(part.get("Resources"))
	}
	c.stack.add(resources)
	add := func(name, kind string) *resource {
		made := &resource{name: name, kind: kind, raw: &tree{}}
		c.stack.resources = append(c.stack.resources, made)
		return made
	}
	if c.stack.api = c.stack.find("WebsocketsApi"); c.stack.api == nil {
		c.stack.api = add("WebsocketsApi", kindAPI)
	}
	for _, m := range functions.getMembers() {
		// The functions are known by their logical ids, which eval turns into names.
		add(logicalID(m.name), "AWS::Lambda::Alias").raw = &tree{kind: object, members: []member{
			{name: "Properties", value: &tree{kind: object, members: []member{{name: "FunctionName", value: newText(m.name)}}}},
		}}
	}
}

// logicalID returns what Serverless calls a function in its template.
func logicalID(function string) string {
	id := strings.NewReplacer("-", "Dash", "_", "Underscore").Replace(function)
	if id == "" {
		return ""
	}
	return strings.ToUpper(id[:1]) + id[1:] + "LambdaFunction"
}

func (c *conversion) serverlessFunction(r *resolver, m member, provider func(string) *tree) *function {
	name, t := m.name, m.value
	property := func(key string) *tree {
		if own := t.get(key); own != nil {
			return own
		}
		return provider(key)
	}
	f := &function{
		name:      name,
		deployed:  t.get("name").str(),
		runtime:   property("runtime").str(),
		handler:   t.get("handler").str(),
		image:     t.get("image") != nil,
		directory: ".",
		artifact:  t.get("package").get("artifact").str(),
		bundled:   c.bundler(r),
		line:      m.line,
	}
	f.timeout = f.number("timeout", property("timeout"), 6) // Serverless's default
	f.memory = f.number("memory", property("memorySize"), 0)
	f.concurrency = f.number("concurrency", t.get("reservedConcurrency"), 0)
	if f.deployed == "" {
		f.deployed = c.stack.name + "-" + name
	}
	if f.runtime == "" && !f.image {
		f.runtime = "nodejs"
	}
	for _, layer := range property("layers").each() {
		f.layers = append(f.layers, strings.Trim(layer.str()+layer.get("Ref").str(), "${}"))
	}
	f.environment = c.serverlessEnvironment(r.rawFunction(name).get("environment"), t.get("environment"))
	for _, event := range t.get("events").each() {
		for _, m := range event.getMembers() {
			if m.name != "websocket" {
				f.triggers = append(f.triggers, at(m.line, "the trigger "+m.name+" of "+name))
			}
		}
	}
	return f
}

// rawFunction returns a function as it is written, where that can be told without following files.
func (r *resolver) rawFunction(name string) *tree { return r.root.get("functions").get(name) }

// serverlessEnvironment reads variables. One that is as it is in the environment stays so, and its value goes nowhere.
func (c *conversion) serverlessEnvironment(raw, resolved *tree) []variable {
	list := variables(resolved)
	for i, v := range list {
		if raw.get(v.name).str() == "${env:"+v.name+"}" {
			list[i].value = nil
		}
	}
	return list
}

// websocket takes over a route. https://www.serverless.com/framework/docs/providers/aws/events/websocket
func (c *conversion) websocket(f *function, line int, event *tree) {
	if event == nil {
		return
	}
	key, respond := event.str(), event.get("routeResponseSelectionExpression") != nil
	if event.is(object) {
		key = event.get("route").str() + event.get("routeKey").str() // routeKey: serverless-websockets-plugin
	}
	c.addRoute(line, key, c.use(f), respond)
	auth := event.get("authorizer")
	switch {
	case auth == nil:
		return
	case key != "$connect":
		c.leave(line, "the authorizer of "+key, "authorizers are for $connect")
		return
	}
	name := auth.str() + auth.get("name").str()
	switch {
	case name == "" && auth.get("arn") != nil:
		name = c.stack.eval(auth.get("arn")).str()
	case name == "":
		name = c.stack.eval(auth).str()
	}
	identity := auth.get("identitySource")
	if identity == nil {
		identity = newText("route.request.header.Auth") // Serverless's default
	}
	c.authorizer(line, name, newText(name), identity)
}

// plugins returns the names of the plugins.
func (r *resolver) plugins() []string {
	plugins := r.find(r.root, "plugins")
	if plugins.is(object) {
		plugins = plugins.get("modules")
	}
	return texts(plugins)
}

func (r *resolver) has(plugin string) bool { return slices.Contains(r.plugins(), plugin) }

// bundler returns the name of what builds the functions' code, or nothing.
func (c *conversion) bundler(r *resolver) string {
	for _, plugin := range []string{"serverless-esbuild", "serverless-webpack", "serverless-bundle", "serverless-plugin-typescript"} {
		if r.has(plugin) {
			return plugin
		}
	}
	return ""
}

// pluginsLeft tells of plugins that change what is deployed, in ways that are not known here.
func (c *conversion) pluginsLeft(r *resolver) {
	var left []string
	for _, plugin := range r.plugins() {
		switch plugin {
		case "serverless-offline", "serverless-dynamodb-local", "serverless-dynamodb", "serverless-websockets-plugin", "serverless-iam-roles-per-function",
			"serverless-prune-plugin", "serverless-esbuild", "serverless-webpack", "serverless-bundle", "serverless-plugin-typescript", "serverless-deployment-bucket":
		default:
			left = append(left, plugin)
		}
	}
	if len(left) > 0 {
		c.leave(r.root.line("plugins"), "what these plugins do: "+strings.Join(left, ", "), "no plugin is run")
	}
}
