package server

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// pushIndex holds the one-way actions whose descriptors are linked into the
// program, by name. It does not change once it is made.
type pushIndex map[string]*pushAction

// pushAction is a one-way action that can be pushed by its name.
type pushAction struct {
	spec    *packetrpc.Spec
	message protoreflect.MessageType
	// rival is the full name of another rpc with the same action; "" is none.
	rival protoreflect.FullName
}

// newPushIndex goes through all descriptors that there are.
func newPushIndex() pushIndex {
	index := make(pushIndex)
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			index.addService(file.Services().Get(i))
		}
		return true
	})
	return index
}

func (index pushIndex) addService(service protoreflect.ServiceDescriptor) {
	common, _ := proto.GetExtension(service.Options(), packetrpcv1.E_Service).(*packetrpcv1.ServiceOptions)
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		own, _ := proto.GetExtension(method.Options(), packetrpcv1.E_Method).(*packetrpcv1.MethodOptions)
		oneWay := common.GetOneWay()
		if own != nil && own.OneWay != nil {
			oneWay = own.GetOneWay()
		}
		if oneWay && !method.IsStreamingClient() && !method.IsStreamingServer() {
			index.addMethod(method, common, own)
		}
	}
}

func (index pushIndex) addMethod(method protoreflect.MethodDescriptor, common *packetrpcv1.ServiceOptions, own *packetrpcv1.MethodOptions) {
	spec := &packetrpc.Spec{
		Action:   own.GetAction(),
		Service:  string(method.Parent().FullName()),
		Method:   string(method.Name()),
		Type:     packetrpc.OneWay,
		Request:  method.Input().FullName(),
		Response: method.Output().FullName(),
		Sealed:   common.GetSealed(),
	}
	if own != nil && own.Sealed != nil {
		spec.Sealed = own.GetSealed()
	}
	if spec.Action == "" {
		spec.Action = spec.Service + "/" + spec.Method
	}
	if first := index[spec.Action]; first != nil {
		first.rival = method.FullName()
		return
	}
	index[spec.Action] = &pushAction{spec: spec, message: messageType(method.Input())}
}

// messageType returns the generated type of a message, or one made of its
// descriptor.
func messageType(message protoreflect.MessageDescriptor) protoreflect.MessageType {
	if known, err := protoregistry.GlobalTypes.FindMessageByName(message.FullName()); err == nil {
		return known
	}
	return dynamicpb.NewMessageType(message)
}

// resolve returns the action of a push and its message.
func (index pushIndex) resolve(push *packetrpcv1.Push) (*packetrpc.Spec, proto.Message, error) {
	action := push.GetAction()
	if action == "" {
		return nil, nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the push names no action")
	}
	found := index[action]
	switch {
	case found == nil:
		return nil, nil, packetrpc.Errorf(packetrpc.CodeUnimplemented, "the server knows no one-way action %q", action)
	case found.rival != "":
		return nil, nil, packetrpc.Errorf(packetrpc.CodeUnimplemented,
			"action %q is declared by both %s/%s and %s", action, found.spec.Service, found.spec.Method, found.rival)
	}
	message := found.message.New().Interface()
	if err := decodePush(push, message); err != nil {
		return nil, nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the push is no %s: %w", found.spec.Request, err)
	}
	return found.spec, message, nil
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
