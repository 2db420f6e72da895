package packetrpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// connect serves a handler in memory and connects a client to it. The function
// that it returns ends both.
func connect(chat chatv1packetrpc.ChatServiceHandler, options ...client.Option) (*client.Client, func()) {
	srv := server.New()
	chatv1packetrpc.RegisterChatServiceHandler(srv, chat)
	ctx, stop := context.WithCancel(context.Background())
	listener, served := packetrpctest.NewListener(), make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	options = append(options, client.WithName("ada"), client.WithDialer(listener.Dial))
	conn, err := client.Dial(ctx, "memory:0", options...)
	if err != nil {
		panic(err)
	}
	return conn, func() {
		conn.Close()
		stop()
		<-served
	}
}

// chat handles the ChatService of examples/chat for the examples here. The
// embedded handler answers the rpcs that are left out.
type chat struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
	typing chan string
}

// Send refuses an empty text with a detail that programs can read.
func (chat) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	if request.GetText() == "" {
		err := packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no text")
		if failed := err.AddDetail(&chatv1.TextProblem{Length: 0, MaxLength: 1000}); failed != nil {
			return nil, failed
		}
		return nil, err
	}
	language := packetrpc.MetadataFrom(ctx).Get("language")
	packetrpc.SetMetadata(ctx, "heard-in", language)
	return &chatv1.SendResponse{Number: uint32(len(request.GetText()))}, nil
}

func (c chat) Typing(ctx context.Context, _ *chatv1.TypingRequest) error {
	c.typing <- packetrpc.PeerFrom(ctx).Identity().Name
	return nil
}

func (chat) History(_ context.Context, _ *chatv1.HistoryRequest, stream packetrpc.Sender[chatv1.HistoryResponse]) error {
	for _, text := range []string{"hello", "and goodbye"} {
		if err := stream.Send(&chatv1.HistoryResponse{Message: &chatv1.Message{Text: text}}); err != nil {
			return err
		}
	}
	return nil
}

func (chat) Import(_ context.Context, stream packetrpc.Receiver[chatv1.ImportRequest]) (*chatv1.ImportResponse, error) {
	var count uint32
	for line, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		fmt.Println("the server receives:", line.GetText())
		count++
	}
	return &chatv1.ImportResponse{Count: count}, nil
}

func (chat) Talk(_ context.Context, stream packetrpc.BidiStream[chatv1.TalkResponse, chatv1.TalkRequest]) error {
	for line, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := stream.Send(&chatv1.TalkResponse{Text: strings.ToUpper(line.GetText())}); err != nil {
			return err
		}
	}
	return nil
}

// Who goes on until nobody waits for it any more.
func (chat) Who(ctx context.Context, _ *chatv1.WhoRequest) (*chatv1.WhoResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A unary call has one request and one reply.
func ExampleCaller_unary() {
	conn, end := connect(chat{})
	defer end()
	reply, err := chatv1packetrpc.NewChatServiceClient(conn).Send(context.Background(), &chatv1.SendRequest{Text: "hello"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reply.GetNumber())
	// Output: 5
}

// A one-way call returns when its packet is queued, and is not answered.
func ExampleCaller_oneWay() {
	typing := make(chan string)
	conn, end := connect(chat{typing: typing})
	defer end()
	err := chatv1packetrpc.NewChatServiceClient(conn).Typing(context.Background(), &chatv1.TypingRequest{})
	fmt.Println(err)
	fmt.Println(<-typing, "is typing")
	// Output:
	// <nil>
	// ada is typing
}

// A stream of replies is read to its end, by range or with Receive.
func ExampleReceiveStream() {
	conn, end := connect(chat{})
	defer end()
	stream, err := chatv1packetrpc.NewChatServiceClient(conn).History(context.Background(), &chatv1.HistoryRequest{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for reply, err := range stream.All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(reply.GetMessage().GetText())
	}
	// Output:
	// hello
	// and goodbye
}

// A stream of requests ends with one reply.
func ExampleSendStream() {
	conn, end := connect(chat{})
	defer end()
	stream, err := chatv1packetrpc.NewChatServiceClient(conn).Import(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stream.Close()
	for _, line := range []string{"one", "two"} {
		if err := stream.Send(&chatv1.ImportRequest{Text: line}); err != nil {
			break // the call has ended, and CloseAndReceive tells why
		}
	}
	reply, err := stream.CloseAndReceive()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reply.GetCount(), "lines")
	// Output:
	// the server receives: one
	// the server receives: two
	// 2 lines
}

// Both sides send while the call lasts.
func ExampleBidiStream() {
	conn, end := connect(chat{})
	defer end()
	talk, err := chatv1packetrpc.NewChatServiceClient(conn).Talk(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer talk.Close()
	for _, line := range []string{"hello", "goodbye"} {
		if err := talk.Send(&chatv1.TalkRequest{Text: line}); err != nil {
			break // Receive tells why
		}
		reply, err := talk.Receive()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(reply.GetText())
	}
	// Output:
	// HELLO
	// GOODBYE
}

// An error has a code, a text for people, and details for programs. The handler
// is the Send of this file.
func ExampleError_AddDetail() {
	conn, end := connect(chat{})
	defer end()
	_, err := chatv1packetrpc.NewChatServiceClient(conn).Send(context.Background(), &chatv1.SendRequest{})
	var failed *packetrpc.Error
	if !errors.As(err, &failed) {
		fmt.Println("no error of a call:", err)
		return
	}
	fmt.Println(failed.Code, "and the callee has", failed.Outcome)
	fmt.Println(failed.Message)
	for _, detail := range failed.Details {
		problem := new(chatv1.TextProblem)
		if detail.UnmarshalTo(problem) == nil {
			fmt.Println("at most", problem.GetMaxLength(), "bytes")
		}
	}
	// Output:
	// invalid_argument and the callee has answered
	// there is no text
	// at most 1000 bytes
}

// Metadata travels beside the messages, to the handler and back.
func ExampleWithMetadata() {
	conn, end := connect(chat{})
	defer end()
	ctx := packetrpc.WithMetadata(context.Background(), "language", "en")
	ctx, info := packetrpc.WithCallInfo(ctx)
	if _, err := chatv1packetrpc.NewChatServiceClient(conn).Send(ctx, &chatv1.SendRequest{Text: "hello"}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Metadata.Get("heard-in"))
	// Output: en
}

// An interceptor wraps every call of a connection, in both directions.
func ExampleInterceptor() {
	log := func(next packetrpc.Invoke) packetrpc.Invoke {
		return func(ctx context.Context, call *packetrpc.Call) error {
			err := next(ctx, call)
			fmt.Println(call.Spec.Method, call.Spec.Type, packetrpc.CodeOf(err) == 0)
			return err
		}
	}
	conn, end := connect(chat{}, client.WithInterceptors(log))
	defer end()
	chat := chatv1packetrpc.NewChatServiceClient(conn)
	chat.Send(context.Background(), &chatv1.SendRequest{Text: "hello"})
	chat.Send(context.Background(), &chatv1.SendRequest{})
	// Output:
	// Send unary true
	// Send unary false
}

// The deadline of the caller's context travels with the call and ends the
// context of the handler.
func ExampleCodeOf_deadline() {
	conn, end := connect(chat{})
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := chatv1packetrpc.NewChatServiceClient(conn).Who(ctx, &chatv1.WhoRequest{})
	fmt.Println(packetrpc.CodeOf(err))
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// deadline_exceeded
	// true
}
