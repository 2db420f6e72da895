package plan

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Build plans the Go files for the .proto files that a request asks for; those
// without a service give none. If anything is refused the error is [Refusals],
// which holds every refusal and not only the first.
func Build(gen *protogen.Plugin) ([]*File, error) {
	p := &planner{
		goPackages: make(map[string]protogen.GoPackageName),
		spaces:     make(map[string]*namespace),
		actions:    make(map[string]declared),
	}
	for _, in := range gen.Files {
		p.goPackages[string(in.GoImportPath)] = in.GoPackageName
	}
	var files []*File
	for _, in := range gen.Files {
		if in.Generate && len(in.Services) > 0 {
			files = append(files, p.file(in))
		}
	}
	p.settle(files)
	if len(p.refusals) > 0 {
		return nil, p.refusals.sorted()
	}
	return files, nil
}

// planner holds what the files of one request share.
type planner struct {
	// goPackages are the names of the packages of messages, by import path.
	goPackages map[string]protogen.GoPackageName
	// spaces are the packages to write, by import path.
	spaces map[string]*namespace
	// actions are those declared so far.
	actions  map[string]declared
	refusals Refusals
}

// declared is an rpc and its place.
type declared struct {
	name string
	at   Position
}

// file plans one file. The names in it are chosen by settle, when all files of
// the package are known.
func (p *planner) file(in *protogen.File) *File {
	name := packageName(in.GoPackageName)
	dir, base := path.Split(in.GeneratedFilenamePrefix)
	file := &File{
		Source:      in.Desc.Path(),
		Output:      path.Join(dir, name, base+".packetrpc.go"),
		ImportPath:  path.Join(string(in.GoImportPath), name),
		PackageName: name,
		Comments:    fileComments(in),
	}
	p.checkPackage(in, file)
	if p.spaces[file.ImportPath] == nil {
		p.spaces[file.ImportPath] = &namespace{}
	}
	services := slices.Clone(in.Services)
	slices.SortFunc(services, func(a, b *protogen.Service) int {
		return cmp.Compare(a.Desc.FullName(), b.Desc.FullName())
	})
	for _, service := range services {
		file.Services = append(file.Services, p.service(in, service, p.spaces[file.ImportPath]))
	}
	p.claimComments(file, services[0])
	return file
}

// service plans one service and claims its names.
func (p *planner) service(file *protogen.File, in *protogen.Service, space *namespace) *Service {
	p.checkService(in)
	source, comment := in.Desc.ParentFile().Path(), commentText(in.Comments.Leading)
	standard, _ := in.Desc.Options().(*descriptorpb.ServiceOptions)
	service := &Service{
		FullName: string(in.Desc.FullName()),
		Comment:  comment,
		// A deprecated file has no other declaration of its own here.
		Deprecated: deprecation(standard.GetDeprecated() || file.Proto.GetOptions().GetDeprecated(), comment, source),
	}
	places := make(map[*Method]Position)
	seen := make(map[string]*protogen.Method)
	for _, rpc := range in.Methods {
		method := p.method(rpc)
		if first := seen[rpc.GoName]; first != nil {
			p.refuse(methodPosition(rpc), `rpc %s is called %s in Go, and so is rpc %s at %s; rename one of the two (with "action" it keeps its name on the wire)`,
				rpc.Desc.Name(), rpc.GoName, first.Desc.Name(), methodPosition(first))
			continue
		}
		seen[rpc.GoName] = rpc
		places[method] = methodPosition(rpc)
		service.Methods = append(service.Methods, method)
	}
	p.claim(space, service, in, places)
	return service
}

// claim asks for the names of a service, unless another one of the package has
// the same name in Go: then all of them would clash, which one refusal says.
func (p *planner) claim(space *namespace, service *Service, in *protogen.Service, places map[*Method]Position) {
	at := servicePosition(in)
	if first, taken := space.services[in.GoName]; taken {
		p.refuse(at, "service %s is called %s in Go, and so is service %s at %s in the same Go package; rename one of the two or write another go_package",
			in.Desc.FullName(), in.GoName, first.name, first.at)
		return
	}
	if space.services == nil {
		space.services = make(map[string]declared)
	}
	space.services[in.GoName] = declared{service.FullName, at}
	space.claimService(service, in.GoName, at, places)
}

// claimComments asks for a name for a file's comments. It is made of a service's, since
// files of one package may be called alike, unless the service is refused for its name.
func (p *planner) claimComments(file *File, in *protogen.Service) {
	space, at := p.spaces[file.ImportPath], servicePosition(in)
	if file.Comments != "" && space.services[in.GoName].at == at {
		space.claim(&file.CommentsName, at, lowerFirst(in.GoName), "Comments")
	}
}

// method plans one rpc.
func (p *planner) method(in *protogen.Method) *Method {
	o := optionsOf(in)
	p.checkMethod(o)
	comment := commentText(in.Comments.Leading)
	standard, _ := in.Desc.Options().(*descriptorpb.MethodOptions)
	method := &Method{
		GoName:     in.GoName,
		Comment:    comment,
		Deprecated: deprecation(standard.GetDeprecated(), comment, in.Desc.ParentFile().Path()),
		Spec:       *o.spec,
		Request:    message(in.Input),
		Response:   message(in.Output),
	}
	return method
}

func message(in *protogen.Message) Message {
	return Message{ImportPath: string(in.GoIdent.GoImportPath), GoName: in.GoIdent.GoName}
}

// settle chooses the names of each package and then the aliases of each file,
// which must differ from them.
func (p *planner) settle(files []*File) {
	for _, file := range files {
		if space := p.spaces[file.ImportPath]; space.taken == nil {
			space.settle(p)
		}
		file.Imports = p.spaces[file.ImportPath].aliases(p.imports(file), home(file), file.PackageName)
	}
}

// home returns the import path of a file's own messages.
func home(file *File) string {
	return strings.TrimSuffix(file.ImportPath, "/"+file.PackageName)
}

// imports returns the packages of the messages that a file's methods name.
func (p *planner) imports(file *File) map[string]protogen.GoPackageName {
	paths := make(map[string]protogen.GoPackageName)
	for _, service := range file.Services {
		for _, method := range service.Methods {
			paths[method.Request.ImportPath] = p.goPackages[method.Request.ImportPath]
			if method.Spec.Type != packetrpc.OneWay {
				paths[method.Response.ImportPath] = p.goPackages[method.Response.ImportPath]
			}
		}
	}
	return paths
}
