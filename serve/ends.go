package serve

import (
	"errors"

	"crier/gateway"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// Why a connection ends when the management API ends it.
var (
	errDeleted      = errors.New("serve: the connection was deleted")
	errTopicRemoved = errors.New("serve: the last topic of the connection was removed")
)

// noMemoryEver is the answer to a message that is within the limit by itself,
// but too large with its stamps and in all of its topics.
const noMemoryEver = "the server's memory is too small for this message"

// explain returns the refusal that a client gets when its connection ends
// because of cause.
func explain(cause error) gateway.Refusal {
	var fault ws.Close
	switch {
	case errors.Is(cause, hub.ErrBehind):
		return gateway.FellBehind
	case errors.Is(cause, hub.ErrTooLarge):
		return gateway.MessageTooBig.Saying(noMemoryEver)
	case errors.Is(cause, transport.ErrFlooded):
		return gateway.Flooded
	case errors.Is(cause, transport.ErrIdle):
		return gateway.IdleTooLong
	case errors.Is(cause, transport.ErrSilent):
		return gateway.NoPong
	case errors.Is(cause, transport.ErrGoingAway):
		return gateway.GoingAway
	case errors.Is(cause, transport.ErrUnending):
		return gateway.MessageTimeout
	case errors.Is(cause, transport.ErrRestless):
		return gateway.ControlFlood
	case errors.Is(cause, transport.ErrNoMemory):
		return gateway.NoMemory
	case errors.Is(cause, errDeleted):
		return gateway.ClosedByDelete
	case errors.Is(cause, errTopicRemoved):
		return gateway.TopicRemoved
	case errors.Is(cause, errBinary):
		return gateway.BinaryRefused
	case errors.Is(cause, errTooOld):
		return gateway.TooOld
	case errors.As(cause, &fault) && fault.Code == ws.InvalidPayload:
		return gateway.InvalidUTF8.Saying(fault.Reason)
	case errors.As(cause, &fault) && fault.Code == ws.TooBig:
		return gateway.MessageTooBig.Saying(fault.Reason)
	case errors.As(cause, &fault) && fault.Code == ws.PolicyViolation:
		return gateway.EmptyFragments.Saying(fault.Reason)
	case errors.As(cause, &fault):
		return gateway.ProtocolError.Saying(fault.Reason)
	}
	return gateway.ProtocolError.Saying(cause.Error())
}

// endName names the way a connection ended, for the metric and the log.
func endName(cause error) string {
	var bye transport.Goodbye
	switch {
	case errors.As(cause, &bye):
		return "client"
	case errors.Is(cause, transport.ErrLost):
		return "lost"
	}
	return explain(cause).Name
}
