package load

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// TakePushes returns handlers that take whatever a server of a schema pushes, and drop it
// undecoded. Without them a client refuses each push, which costs both sides more than
// taking it.
func TakePushes(known *schema.Schema) *packetrpc.Handlers {
	handlers := new(packetrpc.Handlers)
	for _, action := range known.Actions() {
		if action.Spec.Type != packetrpc.OneWay || len(action.Rivals) > 0 {
			continue
		}
		spec := *action.Spec
		spec.NonBlocking = true
		handlers.Register(&packetrpc.Method{
			Spec:       &spec,
			NewRequest: func() proto.Message { return &reply{Message: action.NewRequest()} },
			Unary:      func(context.Context, proto.Message) (proto.Message, error) { return nil, nil },
		})
	}
	return handlers
}
