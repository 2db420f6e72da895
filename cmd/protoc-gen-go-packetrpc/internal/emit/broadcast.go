package emit

import (
	"github.com/dave/jennifer/jen"

	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/plan"
)

// broadcast emits the interface of the methods that may be called at many peers
// at once, its constructor and the type that implements it; nothing for a service
// that has no such method.
func broadcast(out *jen.File, service *plan.Service) {
	names, methods := service.Names, service.Broadcast()
	if len(methods) == 0 {
		return
	}
	out.Line()
	document(out, names.Broadcast+" sends the one-way actions of "+service.FullName+" to many at once.", service.Comment, service.Deprecated)
	out.Add(contract(names.Broadcast, methods, broadcastSignature))
	out.Line()
	document(out, names.NewBroadcast+" returns a "+names.Broadcast+" whose messages go to each member of the audience.", service.Deprecated)
	out.Func().Id(names.NewBroadcast).Params(jen.Id("audience").Add(runtimeName("Audience"))).Id(names.Broadcast).Block(
		jen.Return(jen.Op("&").Id(names.BroadcastType).Values(jen.Id("audience").Op(":").Id("audience"))),
	)
	out.Line()
	out.Type().Id(names.BroadcastType).Struct(jen.Id("audience").Add(runtimeName("Audience")))
	for _, method := range methods {
		out.Line()
		out.Func().Params(jen.Id("b").Op("*").Id(names.BroadcastType)).Id(method.GoName).
			Add(broadcastSignature(method).defined()).
			Block(jen.Return(jen.Id("b").Dot("audience").Dot("Broadcast").Call(
				jen.Id("ctx"), jen.Id(method.SpecName), jen.Id("message"))))
	}
}

func broadcastSignature(method *plan.Method) signature {
	return signature{
		[]param{{"ctx", contextType()}, {"message", pointer(method.Request)}},
		[]jen.Code{runtimeName("Delivery"), jen.Error()},
	}
}
