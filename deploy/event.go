package deploy

import "time"

// An Event is something that happened on the way and that a person may want to see: one of the types of this file.
type Event interface{ event() }

// Identified: AWS knows who we are.
type Identified struct{ Account, Caller, Region string }

// Uploaded: the function's code is in the bucket.
type Uploaded struct {
	Bucket, Key string
	Bytes       int
	NewBucket   bool // the bucket was not there before
	Already     bool // the code was there before: nothing was sent
}

// Leftover: an earlier attempt left a stack that holds nothing. It is in the way, unless it can be used.
type Leftover struct {
	Name   string
	Status Status
	Do     string // what becomes of it, as a sentence goes on: "it is used"
}

// Planned: what CloudFormation is going to do.
type Planned struct {
	Name    string
	New     bool // the stack is not there yet
	Changes []Change
}

// A Change is what becomes of one resource.
type Change struct {
	Action      string // Add, Modify, Remove
	Resource    string // its name in the template
	Type        string // such as AWS::Lambda::Function
	Replacement bool   // the resource is made anew and the old one removed; CloudFormation may not know until it tries
}

// Progress: a resource, or the stack itself, has another status.
type Progress struct {
	Resource string // its name in the template; the stack's is the stack's name
	Type     string
	Status   Status
	Reason   string
	Time     time.Time
}

// Emptied: the function's code is not in the bucket any more.
type Emptied struct {
	Bucket        string
	Objects       int
	BucketRemoved bool // nothing else was in it
}

func (Identified) event() {}
func (Uploaded) event()   {}
func (Leftover) event()   {}
func (Planned) event()    {}
func (Progress) event()   {}
func (Emptied) event()    {}
