package server

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// member is a connected client: the [packetrpc.Peer] that handlers and the users
// of the registry see.
type member struct {
	// Set before the member is put into the registry and not changed after that.
	server    *Server
	session   *session.Session
	connected time.Time
	bound     bound
	pushes    *conn.Pushes // nil when none are kept
	opener    *seal.Opener // nil without a key

	// life ends with the session, if that outlives its connections; otherwise nil.
	life context.Context
	end  context.CancelCauseFunc

	// conn is the connection that carries the session, or did so last.
	conn atomic.Pointer[conn.Conn]

	absence

	// ready is closed when the member is in the registry and the connected hook has
	// returned; the connection holds the client's calls back until then.
	ready chan struct{}

	// arrival orders the members; the registry sets it when it takes the member.
	arrival uint64

	// The registry's lock guards these.
	groups map[string]struct{}
	gone   bool // out of the registry, so that it can join no more groups
}

func (m *member) CallUnary(ctx context.Context, spec *packetrpc.Spec, request, response proto.Message) error {
	return m.current().CallUnary(ctx, spec, request, response)
}

func (m *member) CallOneWay(ctx context.Context, spec *packetrpc.Spec, message proto.Message) error {
	return m.current().CallOneWay(ctx, spec, message)
}

func (m *member) OpenStream(ctx context.Context, spec *packetrpc.Spec, request proto.Message) (packetrpc.Stream, error) {
	return m.current().OpenStream(ctx, spec, request)
}

func (m *member) ID() string                   { return string(m.session.ID()) }
func (m *member) Identity() packetrpc.Identity { return m.session.Identity() }
func (m *member) RemoteAddr() net.Addr         { return m.current().RemoteAddr() }
func (m *member) Join(group string) error      { return m.server.registry.join(m, group) }
func (m *member) Groups() []string             { return m.server.registry.groupsOf(m) }

// current returns the connection that carries the session, or did so last.
func (m *member) current() *conn.Conn { return m.conn.Load() }

// Context returns the session's context, which is the connection's where the session
// ends with it.
func (m *member) Context() context.Context {
	if m.life != nil {
		return m.life
	}
	return m.current().Context()
}

// Disconnect ends the session. It gives the session up first, so that no other connection
// takes it over while this one is closed.
func (m *member) Disconnect(reason string) {
	m.giveUp()
	m.current().Close(reason)
}

func (m *member) Leave(group string) error {
	m.server.registry.leave(m, group)
	return nil
}

// authorize refuses calls that the client has no role for.
func (m *member) authorize(spec *packetrpc.Spec) error {
	if m.session.HasRole(spec.Requires) {
		return nil
	}
	return needsRole(spec.Action, spec.Requires)
}

// refused returns what is told of calls that are refused; nil is nobody.
func (m *member) refused() func(action string, reason *packetrpc.Error) {
	hooks := m.server.options.refused
	if hooks == nil {
		return nil
	}
	return func(action string, reason *packetrpc.Error) {
		for _, hook := range hooks {
			m.server.guarded("the refused hook", func() error {
				hook(m, action, reason)
				return nil
			})
		}
	}
}

func needsRole(action, role string) error {
	return packetrpc.Errorf(packetrpc.CodePermissionDenied, "action %s needs the role %q", action, role)
}

// form says how packets travel, as CoreInfo tells it.
func (m *member) form() string {
	if m.current().Plain() {
		return "plain"
	}
	return m.current().Form().String()
}

// granted returns an identity with the roles that [WithRoles] gives it.
func (o *options) granted(identity packetrpc.Identity) packetrpc.Identity {
	for _, role := range o.roles[identity.Name] {
		if !slices.Contains(identity.Roles, role) {
			identity.Roles = append(slices.Clip(identity.Roles), role)
		}
	}
	return identity
}
