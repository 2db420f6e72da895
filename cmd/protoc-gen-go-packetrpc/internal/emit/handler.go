package emit

import (
	"github.com/dave/jennifer/jen"

	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/plan"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// handler emits the interface that a side which serves the actions implements,
// and a type that implements it with failures.
func handler(out *jen.File, service *plan.Service) {
	names := service.Names
	out.Line()
	document(out, names.Handler+" handles the actions of "+service.FullName+". Its methods may be called concurrently.",
		service.Comment, service.Deprecated)
	out.Add(contract(names.Handler, service.Methods, handlerSignature))
	out.Line()
	document(out, names.UnimplementedHandler+" implements "+names.Handler+": each method fails with packetrpc.CodeUnimplemented.\n"+
		"A handler that embeds it still compiles when the service gets another method.", service.Deprecated)
	out.Type().Id(names.UnimplementedHandler).Struct()
	for _, method := range service.Methods {
		out.Line()
		out.Func().Params(jen.Id(names.UnimplementedHandler)).Id(method.GoName).
			Add(handlerSignature(method).declared()).
			Block(jen.Return(unimplemented(method)...))
	}
}

// handlerSignature is the signature of a method for those who handle it.
func handlerSignature(method *plan.Method) signature {
	ctx := param{"ctx", contextType()}
	request := param{"request", pointer(method.Request)}
	failure := jen.Error()
	switch method.Spec.Type {
	case packetrpc.OneWay:
		return signature{[]param{ctx, {"message", pointer(method.Request)}}, []jen.Code{failure}}
	case packetrpc.ServerStream:
		return signature{[]param{ctx, request, {"stream", generic("Sender", method.Response)}}, []jen.Code{failure}}
	case packetrpc.ClientStream:
		return signature{[]param{ctx, {"stream", generic("Receiver", method.Request)}}, []jen.Code{pointer(method.Response), failure}}
	case packetrpc.BidiStreaming:
		// What the handler sends are the responses.
		return signature{[]param{ctx, {"stream", generic("BidiStream", method.Response, method.Request)}}, []jen.Code{failure}}
	default:
		return signature{[]param{ctx, request}, []jen.Code{pointer(method.Response), failure}}
	}
}

// unimplemented returns the results of a method that is not implemented. The
// action is no part of the format, as it may hold a "%".
func unimplemented(method *plan.Method) []jen.Code {
	failure := runtimeName("Errorf").Call(
		runtimeName("CodeUnimplemented"), jen.Lit("%s is not implemented"), jen.Id(method.ActionName))
	switch method.Spec.Type {
	case packetrpc.Unary, packetrpc.ClientStream:
		return []jen.Code{jen.Nil(), failure}
	default:
		return []jen.Code{failure}
	}
}
