// Package cloud is crier's home on AWS: the apps as a Lambda function behind an API Gateway WebSocket API.
//
//	API Gateway event ─▶ app ─▶ effects ─▶ registry (DynamoDB: who is in which topic)
//	                                    └▶ delivery (signed posts to @connections)
//
// One function serves all routes of one stack, which serves one app. Nothing is kept between two events but connections
// to AWS: what an app remembers of a connection is in its row.
//
// # Fan-out
//
// A publish reads the topics' members, in the order of their ids, page by page, and posts to them with a bounded number
// of requests at a time. Only 410 removes a connection. What is throttled or fails is tried again, as long as there is time, and what
// could not be delivered is counted and logged. Clients that do not answer are left out for some seconds, so that nobody
// waits for them. An audience that is too large for one invocation goes on in an asynchronous one, which begins after the
// last id, and notes in the table how far it is (task.go). Everything is awaited before the function answers.
//
// # What it does not do
//
// It creates nothing: the table, the API and the function are package deploy's. It keeps no order between two messages of one
// sender: API Gateway invokes functions side by side.
package cloud
