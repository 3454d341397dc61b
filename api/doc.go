// Package api is a WebSocket API of the user's own, as API Gateway has them:
// routes, integrations, a stage.
//
// A [File] describes an API: it is a crier.yaml, read by [Load]. An [API] is
// such an API while it runs, with its functions. The owner of the connections
// passes events on to it, and it asks the integrations:
//
//	Connect     the authorizer, then the route $connect: is the handshake accepted?
//	Message     the route that the selection expression names, else $default: what is sent back?
//	Disconnect  the route $disconnect
//
// Events, answers and the frames for errors follow docs/gateway.md, which names
// the source of each rule.
//
// # What it does not do
//
// It has no connections and no sockets. Handlers post to connections through
// the management API (package door). They run in package lambda, or are
// reached over HTTP.
package api
