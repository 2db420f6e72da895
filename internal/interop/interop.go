// Package interop holds gRPC's interop cases, rebuilt on protos of our own: what
// an RPC framework must do at least, told by the behaviour of both ends.
//
// A case is run by whoever calls, against a [Handler] at the other side. It does
// not know which side of the connection that is, nor what carries the connection.
package interop

import (
	"context"
	"sync"

	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Case is one of the interop cases.
type Case struct {
	// Name is what gRPC calls the case.
	Name string
	// Run makes the case's calls and returns what was wrong, or nil. It waits for
	// the other side as long as ctx allows. It may be called concurrently.
	Run func(ctx context.Context, caller packetrpc.Caller) error
}

// Cases returns all cases. The soak makes as many calls as it is told.
func Cases(soakCalls int) []Case {
	return []Case{
		{"empty_unary", emptyUnary},
		{"large_unary", largeUnary},
		{"client_streaming", clientStreaming},
		{"server_streaming", serverStreaming},
		{"ping_pong", pingPong},
		{"empty_stream", emptyStream},
		{"custom_metadata", customMetadata},
		{"status_code_and_message", statusCodeAndMessage},
		{"special_status_message", specialStatusMessage},
		{"unimplemented_method", unimplementedMethod},
		{"unimplemented_service", unimplementedService},
		{"cancel_after_begin", cancelAfterBegin},
		{"cancel_after_first_response", cancelAfterFirstResponse},
		{"timeout_on_sleeping_server", timeoutOnSleepingServer},
		{"rpc_soak", soak(soakCalls)},
	}
}

// The keys of the metadata that handlers look at.
const (
	initialKey  = "interop-echo-initial"
	trailingKey = "interop-echo-trailing-bin"
	callKey     = "interop-call"
)

// Handler is the side that is called. The zero value is ready to use. One Handler
// may serve any number of connections.
type Handler struct {
	interopv1packetrpc.UnimplementedInteropServiceHandler

	mu      sync.Mutex
	watched map[string]*watched // calls that are yet to begin
}

// Empty implements the action.
func (h *Handler) Empty(context.Context, *interopv1.EmptyRequest) (*interopv1.EmptyResponse, error) {
	return &interopv1.EmptyResponse{}, nil
}

// Unary implements the action.
func (h *Handler) Unary(ctx context.Context, request *interopv1.UnaryRequest) (*interopv1.UnaryResponse, error) {
	echoMetadata(ctx, initialKey)
	echoMetadata(ctx, trailingKey)
	if err := failure(request.GetStatus()); err != nil {
		return nil, err
	}
	return &interopv1.UnaryResponse{
		Body:     make([]byte, request.GetResponseSize()),
		Received: uint32(len(request.GetBody())),
	}, nil
}

// ClientStream implements the action.
func (h *Handler) ClientStream(ctx context.Context, stream packetrpc.Receiver[interopv1.ClientStreamRequest]) (response *interopv1.ClientStreamResponse, err error) {
	call := h.begin(ctx)
	defer func() { call.end(err) }()
	response = &interopv1.ClientStreamResponse{}
	for request, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		response.Received += uint32(len(request.GetBody()))
	}
	return response, nil
}

// ServerStream implements the action.
func (h *Handler) ServerStream(_ context.Context, request *interopv1.ServerStreamRequest, stream packetrpc.Sender[interopv1.ServerStreamResponse]) error {
	for _, size := range request.GetResponseSizes() {
		if err := stream.Send(&interopv1.ServerStreamResponse{Body: make([]byte, size)}); err != nil {
			return err
		}
	}
	return nil
}

// BidiStream implements the action.
func (h *Handler) BidiStream(ctx context.Context, stream packetrpc.BidiStream[interopv1.BidiStreamResponse, interopv1.BidiStreamRequest]) (err error) {
	call := h.begin(ctx)
	defer func() { call.end(err) }()
	echoMetadata(ctx, initialKey)
	for request, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := respond(stream, request); err != nil {
			return err
		}
	}
	echoMetadata(ctx, trailingKey)
	return nil
}

func respond(stream packetrpc.BidiStream[interopv1.BidiStreamResponse, interopv1.BidiStreamRequest], request *interopv1.BidiStreamRequest) error {
	for _, size := range request.GetResponseSizes() {
		response := &interopv1.BidiStreamResponse{Body: make([]byte, size), Received: uint32(len(request.GetBody()))}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	return failure(request.GetStatus())
}

// Watch implements the action.
func (h *Handler) Watch(ctx context.Context, request *interopv1.WatchRequest, stream packetrpc.Sender[interopv1.WatchResponse]) error {
	call := h.watch(request.GetCall())
	defer h.take(request.GetCall())
	for {
		select {
		case state := <-call.states:
			if err := stream.Send(state); err != nil || state.GetState() == interopv1.State_STATE_ENDED {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func echoMetadata(ctx context.Context, key string) {
	for _, value := range packetrpc.MetadataFrom(ctx).Values(key) {
		packetrpc.SetMetadata(ctx, key, value)
	}
}

func failure(status *interopv1.Status) error {
	if status.GetCode() == 0 {
		return nil
	}
	return packetrpc.Errorf(packetrpc.Code(status.GetCode()), "%s", status.GetMessage())
}

// watched is a call that somebody watches; nil is one that nobody does.
type watched struct {
	states chan *interopv1.WatchResponse // has room for each state, so that the call never waits
}

func (h *Handler) watch(name string) *watched {
	call := &watched{states: make(chan *interopv1.WatchResponse, 3)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watched == nil {
		h.watched = make(map[string]*watched)
	}
	h.watched[name] = call
	call.tell(interopv1.State_STATE_AWAITED, 0)
	return call
}

// take removes a call from those that are yet to begin, as a name is good for one.
func (h *Handler) take(name string) *watched {
	h.mu.Lock()
	defer h.mu.Unlock()
	call := h.watched[name]
	delete(h.watched, name)
	return call
}

func (h *Handler) begin(ctx context.Context) *watched {
	call := h.take(packetrpc.MetadataFrom(ctx).Get(callKey))
	call.tell(interopv1.State_STATE_BEGUN, 0)
	return call
}

func (w *watched) end(err error) { w.tell(interopv1.State_STATE_ENDED, packetrpc.CodeOf(err)) }

func (w *watched) tell(state interopv1.State, code packetrpc.Code) {
	if w != nil {
		w.states <- &interopv1.WatchResponse{State: state, Code: uint32(code)}
	}
}
