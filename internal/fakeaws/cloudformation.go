package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Stack is one of the account's, there or removed.
type Stack struct {
	Name, ID, Status string
	Parameters       map[string]string
	Plans            []string // names of change sets

	template string
	plan     plan    // the change set that was made last
	events   []event // oldest first
	ahead    []event // what is going to happen
	lag      int     // how many looks there are before it does
	removed  bool    // it is found by its id only
}

type plan struct {
	name, template string
	parameters     map[string]string
	isNew, same    bool
}

type event struct {
	id, resource, kind, status, reason string
	at                                 time.Time
}

// AddStack puts a stack there that somebody made earlier.
func (a *AWS) AddStack(s Stack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.ID = a.stackID(s.Name)
	a.stacks = append(a.stacks, &s)
	a.happen(&s, event{resource: s.Name, status: s.Status})
}

// Stack is the one of this name; the zero value if there is none.
func (a *AWS) Stack(name string) Stack {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.find(name); s != nil {
		return *s
	}
	return Stack{}
}

func (a *AWS) stackID(name string) string {
	a.number++
	return fmt.Sprintf("arn:aws:cloudformation:%s:%s:stack/%s/%d", Region, Account, name, a.number)
}

func (a *AWS) find(nameOrID string) *Stack {
	for _, s := range a.stacks {
		if s.ID == nameOrID || s.Name == nameOrID && !s.removed {
			return s
		}
	}
	return nil
}

func (a *AWS) asked(r *http.Request) (*Stack, *Fault) {
	name := r.Form.Get("StackName")
	if s := a.find(name); s != nil {
		return s, nil
	}
	return nil, &Fault{http.StatusBadRequest, "ValidationError", "Stack with id " + name + " does not exist"}
}

// happen makes an event be part of the past.
func (a *AWS) happen(s *Stack, e event) {
	a.number++
	e.id, e.at = strconv.Itoa(a.number), time.Date(2026, 11, 21, 12, 0, a.number, 0, time.UTC)
	if e.kind == "" {
		e.kind = "AWS::Fake::" + e.resource
	}
	if e.resource == s.Name {
		e.kind, s.Status = "AWS::CloudFormation::Stack", e.status
		s.removed = e.status == "DELETE_COMPLETE"
	}
	s.events = append(s.events, e)
}

// describeStacks is what lets time pass.
func (a *AWS) describeStacks(w http.ResponseWriter, r *http.Request) *Fault {
	s, fault := a.asked(r)
	if fault != nil {
		return fault
	}
	steps := min(a.Steps, len(s.ahead))
	if s.lag > 0 {
		s.lag, steps = s.lag-1, 0
	}
	for range steps {
		a.happen(s, s.ahead[0])
		s.ahead = s.ahead[1:]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<Stacks><member><StackName>%s</StackName><StackId>%s</StackId><StackStatus>%s</StackStatus>", s.Name, s.ID, s.Status)
	fmt.Fprint(&b, "<CreationTime>2026-11-21T12:00:00.000Z</CreationTime>")
	fmt.Fprint(&b, "<Parameters>")
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		value := s.Parameters[name]
		if slices.Contains(a.NoEcho, name) {
			value = "****"
		}
		fmt.Fprintf(&b, "<member><ParameterKey>%s</ParameterKey><ParameterValue>%s</ParameterValue></member>", name, escape(value))
	}
	fmt.Fprint(&b, "</Parameters><Outputs>")
	if s.Status == "CREATE_COMPLETE" || strings.HasPrefix(s.Status, "UPDATE_") {
		for _, output := range [][2]string{
			{"Url", "wss://abc123.execute-api." + Region + ".amazonaws.com/live"}, {"Function", s.Name}, {"Table", s.Name}, {"LogGroup", "/aws/lambda/" + s.Name},
		} {
			fmt.Fprintf(&b, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", output[0], output[1])
		}
	}
	fmt.Fprint(&b, "</Outputs></member></Stacks>")
	result(w, r, "%s", b.String())
	return nil
}

// describeStackEvents has three events a page, the newest first.
func (a *AWS) describeStackEvents(w http.ResponseWriter, r *http.Request) *Fault {
	s, fault := a.asked(r)
	if fault != nil {
		return fault
	}
	const page = 3
	events := slices.Clone(s.events)
	slices.Reverse(events)
	from, _ := strconv.Atoi(r.Form.Get("NextToken"))
	var b strings.Builder
	fmt.Fprint(&b, "<StackEvents>")
	for _, e := range events[from:min(from+page, len(events))] {
		physical := e.resource + "-1"
		if e.resource == s.Name {
			physical = s.ID
		}
		fmt.Fprintf(&b, "<member><EventId>%s</EventId><StackId>%s</StackId><LogicalResourceId>%s</LogicalResourceId><PhysicalResourceId>%s</PhysicalResourceId>"+
			"<ResourceType>%s</ResourceType><ResourceStatus>%s</ResourceStatus><ResourceStatusReason>%s</ResourceStatusReason><Timestamp>%s</Timestamp></member>",
			e.id, s.ID, e.resource, physical, e.kind, e.status, escape(e.reason), e.at.Format(time.RFC3339))
	}
	fmt.Fprint(&b, "</StackEvents>")
	if from+page < len(events) {
		fmt.Fprintf(&b, "<NextToken>%d</NextToken>", from+page)
	}
	result(w, r, "%s", b.String())
	return nil
}

// describeEvents tells why a change set could not be made.
func (a *AWS) describeEvents(w http.ResponseWriter, r *http.Request) *Fault {
	result(w, r, "<OperationEvents><member><EventId>1</EventId><EventType>VALIDATION_ERROR</EventType><LogicalResourceId>%s</LogicalResourceId>"+
		"<ValidationStatusReason>%s</ValidationStatusReason></member></OperationEvents>", a.Broken, escape(a.Why))
	return nil
}

func (a *AWS) createChangeSet(w http.ResponseWriter, r *http.Request) *Fault {
	name := r.Form.Get("StackName")
	s := a.find(name)
	isNew := r.Form.Get("ChangeSetType") == "CREATE"
	switch {
	case isNew && s != nil && s.Status != "REVIEW_IN_PROGRESS":
		return &Fault{http.StatusBadRequest, "ValidationError", "Stack [" + name + "] already exists and cannot be created again with the changeSet"}
	case !isNew && s == nil:
		return &Fault{http.StatusBadRequest, "ValidationError", "Stack [" + name + "] does not exist"}
	case !isNew && !strings.HasSuffix(s.Status, "_COMPLETE"):
		return &Fault{http.StatusBadRequest, "ValidationError", "Stack:" + s.ID + " is in " + s.Status + " state and can not be updated."}
	}
	if s == nil {
		s = &Stack{Name: name, ID: a.stackID(name)}
		a.stacks = append(a.stacks, s)
		a.happen(s, event{resource: name, status: "REVIEW_IN_PROGRESS"})
	}
	p := plan{name: r.Form.Get("ChangeSetName"), template: r.Form.Get("TemplateBody"), parameters: parameters(r, s), isNew: isNew}
	p.same = !isNew && p.template == s.template && maps.Equal(p.parameters, s.Parameters)
	s.plan, s.Plans = p, append(s.Plans, p.name)
	result(w, r, "<Id>arn:aws:cloudformation:%s:%s:changeSet/%s</Id><StackId>%s</StackId>", Region, Account, p.name, s.ID)
	return nil
}

func parameters(r *http.Request, s *Stack) map[string]string {
	set := map[string]string{}
	for i := 1; ; i++ {
		key := r.Form.Get(fmt.Sprintf("Parameters.member.%d.ParameterKey", i))
		if key == "" {
			return set
		}
		set[key] = r.Form.Get(fmt.Sprintf("Parameters.member.%d.ParameterValue", i))
		if r.Form.Get(fmt.Sprintf("Parameters.member.%d.UsePreviousValue", i)) == "true" {
			set[key] = s.Parameters[key]
		}
	}
}

func (a *AWS) asksPlan(r *http.Request) (*Stack, *Fault) {
	s, fault := a.asked(r)
	if name := r.Form.Get("ChangeSetName"); fault == nil && !slices.Contains(s.Plans, name) {
		fault = &Fault{http.StatusNotFound, "ChangeSetNotFound", "ChangeSet [" + name + "] does not exist"}
	}
	return s, fault
}

// describeChangeSet has two changes a page.
func (a *AWS) describeChangeSet(w http.ResponseWriter, r *http.Request) *Fault {
	s, fault := a.asksPlan(r)
	if fault != nil {
		return fault
	}
	if s.plan.same {
		result(w, r, "<Status>FAILED</Status><StatusReason>The submitted information didn't contain changes. Submit different information to create a change set.</StatusReason>")
		return nil
	}
	if a.Invalid {
		result(w, r, "<Status>FAILED</Status><StatusReason>The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. "+
			"To troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure information.</StatusReason>")
		return nil
	}
	const page = 2
	action, resources := "Add", a.Resources
	if !s.plan.isNew {
		action, resources = "Modify", []string{"Function"}
	}
	from, _ := strconv.Atoi(r.Form.Get("NextToken"))
	var b strings.Builder
	for _, resource := range resources[from:min(from+page, len(resources))] {
		fmt.Fprintf(&b, "<member><Type>Resource</Type><ResourceChange><Action>%s</Action><LogicalResourceId>%s</LogicalResourceId>"+
			"<ResourceType>AWS::Fake::%[2]s</ResourceType></ResourceChange></member>", action, resource)
	}
	next := ""
	if from+page < len(resources) {
		next = fmt.Sprintf("<NextToken>%d</NextToken>", from+page)
	}
	result(w, r, "<Status>CREATE_COMPLETE</Status><Changes>%s</Changes>%s", b.String(), next)
	return nil
}

func (a *AWS) listChangeSets(w http.ResponseWriter, r *http.Request) *Fault {
	s, fault := a.asked(r)
	if fault != nil {
		return fault
	}
	var b strings.Builder
	for _, name := range s.Plans {
		fmt.Fprintf(&b, "<member><ChangeSetName>%s</ChangeSetName></member>", name)
	}
	result(w, r, "<Summaries>%s</Summaries>", b.String())
	return nil
}

func (a *AWS) deleteChangeSet(w http.ResponseWriter, r *http.Request) *Fault {
	s, fault := a.asksPlan(r)
	if fault != nil {
		return fault
	}
	s.Plans = slices.DeleteFunc(s.Plans, func(name string) bool { return name == r.Form.Get("ChangeSetName") })
	result(w, r, "")
	return nil
}

func (a *AWS) executeChangeSet(w http.ResponseWriter, r *http.Request) *Fault {
	s, fault := a.asksPlan(r)
	if fault != nil {
		return fault
	}
	s.Plans, s.lag = nil, a.Lag
	if s.plan.isNew {
		a.foresee(s, "CREATE", a.Resources)
	} else {
		a.foresee(s, "UPDATE", []string{"Function"})
	}
	if a.Broken == "" || s.plan.isNew {
		s.Parameters, s.template = s.plan.parameters, s.plan.template
	}
	if a.Renamed && s.plan.isNew {
		s.ID = a.stackID(s.Name)
	}
	result(w, r, "")
	return nil
}

// foresee lays down what is going to happen when resources are created or updated.
func (a *AWS) foresee(s *Stack, verb string, resources []string) {
	will := func(resource, status, reason string) {
		s.ahead = append(s.ahead, event{resource: resource, status: status, reason: reason})
	}
	undo := map[string]string{"CREATE": "ROLLBACK", "UPDATE": "UPDATE_ROLLBACK"}[verb]
	will(s.Name, verb+"_IN_PROGRESS", "User Initiated")
	for i, resource := range resources {
		will(resource, verb+"_IN_PROGRESS", "")
		if resource != a.Broken {
			will(resource, verb+"_COMPLETE", "")
			continue
		}
		will(resource, verb+"_FAILED", a.Why)
		if i+1 < len(resources) {
			will(resources[i+1], verb+"_FAILED", "Resource creation cancelled")
		}
		will(s.Name, undo+"_IN_PROGRESS", "The following resource(s) failed: ["+resource+"]. Rollback requested by user.")
		if a.Stuck {
			will(s.Name, undo+"_FAILED", "The following resource(s) failed to update: ["+resource+"].")
			return
		}
		for _, made := range slices.Backward(resources[:i]) {
			will(made, "DELETE_COMPLETE", "")
		}
		will(s.Name, undo+"_COMPLETE", "")
		return
	}
	will(s.Name, verb+"_COMPLETE", "")
}

func (a *AWS) deleteStack(w http.ResponseWriter, r *http.Request) *Fault {
	s, fault := a.asked(r)
	if fault != nil {
		return fault
	}
	will := func(resource, status, reason string) {
		s.ahead = append(s.ahead, event{resource: resource, status: status, reason: reason})
	}
	s.ahead, s.lag = nil, a.Lag
	will(s.Name, "DELETE_IN_PROGRESS", "User Initiated")
	for _, resource := range slices.Backward(a.Resources) {
		will(resource, "DELETE_IN_PROGRESS", "")
		if resource == a.Broken && s.Status != "ROLLBACK_COMPLETE" {
			will(resource, "DELETE_FAILED", a.Why)
			will(s.Name, "DELETE_FAILED", "The following resource(s) failed to delete: ["+resource+"].")
			result(w, r, "")
			return nil
		}
		will(resource, "DELETE_COMPLETE", "")
	}
	will(s.Name, "DELETE_COMPLETE", "")
	result(w, r, "")
	return nil
}
