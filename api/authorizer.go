package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"crier/lambda"
)

// An authorizer decides on handshakes, as a REQUEST authorizer of API Gateway
// does.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
type authorizer struct {
	Integration
	identity []identitySource
}

// An identitySource is something that a handshake must have for the authorizer
// to be asked.
type identitySource struct {
	text string
	kind string // header, querystring, stageVariables, context
	name string
}

func parseIdentitySource(text string) (identitySource, error) {
	for _, kind := range []string{"header", "querystring"} {
		if name, ok := strings.CutPrefix(text, "route.request."+kind+"."); ok && name != "" {
			return identitySource{text, kind, name}, nil
		}
	}
	for _, kind := range []string{"stageVariables", "context"} {
		if name, ok := strings.CutPrefix(text, kind+"."); ok && name != "" {
			return identitySource{text, kind, name}, nil
		}
	}
	return identitySource{}, fmt.Errorf("%q is no identity source: there are route.request.header.NAME, route.request.querystring.NAME, stageVariables.NAME and context.NAME", text)
}

// in reports whether the handshake of an event has what the source names.
func (s identitySource) in(ev event, h Handshake) bool {
	switch s.kind {
	case "header":
		for name, value := range ev.Headers { // which also has what API Gateway adds
			if strings.EqualFold(name, s.name) {
				return value != ""
			}
		}
		return false
	case "querystring":
		return h.Query.Get(s.name) != ""
	case "stageVariables":
		variables, _ := ev.StageVariables.(map[string]string)
		return variables[s.name] != ""
	}
	var context map[string]any
	text, _ := json.Marshal(ev.RequestContext)
	json.Unmarshal(text, &context)
	return context[s.name] != nil
}

// A decision is what came of asking an authorizer.
type decision struct {
	status  int               // 200, or what the handshake is refused with
	context map[string]string // for later events
	cause   error             // of a refusal
	event   []byte            // as the authorizer got it; nil: it got none
	answer  []byte            // as it gave it
}

var (
	errNoIdentity = errors.New("the handshake lacks what the authorizer's identitySource names")
	errDenied     = errors.New("the authorizer's policy does not allow it")
)

// decide asks the authorizer about a handshake.
func (au *authorizer) decide(ctx context.Context, ev event, h Handshake) decision {
	for _, source := range au.identity {
		if !source.in(ev, h) {
			return decision{status: http.StatusUnauthorized, cause: fmt.Errorf("%w: %s", errNoIdentity, source.text)}
		}
	}
	text := ev.encode()
	wait, err := au.Start(ev.RequestContext.ConnectionID, text)
	if err != nil { // too many wait
		return decision{status: http.StatusTooManyRequests, cause: err}
	}
	payload, err := wait(ctx)
	d := judge(payload, err, ev.MethodARN)
	d.event, d.answer = text, answerOf(payload, err)
	return d
}

// judge makes a decision of what an authorizer answers.
func judge(payload []byte, err error, methodARN string) decision {
	var failed *lambda.Error
	switch {
	case errors.As(err, &failed) && failed.Message == "Unauthorized":
		return decision{status: http.StatusUnauthorized, cause: err}
	case err != nil:
		return decision{status: http.StatusInternalServerError, cause: err}
	}
	var p policy
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber() // numbers of the context become text as they are
	if err := decoder.Decode(&p); err != nil || p.PrincipalID == "" || p.Document.Statement == nil {
		return decision{status: http.StatusInternalServerError, cause: fmt.Errorf("malformed answer of the authorizer: want a principalId and a policyDocument, got %.200s", payload)}
	}
	if err := p.check(); err != nil {
		return decision{status: http.StatusInternalServerError, cause: fmt.Errorf("the authorizer's answer: %w", err)}
	}
	if !p.allows("execute-api:Invoke", methodARN) {
		return decision{status: http.StatusForbidden, cause: errDenied}
	}
	return decision{status: http.StatusOK, context: p.texts()}
}

// A policy is an authorizer's answer.
type policy struct {
	PrincipalID string         `json:"principalId"`
	Context     map[string]any `json:"context"`
	Document    struct {
		Statement list1[statement] `json:"Statement"`
	} `json:"policyDocument"`
}

type statement struct {
	Effect   string        `json:"Effect"`
	Action   list1[string] `json:"Action"`
	Resource list1[string] `json:"Resource"`

	Condition, NotAction, NotResource json.RawMessage
}

// check reports what API Gateway would refuse, and what would be a risk to pass
// over.
func (p policy) check() error {
	for name, value := range p.Context {
		switch value.(type) {
		case map[string]any, []any:
			// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
			return fmt.Errorf("context.%s is an object or a list; a text, a number, true or false is wanted", name)
		}
	}
	for _, s := range p.Document.Statement {
		for name, value := range map[string]json.RawMessage{"Condition": s.Condition, "NotAction": s.NotAction, "NotResource": s.NotResource} {
			if value != nil {
				return fmt.Errorf("its policy has a %s, which crier does not understand: there are Effect, Action and Resource", name)
			}
		}
	}
	return nil
}

// A list1 is a list in JSON, or its only element alone.
type list1[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *list1[T]) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]T)(l))
	}
	*l = make(list1[T], 1)
	return json.Unmarshal(text, &(*l)[0])
}

// allows follows IAM: what is denied is denied, what is not allowed, too.
func (p policy) allows(action, resource string) bool {
	allowed := false
	for _, s := range p.Document.Statement {
		if !matchesAny(s.Action, strings.ToLower(action), strings.ToLower) || !matchesAny(s.Resource, resource, strings.Clone) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = allowed || s.Effect == "Allow"
	}
	return allowed
}

func matchesAny(patterns []string, text string, fold func(string) string) bool {
	for _, p := range patterns {
		if matches(fold(p), text) {
			return true
		}
	}
	return false
}

// matches reports whether a pattern of IAM, with * for any text and ? for any
// character, is the text's.
func matches(pattern, text string) bool {
	// In package path a * stops at a slash and [ and \ mean something; here
	// they do not.
	escape := strings.NewReplacer("/", "\x00", "[", "\x01", `\`, "\x02").Replace
	ok, err := path.Match(escape(pattern), escape(text))
	return ok && err == nil
}

// texts returns what later events tell of the decision: every value as text.
func (p policy) texts() map[string]string {
	m := map[string]string{"principalId": p.PrincipalID}
	for name, value := range p.Context {
		if value != nil {
			m[name] = stringify(value)
		}
	}
	return m
}
