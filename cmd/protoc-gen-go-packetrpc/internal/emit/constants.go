package emit

import (
	"github.com/dave/jennifer/jen"

	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/plan"
)

// guard emits a reference to a constant that the runtime has since the version
// that the generated code needs. The name in the compiler's error says what is
// missing, and the comment at its place what to do.
func guard(out *jen.File, _ *plan.File) {
	out.Comment("// If packetrpc.IsAtLeastVersion0_1_0 is undefined, the packetrpc module is older than\n" +
		"// the generator of this file: update it to v0.1.0 or later.")
	out.Const().Id("_").Op("=").Add(runtimeName("IsAtLeastVersion0_1_0"))
}

// comments emits the comments of the .proto file, which reflection shows.
func comments(out *jen.File, file *plan.File) {
	if file.Comments == "" {
		return
	}
	out.Line()
	out.Comment("// " + file.CommentsName + " is what the .proto file says of its declarations, for reflection.")
	out.Const().Id(file.CommentsName).Op("=").Id("`" + file.Comments + "`")
}

// constants emits the names of the services and of their actions.
func constants(out *jen.File, file *plan.File) {
	out.Line()
	out.Const().DefsFunc(func(body *jen.Group) {
		for i, service := range file.Services {
			if i > 0 {
				body.Line()
			}
			document(body, service.Names.FullName+" is the full name of the service.")
			body.Id(service.Names.FullName).Op("=").Lit(service.FullName)
			for _, method := range service.Methods {
				document(body, method.ActionName+" is the action of the rpc "+method.Spec.Method+".")
				body.Id(method.ActionName).Op("=").Lit(method.Spec.Action)
			}
		}
	})
}
