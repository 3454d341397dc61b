package api

import (
	"cmp"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"crier/lambda"
)

// regionName is what a region's name looks like.
var regionName = regexp.MustCompile(`^[a-z0-9-]+$`)

// Aliases returns the names that the API has at AWS, as functions build them
// from apiId and AWS_REGION: one for each region of its functions.
func (f *File) Aliases() (list []string) {
	functions := []*LambdaConfig{{}}
	for _, c := range f.Integrations {
		if c.Lambda != nil {
			functions = append(functions, c.Lambda)
		}
	}
	for _, c := range functions {
		if name := f.alias(c); name != "" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// alias returns the API's name for a function, or nothing if its region is
// none.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
func (f *File) alias(c *LambdaConfig) string {
	region := f.region(c)
	if !regionName.MatchString(region) {
		return ""
	}
	return apiID + ".execute-api." + region + ".amazonaws.com"
}

// region returns a function's AWS_REGION: what the file says, or else crier's
// own environment.
func (f *File) region(c *LambdaConfig) string {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		for _, variables := range []map[string]*string{c.Environment, f.Environment} {
			if value := variables[name]; value != nil && *value != "" {
				return *value
			}
		}
	}
	return Region()
}

// Region returns the AWS_REGION of functions for which crier.yaml names none:
// that of crier's own environment, or us-east-1.
func Region() string {
	return cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1")
}

// alias returns the alias of a function's API, and where it leads.
func (a *API) alias(c *LambdaConfig) lambda.Alias {
	if a.options.Files == "" {
		return lambda.Alias{}
	}
	return lambda.Alias{Name: a.file.alias(c), To: a.options.Door, Files: a.options.Files, Proxy: a.proxy}
}

// openProxy opens the proxy that executables need, or none.
func (a *API) openProxy() (*lambda.Proxy, error) {
	executable := func(c IntegrationConfig) bool { return c.Lambda != nil && c.Lambda.Bootstrap != "" }
	if a.options.Files == "" || !slices.ContainsFunc(slices.Collect(maps.Values(a.file.Integrations)), executable) {
		return nil, nil
	}
	dynamoDB := ""
	for _, v := range a.variables(&LambdaConfig{}) { // the last one counts
		if value, ok := strings.CutPrefix(v, "AWS_ENDPOINT_URL_DYNAMODB="); ok {
			dynamoDB = value
		}
	}
	return lambda.NewProxy(a.file.Aliases(), a.options.Door, dynamoDB, a.options.Log)
}
