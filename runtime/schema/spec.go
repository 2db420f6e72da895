package schema

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// SpecOf returns what an rpc declares, as the generator writes it down, comments aside.
func SpecOf(method protoreflect.MethodDescriptor) *packetrpc.Spec {
	own, common := MethodOptions(method), ServiceOptions(method.Parent())
	timeout := own.GetTimeout()
	if timeout == nil {
		timeout = common.GetTimeout()
	}
	spec := &packetrpc.Spec{
		Action:      own.GetAction(),
		Service:     string(method.Parent().FullName()),
		Method:      string(method.Name()),
		Type:        callType(method, Either(own.OneWay, common.OneWay)),
		Request:     method.Input().FullName(),
		Response:    method.Output().FullName(),
		Requires:    Either(own.Requires, common.Requires),
		Timeout:     timeout.AsDuration(),
		Idempotency: idempotency(method),
		Sealed:      Either(own.Sealed, common.Sealed),
		NonBlocking: Either(own.NonBlocking, common.NonBlocking),
	}
	if spec.Action == "" {
		spec.Action = spec.Service + "/" + spec.Method
	}
	if spec.Type == packetrpc.OneWay {
		spec.Response = ""
	}
	return spec
}

// MethodOptions returns the options of an rpc; they are empty where none are set.
func MethodOptions(method protoreflect.Descriptor) *packetrpcv1.MethodOptions {
	if set, _ := proto.GetExtension(method.Options(), packetrpcv1.E_Method).(*packetrpcv1.MethodOptions); set != nil {
		return set
	}
	return new(packetrpcv1.MethodOptions)
}

// ServiceOptions returns the options of a service likewise.
func ServiceOptions(service protoreflect.Descriptor) *packetrpcv1.ServiceOptions {
	if set, _ := proto.GetExtension(service.Options(), packetrpcv1.E_Service).(*packetrpcv1.ServiceOptions); set != nil {
		return set
	}
	return new(packetrpcv1.ServiceOptions)
}

// Either returns what an rpc says, or else what its service says.
func Either[T any](own, service *T) (value T) {
	switch {
	case own != nil:
		return *own
	case service != nil:
		return *service
	}
	return value
}

func callType(method protoreflect.MethodDescriptor, oneWay bool) packetrpc.CallType {
	switch {
	case method.IsStreamingClient() && method.IsStreamingServer():
		return packetrpc.BidiStreaming
	case method.IsStreamingClient():
		return packetrpc.ClientStream
	case method.IsStreamingServer():
		return packetrpc.ServerStream
	case oneWay:
		return packetrpc.OneWay
	}
	return packetrpc.Unary
}

// idempotency translates the standard option. The numbers of the two enums are not the
// same.
func idempotency(method protoreflect.MethodDescriptor) packetrpc.Idempotency {
	standard, _ := method.Options().(*descriptorpb.MethodOptions)
	switch standard.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		return packetrpc.NoSideEffects
	case descriptorpb.MethodOptions_IDEMPOTENT:
		return packetrpc.Idempotent
	}
	return packetrpc.IdempotencyUnknown
}
