package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"crier/app"
)

// InLambda reports whether this process is a Lambda function's.
func InLambda() bool { return os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" }

// Run serves the app that the environment names, as a Lambda function:
//
//	CRIER_APP        broadcast, bridge, chat, rooms or directory
//	CRIER_TABLE      the name of the DynamoDB table
//	CRIER_ENDPOINT   of the management API, for events whose domainName is not API Gateway's own; it may be empty
//
//	CRIER_DELIVERIES how many messages clients get in a second at most, on average over a minute; 0 or empty: as many as there are
//	CRIER_COALESCE   for how many milliseconds messages to the same topics wait for each other; 0 or empty: not at all
//
// and those of gate.go, which say who may connect; without them, everybody may.
//
// It returns only if it cannot begin, or cannot go on.
func Run(ctx context.Context) error {
	// "At 1,769 MB, a function has the equivalent of one vCPU." With less, a second thread finds nothing to run, and pays for
	// looking. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
	if memory, _ := strconv.Atoi(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")); memory <= 1769 {
		runtime.GOMAXPROCS(1)
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	h, err := newHandler(ctx, log)
	if err != nil {
		return err
	}
	return newRuntimeAPI(os.Getenv("AWS_LAMBDA_RUNTIME_API")).run(ctx, h.Invoke)
}

func newHandler(ctx context.Context, log *slog.Logger) (*handler, error) {
	name, table := os.Getenv("CRIER_APP"), os.Getenv("CRIER_TABLE")
	served, ok := apps[name]
	if !ok {
		return nil, fmt.Errorf("CRIER_APP is %q; there are broadcast, bridge, chat, rooms and directory", name)
	}
	if table == "" {
		return nil, errors.New("CRIER_TABLE is not set: it names the DynamoDB table")
	}
	deliveries, err := numberOf("CRIER_DELIVERIES")
	if err != nil {
		return nil, err
	}
	window, err := numberOf("CRIER_COALESCE")
	if err != nil {
		return nil, err
	}
	gate, err := openGate(log)
	if err != nil {
		return nil, fmt.Errorf("read who may connect: %w", err)
	}
	account, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	members := &registry{table: table, db: dynamodb.NewFromConfig(account, persistent)}
	return &handler{
		app:      served,
		name:     name,
		stack:    os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), // it has the stack's name
		endpoint: os.Getenv("CRIER_ENDPOINT"),
		gate:     gate,
		registry: members,
		budget:   &budget{registry: members, rate: deliveries},
		now:      time.Now,
		window:   time.Duration(window) * time.Millisecond,
		poster:   newPoster(account.Credentials, account.Region),
		audience: maxAudience,
		stride:   stride,
		again:    self{lambda.NewFromConfig(account, untiring), os.Getenv("AWS_LAMBDA_FUNCTION_NAME")},
		log:      log,
	}, nil
}

// numberOf returns a variable that is a number; 0 if it is not set.
func numberOf(variable string) (int64, error) {
	value := os.Getenv(variable)
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is %q: want a number", variable, value)
	}
	return n, nil
}

// answerTimeout is how long one try of a request to DynamoDB or Lambda may take. They answer within milliseconds, because
// Lambda only takes the event.
const answerTimeout = 3 * time.Second

// persistent makes a client wait little for each try, and try often.
func persistent(o *dynamodb.Options) {
	o.Retryer = patient
	o.HTTPClient = http.NewBuildableClient().WithTimeout(answerTimeout)
}

// untiring is persistent for clients of Lambda. If it takes an event twice, the task in the table is found taken.
func untiring(o *lambda.Options) {
	o.Retryer = patient
	o.HTTPClient = http.NewBuildableClient().WithTimeout(answerTimeout)
}

// patient retries what is throttled, for longer and with shorter pauses than the SDK does by itself: somebody waits. It
// has no bucket of tokens that is empty after a hundred throttled calls. An answer that cannot be read is no answer.
var patient = retry.NewStandard(func(o *retry.StandardOptions) {
	o.MaxAttempts = maxTries
	o.RateLimiter = ratelimit.None
	o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		_, unreadable := errors.AsType[*smithy.DeserializationError](err)
		return aws.BoolTernary(unreadable)
	}))
	o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
		return rand.N(min(firstWait<<attempt, maxWait)), nil
	})
})

var apps = map[string]app.App{
	"broadcast": app.Broadcast{},
	"bridge":    app.Bridge{},
	"chat":      app.Chat{},
	"rooms":     app.Rooms{},
	"directory": app.Directory{},
}

// self is this function, as others can invoke it.
type self struct {
	client *lambda.Client
	name   string
}

// start implements continuer.
func (s self) start(ctx context.Context, payload []byte) error {
	_, err := s.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &s.name, InvocationType: types.InvocationTypeEvent, Payload: payload})
	return err
}
