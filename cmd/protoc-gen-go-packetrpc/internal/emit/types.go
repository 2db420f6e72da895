package emit

import (
	"github.com/dave/jennifer/jen"

	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/plan"
)

// The packages that generated code imports beside those of the messages.
const (
	contextPath = "context"
	timePath    = "time"
	runtimePath = "github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The functions below make a new statement at each call, because a jennifer
// statement changes when something is chained to it.

func contextType() *jen.Statement { return jen.Qual(contextPath, "Context") }

// runtimeName is a name of the runtime's contract, as in packetrpc.Caller.
func runtimeName(name string) *jen.Statement { return jen.Qual(runtimePath, name) }

// generic is a generic name of the contract with its messages, as in
// packetrpc.Sender[chatv1.Message].
func generic(name string, messages ...plan.Message) *jen.Statement {
	types := make([]jen.Code, len(messages))
	for i, message := range messages {
		types[i] = messageType(message)
	}
	return runtimeName(name).Types(types...)
}

func messageType(message plan.Message) *jen.Statement {
	return jen.Qual(message.ImportPath, message.GoName)
}

func pointer(message plan.Message) *jen.Statement {
	return jen.Op("*").Add(messageType(message))
}

// signature is what a method takes and returns.
type signature struct {
	params  []param
	results []jen.Code
}

// param is a parameter. Its name is one of those that plan keeps free of import
// aliases.
type param struct {
	name string
	typ  *jen.Statement
}

// declared returns the signature as an interface has it, without names.
func (s signature) declared() *jen.Statement {
	types := make([]jen.Code, len(s.params))
	for i, param := range s.params {
		types[i] = param.typ
	}
	return s.with(types)
}

// defined returns the signature as a function with a body has it.
func (s signature) defined() *jen.Statement {
	named := make([]jen.Code, len(s.params))
	for i, param := range s.params {
		named[i] = jen.Id(param.name).Add(param.typ)
	}
	return s.with(named)
}

func (s signature) with(params []jen.Code) *jen.Statement {
	if len(s.results) == 1 {
		return jen.Params(params...).Add(s.results[0])
	}
	return jen.Params(params...).Params(s.results...)
}

// contract emits an interface of methods.
func contract(name string, methods []*plan.Method, sign func(*plan.Method) signature) *jen.Statement {
	return jen.Type().Id(name).InterfaceFunc(func(body *jen.Group) {
		for _, method := range methods {
			document(body, method.Comment, method.Deprecated)
			body.Id(method.GoName).Add(sign(method).declared())
		}
	})
}
