package emit

import (
	"time"

	"github.com/dave/jennifer/jen"

	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/plan"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// specs emits what the runtime is told of each method.
func specs(out *jen.File, file *plan.File) {
	var all []jen.Code
	for _, service := range file.Services {
		for _, method := range service.Methods {
			all = append(all, jen.Id(method.SpecName).Op("=").Add(spec(file, service, method)))
		}
	}
	if len(all) == 0 {
		return
	}
	out.Line()
	out.Comment("// What the runtime is told of each action. These values never change.")
	out.Var().Defs(all...)
}

// spec emits the fields of a spec that are not zero.
func spec(file *plan.File, service *plan.Service, method *plan.Method) *jen.Statement {
	s := method.Spec
	var fields []jen.Code
	set := func(present bool, name string, value jen.Code) {
		if present {
			fields = append(fields, jen.Id(name).Op(":").Add(value))
		}
	}
	set(true, "Action", jen.Id(method.ActionName))
	set(true, "Service", jen.Id(service.Names.FullName))
	set(true, "Method", jen.Lit(s.Method))
	set(s.Type != packetrpc.Unary, "Type", runtimeName(callType(s.Type)))
	set(true, "Request", jen.Lit(string(s.Request)))
	set(s.Response != "", "Response", jen.Lit(string(s.Response)))
	set(s.Requires != "", "Requires", jen.Lit(s.Requires))
	set(s.Timeout != 0, "Timeout", duration(s.Timeout))
	set(s.Idempotency != packetrpc.IdempotencyUnknown, "Idempotency", runtimeName(idempotency(s.Idempotency)))
	set(s.Sealed, "Sealed", jen.True())
	set(s.NonBlocking, "NonBlocking", jen.True())
	set(file.Comments != "", "Comments", jen.Id(file.CommentsName))
	multiline := jen.Options{Open: "{", Close: "}", Separator: ",", Multi: true}
	return jen.Op("&").Add(runtimeName("Spec")).Custom(multiline, fields...)
}

func callType(t packetrpc.CallType) string {
	switch t {
	case packetrpc.OneWay:
		return "OneWay"
	case packetrpc.ServerStream:
		return "ServerStream"
	case packetrpc.ClientStream:
		return "ClientStream"
	case packetrpc.BidiStreaming:
		return "BidiStreaming"
	default:
		return "Unary"
	}
}

func idempotency(i packetrpc.Idempotency) string {
	switch i {
	case packetrpc.NoSideEffects:
		return "NoSideEffects"
	case packetrpc.Idempotent:
		return "Idempotent"
	default:
		return "IdempotencyUnknown"
	}
}

// duration emits a duration in the largest unit that it is a whole number of, as
// in 5 * time.Second.
func duration(d time.Duration) *jen.Statement {
	units := []struct {
		name string
		size time.Duration
	}{
		{"Hour", time.Hour},
		{"Minute", time.Minute},
		{"Second", time.Second},
		{"Millisecond", time.Millisecond},
		{"Microsecond", time.Microsecond},
		{"Nanosecond", time.Nanosecond},
	}
	unit := units[0]
	for _, unit = range units {
		if d%unit.size == 0 {
			break
		}
	}
	if d == unit.size {
		return jen.Qual(timePath, unit.name)
	}
	return jen.Id(jen.Lit(int(d/unit.size)).GoString()).Op("*").Qual(timePath, unit.name)
}
