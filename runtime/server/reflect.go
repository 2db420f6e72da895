package server

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/descriptorpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// Reflect shows the proto packages of the services that are handled, as the events that
// are pushed are usually declared beside them, and nothing else that is linked into the
// program.
func (c *core) Reflect(ctx context.Context, request *packetrpcv1.ReflectRequest) (*packetrpcv1.ReflectResponse, error) {
	o := &c.server.options
	if o.reflectionOff {
		return nil, packetrpc.Errorf(packetrpc.CodeUnimplemented, "reflection is switched off here (server.WithoutReflection)")
	}
	if o.reflectionRole != "" {
		m, err := caller(ctx)
		if err != nil {
			return nil, err
		}
		if !m.session.HasRole(o.reflectionRole) {
			return nil, needsRole(packetrpcv1packetrpc.CoreServiceReflectAction, o.reflectionRole)
		}
	}
	linked := c.server.linked()
	shown, err := c.server.shown()
	if err != nil {
		return nil, err
	}
	if len(request.GetNames()) == 0 {
		return &packetrpcv1.ReflectResponse{Files: shown}, nil
	}
	visible := make(map[string]bool)
	for _, file := range shown {
		visible[file.GetName()] = true
	}
	for _, name := range request.GetNames() {
		if file := linked.FileOf(name); file == nil || !visible[file.Path()] { // whether it is linked is not told
			return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "no action of the handled services, and nothing else in their files, is called %q", name)
		}
	}
	files, err := linked.Files(request.GetNames(), c.server.comments())
	if err != nil {
		return nil, err
	}
	return &packetrpcv1.ReflectResponse{Files: files}, nil
}

// reflection returns the files that reflection shows.
func (s *Server) reflection() ([]*descriptorpb.FileDescriptorProto, error) {
	linked := s.linked()
	return linked.Files(linked.ServicesBeside(s.Services()), s.comments())
}

// Services returns the full names of the services that are handled, sorted, that of the
// Core actions included.
func (s *Server) Services() []string {
	names := make(map[string]struct{})
	for method := range s.handlers.All() {
		names[method.Spec.Service] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names))
}

// comments returns those of the files that declare what is handled.
func (s *Server) comments() schema.Comments {
	comments, last := make(schema.Comments), ""
	for method := range s.handlers.All() {
		if text := method.Spec.Comments; text != last { // a file's actions have the same text
			comments.Add(text)
			last = text
		}
	}
	return comments
}
