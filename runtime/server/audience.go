package server

import (
	"context"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// audience is all clients or the members of a group.
type audience struct {
	registry *registry
	group    string
	isGroup  bool
}

// Broadcast queues a one-way call for each member of the audience. Members on
// plain connections, which receive replies only, are counted as refused.
func (a *audience) Broadcast(ctx context.Context, spec *packetrpc.Spec, message proto.Message) (packetrpc.Delivery, error) {
	if err := checkBroadcast(ctx, spec); err != nil {
		return packetrpc.Delivery{}, err
	}
	members := a.members()
	shared := conn.NewShared(spec, message)
	if err := shared.Carry(packetrpc.OutgoingMetadata(ctx)); err != nil {
		return packetrpc.Delivery{}, err
	}
	if err := encodeFor(members, shared); err != nil {
		return packetrpc.Delivery{}, err
	}
	queued, refused := shared.PushAll(connections(members))
	return packetrpc.Delivery{Queued: queued, Refused: refused}, nil
}

func connections(members []*member) iter.Seq[*conn.Conn] {
	return func(yield func(*conn.Conn) bool) {
		for _, m := range members {
			if !yield(m.current()) {
				return
			}
		}
	}
}

func (a *audience) members() []*member {
	if a.isGroup {
		return a.registry.in(a.group)
	}
	return a.registry.everybody()
}

func checkBroadcast(ctx context.Context, spec *packetrpc.Spec) error {
	var err *packetrpc.Error
	switch {
	case ctx.Err() != nil:
		err = packetrpc.AsError(ctx.Err())
	case spec.Type != packetrpc.OneWay:
		err = packetrpc.Errorf(packetrpc.CodeInvalidArgument, "action %s is no one-way action and cannot be broadcast", spec.Action)
	case spec.Sealed:
		err = packetrpc.Errorf(packetrpc.CodeInvalidArgument, "action %s is sealed, to one receiver at a time, and cannot be broadcast", spec.Action)
	default:
		return nil
	}
	return notSent(err)
}

// encodeFor encodes a message in each form that members need, so that it fails
// before any of them has received it.
func encodeFor(members []*member, shared *conn.Shared) error {
	var done [2]bool // by form
	for _, m := range members {
		form := m.current().Form()
		if done[form] || m.current().Plain() {
			continue
		}
		done[form] = true
		if err := shared.Encode(form); err != nil {
			return notSent(packetrpc.AsError(err))
		}
		if done[packet.Binary] && done[packet.JSON] {
			break
		}
	}
	return nil
}

// notSent returns a copy of an error that says that no handler has run.
func notSent(err *packetrpc.Error) *packetrpc.Error {
	copied := *err
	copied.Outcome = packetrpc.OutcomeNotSent
	return &copied
}
