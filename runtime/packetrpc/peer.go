package packetrpc

import (
	"context"
	"net"
	"slices"
)

// Peer is the other side of a connection, as the handler of a call sees it. Its
// methods may be called concurrently, and also when the connection has ended:
// calls then fail with [CodeUnavailable].
type Peer interface {
	Caller

	// ID returns the public id of the peer's session, which others may see.
	ID() string
	// Identity returns who the peer is.
	Identity() Identity
	// RemoteAddr returns the peer's address.
	RemoteAddr() net.Addr

	// Join adds the peer to a group and Leave takes it out; a group exists while
	// it has members. A client's peer, the server, has no groups: there they fail
	// with [CodeFailedPrecondition].
	Join(group string) error
	// Leave takes the peer out of a group.
	Leave(group string) error
	// Groups returns the groups that the peer is in, sorted.
	Groups() []string

	// Disconnect ends the connection and tells the peer why. It does not wait.
	Disconnect(reason string)
	// Context returns a context that ends with the connection; its cause says why
	// it ended.
	Context() context.Context
}

// Identity is who a peer is, as the authenticator found.
type Identity struct {
	// Name is what others see; it need not be unique.
	Name string
	// Roles is what the peer may do; see the "requires" option of an rpc.
	Roles []string
}

// HasRole reports whether the identity has a role. Everybody has the role "".
func (i Identity) HasRole(role string) bool {
	return role == "" || slices.Contains(i.Roles, role)
}

// HandlerCall is what a connection knows of the call that a handler runs for.
// A connection puts one into the handler's context under [HandlerCallKey].
type HandlerCall interface {
	// Peer returns the caller.
	Peer() Peer
	// Spec describes the action.
	Spec() *Spec
	// Metadata returns what the caller sent.
	Metadata() Metadata
	// SetMetadata adds to what the call's next packet carries back.
	SetMetadata(key, value string)
}

// HandlerCallKey is the key of the [HandlerCall] in a handler's context.
type HandlerCallKey struct{}

func handlerCall(ctx context.Context) HandlerCall {
	call, _ := ctx.Value(HandlerCallKey{}).(HandlerCall)
	return call
}

// PeerFrom returns the caller of the handler that ctx was given to, or nil
// outside of handlers.
func PeerFrom(ctx context.Context) Peer {
	if call := handlerCall(ctx); call != nil {
		return call.Peer()
	}
	return nil
}

// SpecFrom returns the description of the action that the handler runs for, or
// nil outside of handlers.
func SpecFrom(ctx context.Context) *Spec {
	if call := handlerCall(ctx); call != nil {
		return call.Spec()
	}
	return nil
}

// MetadataFrom returns the metadata that the caller sent; it is empty outside of
// handlers.
func MetadataFrom(ctx context.Context) Metadata {
	if call := handlerCall(ctx); call != nil {
		return call.Metadata()
	}
	return Metadata{}
}

// SetMetadata adds a key and a value to what the caller receives with the call's
// next packet: the next message of a stream, the reply or the error. It does
// nothing outside of handlers and in handlers of one-way calls, and panics on a
// key that [Metadata.Add] panics on.
func SetMetadata(ctx context.Context, key, value string) {
	if call := handlerCall(ctx); call != nil {
		call.SetMetadata(key, value)
	}
}
