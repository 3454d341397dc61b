package deploy

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// Where says which account and Region is meant. What is empty comes from where AWS's own programs have it from: the
// environment and ~/.aws.
type Where struct{ Region, Profile string }

// A Client manages stacks in one account and Region. Its methods are for one goroutine.
type Client struct {
	credentials aws.CredentialsProvider
	region      string
	tell        func(Event)

	sts    *sts.Client
	s3     *s3.Client
	stacks *cloudformation.Client
	logs   *cloudwatchlogs.Client

	poll time.Duration // between two looks at what CloudFormation or the logs have
}

const (
	pollInterval = 2 * time.Second
	// CloudFormation's API is throttled for the whole account, and others may be at work in it. Ten attempts take half a minute or more.
	attempts = 10
)

// Open reads the configuration; it sends nothing yet. Whoever calls hears what happens through tell, in order, while
// methods run.
func Open(ctx context.Context, where Where, tell func(Event)) (*Client, error) {
	load := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = attempts
				o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(nobodyListens)}, o.Retryables...)
			})
		}),
	}
	if where.Region != "" {
		load = append(load, config.WithRegion(where.Region))
	}
	if where.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(where.Profile))
	}
	load = append(load, config.WithLogger(logging.Nop{})) // what fails is told once, by us
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if missing, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return nil, fmt.Errorf("there is no profile %q; to see which there are: aws configure list-profiles", missing.Profile)
	}
	if err != nil {
		return nil, fmt.Errorf("reading AWS's configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("which AWS Region? Say --region eu-central-1, or another of https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html")
	}
	return newClient(cfg, tell), nil
}

// nobodyListens says of an endpoint at which nobody listens, that AWS_ENDPOINT_URL names, that it is no use to try again.
func nobodyListens(err error) aws.Ternary {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

func newClient(cfg aws.Config, tell func(Event)) *Client {
	return &Client{
		credentials: cfg.Credentials,
		region:      cfg.Region,
		tell:        tell,
		sts:         sts.NewFromConfig(cfg),
		s3: s3.NewFromConfig(cfg, func(o *s3.Options) {
			// Whoever plays AWS at another address has no host name for each bucket.
			o.UsePathStyle = o.BaseEndpoint != nil
			// The upload carries its own checksum, see put.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}),
		stacks: cloudformation.NewFromConfig(cfg),
		logs:   cloudwatchlogs.NewFromConfig(cfg),
		poll:   pollInterval,
	}
}

// Region is where the client works.
func (c *Client) Region() string { return c.region }

// identify asks AWS who we are. It needs no permission, so whatever is wrong with the credentials shows here.
func (c *Client) identify(ctx context.Context) (account string, err error) {
	if _, err := c.credentials.Retrieve(ctx); err != nil {
		return "", noCredentials(ctx, err)
	}
	who, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", c.explain(ctx, "asking AWS who we are", err)
	}
	account = aws.ToString(who.Account)
	c.tell(Identified{Account: account, Caller: aws.ToString(who.Arn), Region: c.region})
	return account, nil
}

// pause waits until it is time for the next look, or until the context ends: then it returns false.
func (c *Client) pause(ctx context.Context) bool {
	timer := time.NewTimer(c.poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
