package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"crier/api"
	"crier/localdb"
	"crier/serve"
)

// endpointVariable tells AWS SDKs where DynamoDB is.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
const endpointVariable = "AWS_ENDPOINT_URL_DYNAMODB"

// A tableStore is the DynamoDB of --dynamodb. It is a pflag.Value.
type tableStore struct {
	wanted bool
	jar    string      // DynamoDBLocal.jar; empty for what is installed
	db     *localdb.DB // nil until open
}

// Set reads --dynamodb, which has true, or --dynamodb=JAR.
func (s *tableStore) Set(value string) error {
	wanted, err := strconv.ParseBool(value)
	if s.wanted, s.jar = wanted, ""; err != nil {
		s.wanted, s.jar = true, value
	}
	return nil
}

func (s *tableStore) String() string {
	if s.wanted && s.jar == "" {
		return "true"
	}
	return s.jar
}

func (s *tableStore) Type() string { return "string" }

func (s *tableStore) addFlag(f *pflag.FlagSet) {
	f.Var(s, "dynamodb", "give the functions a DynamoDB in memory, with the tables of FILE: dynalite, an npm package, or DynamoDB Local, by its `JAR`")
	f.Lookup("dynamodb").NoOptDefVal = "true"
}

// howToDynamoDB follows localdb.ErrNone.
const howToDynamoDB = `; any of these helps:
  npm install --no-save dynalite                        # it needs Node.js: https://nodejs.org
  crier gateway --dynamodb=PATH/DynamoDBLocal.jar       # AWS's own; it needs Java: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DynamoDBLocal.DownloadingAndRunning.html
  export ` + endpointVariable + `=http://localhost:8000 # one that runs already`

// open starts the DynamoDB, if it is wanted, and tells the functions where it
// is. If it is not wanted, and the functions lack one, their author is told.
func (s *tableStore) open(ctx context.Context, g *serve.OwnAPI, file *api.File, log journal, options *api.Options) error {
	if s == nil || !s.wanted {
		remindOfDynamoDB(file, log, options)
		return nil
	}
	db, err := localdb.Open(ctx, localdb.Config{
		Endpoint:  dynamoDBEndpoint(file),
		Jar:       s.jar,
		Dir:       filepath.Dir(file.Path),
		Region:    api.Region(),
		AccessKey: g.AccessKey,
		SecretKey: g.SecretKey,
		Tables:    file.Tables,
		Log:       log.Logger,
	})
	switch {
	case errors.Is(err, localdb.ErrNone):
		return fmt.Errorf("--dynamodb: %w%s", err, howToDynamoDB)
	case err != nil:
		return fmt.Errorf("--dynamodb: %w", err)
	}
	s.db = db
	options.Variables = append(options.Variables, endpointVariable+"="+db.Endpoint())
	return nil
}

// close ends the DynamoDB, for which the functions must have ended.
func (s *tableStore) close() {
	if s != nil && s.db != nil {
		s.db.Close()
	}
}

// banner tells a person where the tables are.
func (s *tableStore) banner(file *api.File) string {
	if s == nil || s.db == nil {
		return ""
	}
	what := "no tables: " + filepath.Base(file.Path) + " names none"
	if len(file.Tables) > 0 {
		what = "the tables " + strings.Join(slices.Sorted(maps.Keys(file.Tables)), ", ")
	}
	where := "in memory"
	if !s.db.Started() {
		where = "which runs already"
	}
	return fmt.Sprintf("%s, %s, with %s:\n\n  %s\n\n", s.db.Name(), where, what, s.db.Endpoint())
}

// dynamoDBEndpoint returns where the functions are told that DynamoDB is;
// nothing if they are not told.
func dynamoDBEndpoint(file *api.File) string {
	for _, name := range []string{endpointVariable, "AWS_ENDPOINT_URL"} {
		if value := file.Environment[name]; value != nil {
			return *value
		}
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// remindOfDynamoDB says once that functions have no DynamoDB: at once if they
// seem to use one, otherwise when one of them fails as functions do that look
// for it.
func remindOfDynamoDB(file *api.File, log journal, options *api.Options) {
	if dynamoDBEndpoint(file) != "" || !needsDynamoDB(file) {
		return
	}
	remind := func(why string) {
		log.Warn("the functions have no DynamoDB here", "seen", why,
			"help", "crier gateway --dynamodb runs one; "+endpointVariable+"=http://localhost:8000 names one of your own")
	}
	if why := namesTables(file); why != "" {
		remind(why)
		return
	}
	var once sync.Once
	report := options.Report
	options.Report = func(r api.Report) {
		report(r)
		if why := missesDynamoDB(r.Cause); why != "" {
			once.Do(func() { remind(r.Integration + " " + why) })
		}
	}
}

// needsDynamoDB reports whether a file has functions that are neither told
// where DynamoDB is nor given keys for AWS.
func needsDynamoDB(file *api.File) bool {
	environments := []map[string]*string{file.Environment}
	for _, c := range file.Integrations {
		if c.Lambda != nil {
			environments = append(environments, c.Lambda.Environment)
		}
	}
	return len(environments) > 1 && !slices.ContainsFunc(environments, func(e map[string]*string) bool {
		_, key := e["AWS_ACCESS_KEY_ID"]
		_, profile := e["AWS_PROFILE"]
		return key || profile || e[endpointVariable] != nil
	})
}

// namesTables says what in a file suggests that functions use DynamoDB; nothing
// if nothing does.
func namesTables(file *api.File) string {
	if len(file.Tables) > 0 {
		return "tables in " + filepath.Base(file.Path)
	}
	if name := tableVariable(file.Environment); name != "" {
		return "environment." + name + " in " + filepath.Base(file.Path)
	}
	for _, integration := range slices.Sorted(maps.Keys(file.Integrations)) {
		c := file.Integrations[integration].Lambda
		if c == nil {
			continue
		}
		if name := tableVariable(c.Environment); name != "" {
			return "environment." + name + " of " + integration
		}
	}
	return ""
}

// tableVariable returns the name of a variable that seems to name a table.
func tableVariable(environment map[string]*string) string {
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if upper := strings.ToUpper(name); (strings.Contains(upper, "TABLE") || strings.Contains(upper, "DYNAMO")) && name != endpointVariable {
			return name
		}
	}
	return ""
}

// missesDynamoDB says what in a failure suggests that a function looked for
// DynamoDB at AWS; nothing if nothing does.
func missesDynamoDB(cause error) string {
	switch {
	case cause == nil:
		return ""
	case errors.Is(cause, context.DeadlineExceeded), strings.Contains(cause.Error(), "Sandbox.Timedout"):
		return "timed out"
	}
	for _, sign := range []string{"dynamodb.", "UnrecognizedClientException", "security token included in the request is invalid"} {
		if strings.Contains(cause.Error(), sign) {
			return "failed"
		}
	}
	return ""
}
