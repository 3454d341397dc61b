// Package api is a WebSocket API of the user's own, as API Gateway has them:
// routes, integrations, a stage.
//
// A File says what an API is: crier.yaml, read by Load. An API is one at work,
// with its functions running. Whoever has the connections tells it what
// happens, and it asks the integrations:
//
//	Connect     the authorizer, then the route $connect: is the handshake accepted?
//	Message     the route that the selection expression names, else $default: what is sent back?
//	Disconnect  the route $disconnect
//
// Events, answers, the frames for what goes wrong: all is as docs/gateway.md
// says, where each rule has its source.
//
// # What it does not do
//
// It has no connections and no sockets. Handlers post to connections through
// the management API (package gateway), and run in package lambda or somewhere
// else behind HTTP.
package api
