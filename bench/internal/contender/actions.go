package contender

import (
	"context"
	"strconv"

	"google.golang.org/grpc"

	echov1 "github.com/packetrpc/packetrpc/bench/gen/echo/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// What follows declares any number of actions, as the generated code of a service
// with so many rpcs would. All share the messages and the handler of Echo.

// manyService is the service of these actions.
const manyService = "echo.v1.ManyService"

// manyMethod names one of them.
func manyMethod(action int) string { return "Echo" + strconv.Itoa(action) }

// packetrpcActions returns what packetrpc is told of each.
func packetrpcActions(count int) []*packetrpc.Spec {
	specs := make([]*packetrpc.Spec, count)
	for i := range specs {
		specs[i] = &packetrpc.Spec{
			Action:   manyService + "/" + manyMethod(i),
			Service:  manyService,
			Method:   manyMethod(i),
			Request:  "echo.v1.EchoRequest",
			Response: "echo.v1.EchoResponse",
		}
	}
	return specs
}

// grpcActions returns the same for grpc-go's server.
func grpcActions(count int) *grpc.ServiceDesc {
	service := &grpc.ServiceDesc{ServiceName: manyService, HandlerType: (*echov1.EchoServiceServer)(nil)}
	for i := range count {
		service.Methods = append(service.Methods, grpc.MethodDesc{MethodName: manyMethod(i), Handler: grpcEcho})
	}
	return service
}

// grpcEcho is the handler of each. No server here has interceptors.
func grpcEcho(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	request := new(echov1.EchoRequest)
	if err := decode(request); err != nil {
		return nil, err
	}
	return server.(echov1.EchoServiceServer).Echo(ctx, request)
}

// grpcPaths returns what the calls of a client name.
func grpcPaths(count int) []string {
	paths := make([]string, count)
	for i := range paths {
		paths[i] = "/" + manyService + "/" + manyMethod(i)
	}
	return paths
}
