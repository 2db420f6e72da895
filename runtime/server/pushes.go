package server

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// resolvePush returns the action of a push and its message.
func resolvePush(linked *schema.Schema, push *packetrpcv1.Push) (*packetrpc.Spec, proto.Message, error) {
	name := push.GetAction()
	if name == "" {
		return nil, nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the push names no action")
	}
	action := linked.Lookup(name)
	switch {
	case action == nil || action.Spec.Type != packetrpc.OneWay:
		return nil, nil, packetrpc.Errorf(packetrpc.CodeUnimplemented, "the server knows no one-way action %q", name)
	case len(action.Rivals) > 0:
		return nil, nil, packetrpc.Errorf(packetrpc.CodeUnimplemented,
			"action %q is declared by both %s and %s", name, action.Method.FullName(), action.Rivals[0])
	}
	message := action.NewRequest()
	if err := decodePush(push, message); err != nil {
		return nil, nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the push is no %s: %w", action.Spec.Request, err)
	}
	return action.Spec, message, nil
}

// decodePush decodes the payload of a push. A JSON object with fields that the
// message does not have is refused, as nobody would see them.
func decodePush(push *packetrpcv1.Push, message proto.Message) error {
	if data := push.GetData(); data != nil {
		text, err := protojson.Marshal(data)
		if err != nil {
			return err
		}
		return protojson.Unmarshal(text, message)
	}
	return proto.Unmarshal(push.GetMessage(), message)
}
