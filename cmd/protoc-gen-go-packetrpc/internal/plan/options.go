package plan

import (
	"math"
	"time"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The numbers of the options' fields, which lead to the places where they are
// set.
var (
	actionOption      = fieldNumber(&packetrpcv1.MethodOptions{}, "action")
	oneWayOption      = fieldNumber(&packetrpcv1.MethodOptions{}, "one_way")
	timeoutOption     = fieldNumber(&packetrpcv1.MethodOptions{}, "timeout")
	nonBlockingOption = fieldNumber(&packetrpcv1.MethodOptions{}, "non_blocking")
)

func fieldNumber(options proto.Message, name protoreflect.Name) int32 {
	return int32(options.ProtoReflect().Descriptor().Fields().ByName(name).Number())
}

// options are what an rpc and its service say together.
type options struct {
	method  *protogen.Method
	own     *packetrpcv1.MethodOptions
	service *packetrpcv1.ServiceOptions
}

// optionsOf returns the options of an rpc; where none are set they are empty.
func optionsOf(method *protogen.Method) options {
	o := options{method, &packetrpcv1.MethodOptions{}, serviceOptionsOf(method.Parent)}
	if set, _ := proto.GetExtension(method.Desc.Options(), packetrpcv1.E_Method).(*packetrpcv1.MethodOptions); set != nil {
		o.own = set
	}
	return o
}

func serviceOptionsOf(service *protogen.Service) *packetrpcv1.ServiceOptions {
	if set, _ := proto.GetExtension(service.Desc.Options(), packetrpcv1.E_Service).(*packetrpcv1.ServiceOptions); set != nil {
		return set
	}
	return &packetrpcv1.ServiceOptions{}
}

// either returns what the rpc says, or else what the service says.
func either[T any](own, service *T) T {
	var none T
	switch {
	case own != nil:
		return *own
	case service != nil:
		return *service
	default:
		return none
	}
}

func (o options) action() string {
	if action := o.own.GetAction(); action != "" {
		return action
	}
	return string(o.method.Parent.Desc.FullName()) + "/" + string(o.method.Desc.Name())
}

func (o options) oneWay() bool {
	return either(o.own.OneWay, o.service.OneWay)
}

func (o options) sealed() bool {
	return either(o.own.Sealed, o.service.Sealed)
}

func (o options) requires() string {
	return either(o.own.Requires, o.service.Requires)
}

func (o options) nonBlocking() bool {
	return either(o.own.NonBlocking, o.service.NonBlocking)
}

func (o options) timeout() *durationpb.Duration {
	if own := o.own.GetTimeout(); own != nil {
		return own
	}
	return o.service.GetTimeout()
}

// callType returns the type of the call. A one-way rpc with a stream is refused
// elsewhere.
func (o options) callType() packetrpc.CallType {
	in, out := o.method.Desc.IsStreamingClient(), o.method.Desc.IsStreamingServer()
	switch {
	case in && out:
		return packetrpc.BidiStreaming
	case in:
		return packetrpc.ClientStream
	case out:
		return packetrpc.ServerStream
	case o.oneWay():
		return packetrpc.OneWay
	default:
		return packetrpc.Unary
	}
}

// idempotency translates the standard option. The numbers of the two enums are
// not the same.
func (o options) idempotency() packetrpc.Idempotency {
	standard, _ := o.method.Desc.Options().(*descriptorpb.MethodOptions)
	switch standard.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		return packetrpc.NoSideEffects
	case descriptorpb.MethodOptions_IDEMPOTENT:
		return packetrpc.Idempotent
	default:
		return packetrpc.IdempotencyUnknown
	}
}

// at returns the place where the rpc sets an option, or the rpc's own place for
// an option that comes from the service, as it is wrong for this rpc only.
func (o options) at(field int32) Position {
	extension := int32(packetrpcv1.E_Method.TypeDescriptor().Number())
	return locate(o.method.Desc.ParentFile(), o.method.Location.Path, methodOptions, extension, field)
}

// representable reports whether a time.Duration can hold d, which
// durationpb.Duration does not tell: it cuts off silently.
func representable(d *durationpb.Duration) bool {
	const most = int64(math.MaxInt64 / time.Second)
	return d.CheckValid() == nil && -most < d.GetSeconds() && d.GetSeconds() < most
}
