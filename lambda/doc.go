// Package lambda runs Lambda functions on this machine: it starts their
// processes and serves them the Lambda Runtime API.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
//
//	f, err := lambda.Open(lambda.Config{Name: "chat", Directory: "chat", Handler: "index.handler", …})
//	answer, err := f.Invoke(ctx, event)   // err is a *lambda.Error if the function failed
//	f.Close()
//
// # Environments
//
// A function is a pool of environments. As in Lambda, an environment is one
// process and handles one invocation at a time. An invocation that arrives
// while all are busy starts another one, up to Config.Concurrency. Beyond that
// it waits. Each environment has a Runtime API of its own, so that an answer
// can only be about its own invocation.
//
//	starting ──first poll──▶ idle ──invocation──▶ busy ──answer and next poll──▶ idle
//	    │                      │                    │
//	    └─init error, exit─────┴─Reload, Close──────┴─exit, time-out──▶ gone: its process group is killed
//
// # Runtimes
//
// A bootstrap is executed as it is. For Node and Python a small runtime client
// is part of this package; the interpreter reads it from its standard input, so
// that there is nothing to install and nothing to clean up.
//
// # What it does not do
//
// It is not a sandbox: functions run as the user, see the file system, and can
// use all of the machine's memory. It supports no extensions, no layers and no
// streamed responses.
package lambda
