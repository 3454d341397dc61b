package deploy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
)

// ErrInterrupted is what methods return when their context ends before anything was left undone. The error of a
// method that was watching CloudFormation says more.
var ErrInterrupted = errors.New("interrupted")

// explain makes of what an AWS client returned a sentence for somebody who does not know AWS: what was being done,
// what is wrong, and what to do where we know it.
func (c *Client) explain(ctx context.Context, doing string, err error) error {
	var api smithy.APIError
	var dns *net.DNSError
	var network net.Error
	switch {
	case ctx.Err() != nil:
		return ErrInterrupted
	case errors.As(err, &api):
		return c.explainAnswer(doing, err, api)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: there is no host %s: is %s a Region, and is this machine online?", doing, dns.Name, c.region)
	case errors.As(err, &network):
		return fmt.Errorf("%s: no answer from AWS: %w", doing, network)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

const (
	policyHint      = "a policy with all that is needed, for whoever manages the account: crier deploy --print-policy"
	credentialsHint = "https://docs.aws.amazon.com/cli/latest/userguide/cli-chap-configure.html tells how to sign in: aws configure, or aws login"
)

func (c *Client) explainAnswer(doing string, err error, api smithy.APIError) error {
	switch code := api.ErrorCode(); code {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "Forbidden":
		return &deniedError{doing: doing, action: deniedAction(err, api), says: api.ErrorMessage()}
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired":
		return fmt.Errorf("%s: your AWS credentials have expired: sign in again\n%s", doing, credentialsHint)
	case "InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException", "AuthFailure":
		return fmt.Errorf("%s: AWS does not know these credentials, or they are not for %s\n%s", doing, c.region, credentialsHint)
	case "SignatureDoesNotMatch", "InvalidSignatureException":
		return fmt.Errorf("%s: AWS does not accept the signature: the secret key is wrong, or this machine's clock is\n%s", doing, credentialsHint)
	case "Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "TooManyRequestsException":
		return fmt.Errorf("%s: AWS is being asked too much at the moment; try again in a minute (%s)", doing, code)
	default:
		message := api.ErrorMessage()
		if message == "" {
			message = code
		}
		return fmt.Errorf("%s: %s", doing, message)
	}
}

// noCredentials says why there is nothing to sign requests with.
func noCredentials(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	last := err
	for next := errors.Unwrap(last); next != nil; next = errors.Unwrap(last) {
		last = next
	}
	// Without any configuration the SDK looks for the metadata service of an EC2 machine last, which means nothing to anybody else.
	if strings.Contains(err.Error(), "EC2 IMDS") {
		return fmt.Errorf("there are no AWS credentials\n%s", credentialsHint)
	}
	return fmt.Errorf("there are no usable AWS credentials: %w\n%s", last, credentialsHint)
}

// deniedError: the caller may not do what is needed.
type deniedError struct{ doing, action, says string }

func (e *deniedError) Error() string {
	text := fmt.Sprintf("%s: you are not permitted to do %s", e.doing, e.action)
	if e.says != "" {
		text += "\n" + e.says
	}
	return text + "\n" + policyHint
}

var deniedPattern = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)

// deniedAction is the IAM action that was missing, as the answer names it. S3's may be silent; then it follows from what was called.
func deniedAction(err error, api smithy.APIError) string {
	if named := deniedIn(api.ErrorMessage()); named != "" {
		return named
	}
	operation, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return "this"
	}
	service := map[string]string{"S3": "s3", "CloudFormation": "cloudformation", "STS": "sts", "CloudWatch Logs": "logs"}[operation.Service()]
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html: these calls are permitted by another action.
	action, ok := map[string]string{"HeadObject": "GetObject", "HeadBucket": "ListBucket", "ListObjectsV2": "ListBucket", "DeleteObjects": "DeleteObject"}[operation.Operation()]
	if !ok {
		action = operation.Operation()
	}
	return service + ":" + action
}

// deniedIn finds the IAM action in a message, also in the reason that CloudFormation gives for a resource. Without any it returns "".
func deniedIn(message string) string {
	if found := deniedPattern.FindStringSubmatch(message); found != nil {
		return found[1]
	}
	return ""
}

// isCode tells whether AWS answered with this error code.
func isCode(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrorCode() == code {
			return true
		}
	}
	return false
}
