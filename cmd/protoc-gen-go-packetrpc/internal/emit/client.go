package emit

import (
	"github.com/dave/jennifer/jen"

	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/plan"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// client emits the interface that callers use, its constructor and the type that
// implements it.
func client(out *jen.File, service *plan.Service) {
	names := service.Names
	out.Line()
	document(out, names.Client+" calls the actions of "+service.FullName+".", service.Comment, service.Deprecated)
	out.Add(contract(names.Client, service.Methods, clientSignature))
	out.Line()
	document(out, names.NewClient+" returns a client whose calls go to the other side of the caller's connection.", service.Deprecated)
	out.Func().Id(names.NewClient).Params(jen.Id("caller").Add(runtimeName("Caller"))).Id(names.Client).Block(
		jen.Return(jen.Op("&").Id(names.ClientType).Values(jen.Id("caller").Op(":").Id("caller"))),
	)
	out.Line()
	out.Type().Id(names.ClientType).Struct(jen.Id("caller").Add(runtimeName("Caller")))
	for _, method := range service.Methods {
		out.Line()
		out.Func().Params(jen.Id("c").Op("*").Id(names.ClientType)).Id(method.GoName).
			Add(clientSignature(method).defined()).
			Block(jen.Return(clientCall(method)))
	}
}

// clientSignature is the signature of a method for those who call it.
func clientSignature(method *plan.Method) signature {
	ctx := param{"ctx", contextType()}
	request := param{"request", pointer(method.Request)}
	failure := jen.Error()
	switch method.Spec.Type {
	case packetrpc.OneWay:
		return signature{[]param{ctx, {"message", pointer(method.Request)}}, []jen.Code{failure}}
	case packetrpc.ServerStream:
		return signature{[]param{ctx, request}, []jen.Code{generic("ReceiveStream", method.Response), failure}}
	case packetrpc.ClientStream:
		return signature{[]param{ctx}, []jen.Code{generic("SendStream", method.Request, method.Response), failure}}
	case packetrpc.BidiStreaming:
		return signature{[]param{ctx}, []jen.Code{generic("BidiStream", method.Request, method.Response), failure}}
	default:
		return signature{[]param{ctx, request}, []jen.Code{pointer(method.Response), failure}}
	}
}

// clientCall is the call into the runtime that a client's method consists of.
func clientCall(method *plan.Method) *jen.Statement {
	ctx, caller, spec, request := jen.Id("ctx"), jen.Id("c").Dot("caller"), jen.Id(method.SpecName), jen.Id("request")
	switch method.Spec.Type {
	case packetrpc.OneWay:
		return caller.Dot("CallOneWay").Call(ctx, spec, jen.Id("message"))
	case packetrpc.ServerStream:
		return generic("CallServerStream", method.Response).Call(ctx, caller, spec, request)
	case packetrpc.ClientStream:
		return generic("CallClientStream", method.Request, method.Response).Call(ctx, caller, spec)
	case packetrpc.BidiStreaming:
		return generic("CallBidiStream", method.Request, method.Response).Call(ctx, caller, spec)
	default:
		return generic("CallUnary", method.Response).Call(ctx, caller, spec, request)
	}
}
