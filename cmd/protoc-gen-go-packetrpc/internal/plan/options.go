package plan

import (
	"math"
	"time"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
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

// options are what an rpc and its service say, and what that makes of the action.
type options struct {
	method  *protogen.Method
	own     *packetrpcv1.MethodOptions
	service *packetrpcv1.ServiceOptions
	spec    *packetrpc.Spec
}

func optionsOf(method *protogen.Method) options {
	return options{
		method:  method,
		own:     schema.MethodOptions(method.Desc),
		service: schema.ServiceOptions(method.Parent.Desc),
		spec:    schema.SpecOf(method.Desc),
	}
}

// oneWay reports what is declared, which cannot be where there is a stream.
func (o options) oneWay() bool { return schema.Either(o.own.OneWay, o.service.OneWay) }

func (o options) timeout() *durationpb.Duration {
	if own := o.own.GetTimeout(); own != nil {
		return own
	}
	return o.service.GetTimeout()
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
