package emit

import (
	"github.com/dave/jennifer/jen"

	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/plan"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// register emits the function that makes a handler known to a server or to a
// client's set of handlers.
func register(out *jen.File, service *plan.Service) {
	names := service.Names
	out.Line()
	document(out, names.RegisterHandler+" registers handler for the actions of "+service.FullName+".", service.Deprecated)
	out.Func().Id(names.RegisterHandler).
		Params(jen.Id("registrar").Add(runtimeName("Registrar")), jen.Id("handler").Id(names.Handler)).
		BlockFunc(func(body *jen.Group) {
			for _, method := range service.Methods {
				body.Add(runtimeName(registration(method.Spec.Type))).Call(
					jen.Id("registrar"), jen.Id(method.SpecName), jen.Id("handler").Dot(method.GoName))
			}
		})
}

// registration is the function of the contract that registers a method.
func registration(t packetrpc.CallType) string {
	switch t {
	case packetrpc.OneWay:
		return "HandleOneWay"
	case packetrpc.ServerStream:
		return "HandleServerStream"
	case packetrpc.ClientStream:
		return "HandleClientStream"
	case packetrpc.BidiStreaming:
		return "HandleBidiStream"
	default:
		return "HandleUnary"
	}
}
