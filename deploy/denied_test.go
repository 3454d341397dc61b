package deploy

import (
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"crier/internal/fakeaws"
)

func TestDenied(t *testing.T) {
	for _, action := range []string{
		"cloudformation:DescribeStacks", "cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet",
		"cloudformation:ExecuteChangeSet", "cloudformation:DescribeStackEvents", "s3:CreateBucket", "s3:PutObject",
	} {
		h := start(t)
		h.aws.Deny(action)
		_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, "not permitted to do "+action, "--print-policy")
		if s := h.aws.Stack("game"); s.Status == "REVIEW_IN_PROGRESS" && action != "cloudformation:DescribeStacks" {
			t.Errorf("without %s a stack in review is left", action)
		}
	}
}

// S3 says nothing at all to HEAD: the action follows from what was asked.
func TestDeniedSilently(t *testing.T) {
	for asked, action := range map[string]string{"s3:HeadObject": "s3:GetObject", "s3:HeadBucket": "s3:ListBucket"} {
		h := start(t)
		h.aws.Fail(asked, fakeaws.Fault{Status: http.StatusForbidden, Code: "AccessDenied"})
		_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, "not permitted to do "+action, "--print-policy")
	}
}

func TestBucketOfSomebodyElse(t *testing.T) {
	h := start(t)
	h.aws.Fail("s3:CreateBucket", fakeaws.Fault{Status: http.StatusConflict, Code: "BucketAlreadyExists", Message: "The requested bucket name is not available"})
	_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
	wantError(t, err, "another account has taken the bucket name "+bucketName)
}

func TestThrottled(t *testing.T) {
	h := start(t)
	for _, action := range []string{"cloudformation:CreateChangeSet", "cloudformation:DescribeStacks", "cloudformation:DescribeStackEvents"} {
		h.aws.Fail(action, slices.Repeat([]fakeaws.Fault{fakeaws.Throttled}, attempts-1)...)
	}
	if result := h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")}); result.Stack.Status != created {
		t.Errorf("result %+v", result)
	}
	h.aws.Fail("cloudformation:DescribeStacks", slices.Repeat([]fakeaws.Fault{fakeaws.Throttled}, attempts)...)
	_, err := h.Info(t.Context(), "game")
	wantError(t, err, "asked too much", "try again in a minute")
}

func TestBadCredentials(t *testing.T) {
	for code, want := range map[string]string{
		"ExpiredToken": "have expired", "InvalidClientTokenId": "does not know these credentials", "SignatureDoesNotMatch": "clock",
	} {
		h := start(t)
		h.aws.Fail("sts:GetCallerIdentity", fakeaws.Fault{Status: http.StatusForbidden, Code: code, Message: "no"})
		_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, want, "https://")
	}
}

func TestNoCredentials(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	c, err := Open(t.Context(), Where{Region: "eu-central-1"}, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Info(t.Context(), "game")
	wantError(t, err, "there are no AWS credentials\n", "https://")
	_, err = Open(t.Context(), Where{}, nil)
	wantError(t, err, "which AWS Region?", "--region")
	_, err = Open(t.Context(), Where{Region: "eu-central-1", Profile: "work"}, nil)
	wantError(t, err, `there is no profile "work"`, "aws configure list-profiles")
}

func TestUnreachable(t *testing.T) {
	h := start(t)
	nowhere := "http://127.0.0.1:1"
	h.Client = newClient(aws.Config{Region: "eu-central-1", BaseEndpoint: &nowhere, Credentials: h.credentials, RetryMaxAttempts: 1}, func(Event) {})
	_, err := h.Info(t.Context(), "game")
	wantError(t, err, "looking for the stack: no answer from AWS", "refused")
}
