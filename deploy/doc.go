// Package deploy puts one of crier's apps on AWS, as one CloudFormation stack, and takes it away again.
//
// # What a stack is
//
// The template, stack.yaml, is plain CloudFormation; it says in comments what each resource is for. Everything in a stack has
// the stack's name, apart from the role, whose name CloudFormation chooses. The function's code is the crier program itself,
// in a zip, in the bucket crier-ACCOUNT-REGION, under code/STACK/HASH.zip.
//
// # How one is deployed
//
//	identify   who are we, and which account is it?                    client.go
//	find       is there a stack, and what did the last attempt leave?  stack.go, usable in deploy.go
//	upload     the code, unless that very code is there                bucket.go
//	plan       a change set: what would CloudFormation do?             changeset.go
//	execute    and watch its events until it is done                   watch.go
//
// Everything up to the plan can be repeated, and is, each time: deploying what is there already ends at the plan, which
// CloudFormation refuses to make for want of a change. A dry run ends there, too, and leaves nothing behind.
//
// From execute on the work is CloudFormation's. It goes on, and undoes what fails, also when nobody watches.
//
// # What one sees
//
// While a method runs it tells of Events. Errors are sentences for somebody who knows neither Go nor AWS; what can be done
// about them stands in further lines.
//
// # What it does not do
//
// It knows nothing of the program in the zip, nor of connections. It does not print. It makes no domains and no certificates:
// what wants them can be added to the stack's API, or to a copy of the template.
package deploy
