package deploy

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestTemplate holds the template to AWS's own list of resource types and their properties, of which
// testdata/specification.json is the part that the template uses. internal/interop tests that it is.
func TestTemplate(t *testing.T) {
	for _, complaint := range check(t, template) {
		t.Error(complaint)
	}
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html, TemplateBody
	if len(template) > 51_200 {
		t.Errorf("the template has %d bytes; CloudFormation takes 51,200", len(template))
	}
}

// TestPlantedMistakes: the checker finds what can be wrong with a template.
func TestPlantedMistakes(t *testing.T) {
	for _, mistake := range []struct{ old, new, want string }{
		{"Type: AWS::DynamoDB::Table", "Type: AWS::DynamoDB::Tabel", "Table: AWS::DynamoDB::Tabel is no resource type"},
		{"BillingMode: PAY", "BilingMode: PAY", "Table: no property BilingMode"},
		{"BillingMode: PAY_PER_REQUEST", "BillingMode: ON_DEMAND", `Table.BillingMode: "ON_DEMAND" is none of`},
		{"AttributeName: exp", "AttributName: exp", "Table.TimeToLiveSpecification: no property AttributName"},
		{"        Enabled: true", "        Enabled: often", "Table.TimeToLiveSpecification.Enabled: want a boolean"},
		{"{ AttributeName: sk, KeyType: RANGE }", "{ AttributeName: sk, KeyType: SORT }", `Table.KeySchema.1.KeyType: "SORT" is none of`},
		{"AssumeRolePolicyDocument:", "TrustPolicy:", "Role: AssumeRolePolicyDocument is required"},
		{"S3Key: !Ref CodeKey", "S3Key: !Ref CodeHash", "Function.Code.S3Key: !Ref CodeHash: there is no such"},
		{"Role: !GetAtt Role.Arn", "Role: !GetAtt Role.ARN", "Function.Role: !GetAtt Role.ARN: AWS::IAM::Role has no such attribute"},
		{"${Function.Arn}/invocations", "${Function.Uri}/invocations", "Integration.IntegrationUri: ${Function.Uri}"},
		{"integrations/${Integration}", "integrations/${Lambda}", "Connect.Target: ${Lambda}"},
		{"Timeout: 900", "Timeout: 15 min", "Function.Timeout: want a number"},
		{"Timeout: 900", "Timeout: 901", "Function.Timeout: 901 is more than 900"},
		{"MaximumEventAgeInSeconds: 300", "MaximumEventAgeInSeconds: 30", "Continuation.MaximumEventAgeInSeconds: 30 is less than 60"},
		{"LogFormat: JSON", "LogFormat: json", `Function.LoggingConfig.LogFormat: "json" is none of`},
		{"ProtocolType: WEBSOCKET", "ProtocolType: WS", `Api.ProtocolType: "WS" is none of`},
		{"RouteKey: $disconnect", "RouteKey: $connect", `the route $disconnect is missing`},
		{"ThrottlingRateLimit: !Ref ThrottleRate", "ThrottlingRate: !Ref ThrottleRate", "Stage.DefaultRouteSettings: no property ThrottlingRate"},
		{"AutoDeploy: true", "AutoDeploy: { on: true }", "Stage.AutoDeploy: want a boolean"},
		{"DependsOn: [Connect, ", "DependsOn: [Connected, ", "Stage: depends on Connected, which is not there"},
		{"Default: 14", "Default: 15", "LogRetention: the default 15 is not allowed"},
		{"MemorySize: !Ref MemorySize", "MemorySize: 512", "the parameter MemorySize is not used"},
		{"CRIER_TABLE: !Ref Table", "CRIER_TABLE: !Ref Stage", "Stage, ThrottleAlarm go in a circle"},
		{"function:${AWS::StackName}", "function:${Function}", "Role, Stage, ThrottleAlarm go in a circle"},
		{"Resource: !GetAtt Table.Arn", `Resource: "*"`, "the role may do dynamodb:Query to *"},
		{"execute-api:ManageConnections", "execute-api:*", "the role may do execute-api:*"},
		{"/POST/@connections", "/*/@connections", "the role may do execute-api:ManageConnections"},
		{"    Value: !Ref Logs", "    Value: !Ref Log", "LogGroup.Value: !Ref Log"},
		{"If [HasAlarmTopic,", "If [HasAlarm,", "there is no condition HasAlarm"},
		{"!Equals [!Ref AlarmTopic", "!Equals [!Ref AlarmTopics", "there is no such parameter"},
		{"Statistic: Sum", "Statistic: Total", `"Total" is none of`},
		{"GreaterThanThreshold", "MoreThanThreshold", `"MoreThanThreshold" is none of`},
		{"Parameters:", "Parameter:", "CloudFormation knows no section Parameter"},
	} {
		if !strings.Contains(template, mistake.old) {
			t.Errorf("the template has no %q", mistake.old)
			continue
		}
		complaints := strings.Join(check(t, strings.Replace(template, mistake.old, mistake.new, 1)), "\n")
		if !strings.Contains(complaints, mistake.want) {
			t.Errorf("with %q in place of %q, want a complaint about %q; got\n%s", mistake.new, mistake.old, mistake.want, complaints)
		}
	}
}

// TestParameters: the program and the template agree on names.
func TestParameters(t *testing.T) {
	c := newChecker(t, template)
	names := slices.Concat([]string{paramApp, paramCodeBucket, paramCodeKey, paramArchitecture}, kept, AccessParameters)
	if got, want := slices.Sorted(maps.Keys(c.Parameters)), slices.Sorted(slices.Values(names)); !slices.Equal(got, want) {
		t.Errorf("the template has the parameters %q, the program knows %q", got, want)
	}
	if got := c.Parameters[paramApp].AllowedValues; !slices.Equal(got, Apps) {
		t.Errorf("the template allows the apps %q, the program %q", got, Apps)
	}
	if got, want := slices.Sorted(maps.Keys(c.Outputs)), []string{outputFailed, outputFunction, outputLogGroup, outputTable, outputURL}; !slices.Equal(got, want) {
		t.Errorf("the template has the outputs %q, the program reads %q", got, want)
	}
}

// TestDefaults: a template can be made for a stack; it has no secrets.
func TestDefaults(t *testing.T) {
	made := map[string]string{
		"App": "rooms", "ThrottleRate": "300", "AllowOrigins": "https://a.example.com,*", "TokenKeys": "-----BEGIN PUBLIC KEY-----\nx'\"y\n-----END PUBLIC KEY-----", "TokenAudience": "",
	}
	text, err := Template(made)
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range check(t, text) {
		t.Error(complaint)
	}
	c := newChecker(t, text)
	for name, want := range made {
		if got := c.Parameters[name].Default; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if text, err := Template(nil); err != nil || text != template {
		t.Errorf("without any it is another one, %v", err)
	}
	_, err = Template(map[string]string{"TokenSecrets": "psst"})
	wantError(t, err, "no place for secrets", "TokenSecrets")
	_, err = Template(map[string]string{"Nothing": "x"})
	wantError(t, err, "no parameter Nothing")
}
