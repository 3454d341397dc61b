package serve

import (
	"errors"

	"crier/door"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// Why a connection ends when another request ends it.
var (
	errDeleted      = errors.New("serve: the connection was deleted")
	errTopicRemoved = errors.New("serve: the last topic of the connection was removed")
	errKicked       = errors.New("serve: the session was ended")
	errCutOff       = errors.New("serve: the server is cut off from the others")
	errSignedOut    = errors.New("serve: the user was signed out")
	errExpired      = errors.New("serve: the client's token has expired")
	errTakenOver    = errors.New("serve: the session was resumed by another connection")
)

// noMemoryEver is the answer to a message that is within the limit by itself,
// but too large with its stamps and in all of its topics.
const noMemoryEver = "the server's memory is too small for this message"

// explain returns the refusal that a client gets when its connection ends
// because of cause.
func explain(cause error) door.Refusal {
	var fault ws.Close
	switch {
	case errors.Is(cause, hub.ErrBehind):
		return door.FellBehind
	case errors.Is(cause, hub.ErrTooLarge):
		return door.MessageTooBig.Saying(noMemoryEver)
	case errors.Is(cause, transport.ErrFlooded):
		return door.Flooded
	case errors.Is(cause, transport.ErrIdle):
		return door.IdleTooLong
	case errors.Is(cause, transport.ErrSilent):
		return door.NoPong
	case errors.Is(cause, transport.ErrGoingAway):
		return door.GoingAway
	case errors.Is(cause, transport.ErrUnending):
		return door.MessageTimeout
	case errors.Is(cause, transport.ErrRestless):
		return door.ControlFlood
	case errors.Is(cause, transport.ErrNoMemory):
		return door.NoMemory
	case errors.Is(cause, errDeleted):
		return door.ClosedByDelete
	case errors.Is(cause, errTopicRemoved):
		return door.TopicRemoved
	case errors.Is(cause, errKicked):
		return door.Kicked
	case errors.Is(cause, errSignedOut):
		return door.SignedOut
	case errors.Is(cause, errExpired):
		return door.Expired
	case errors.Is(cause, errTakenOver):
		return door.TakenOver
	case errors.Is(cause, errCutOff):
		return door.CutOff
	case errors.Is(cause, errBinary):
		return door.BinaryRefused
	case errors.Is(cause, errTooOld):
		return door.TooOld
	case errors.As(cause, &fault) && fault.Code == ws.InvalidPayload:
		return door.InvalidUTF8.Saying(fault.Reason)
	case errors.As(cause, &fault) && fault.Code == ws.TooBig:
		return door.MessageTooBig.Saying(fault.Reason)
	case errors.As(cause, &fault) && fault.Code == ws.PolicyViolation:
		return door.EmptyFragments.Saying(fault.Reason)
	case errors.As(cause, &fault):
		return door.ProtocolError.Saying(fault.Reason)
	}
	return door.ProtocolError.Saying(cause.Error())
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
