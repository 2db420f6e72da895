package status_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/status"
)

// Probes get an address of their own.
func ExampleHandler() {
	srv := server.New()
	chatv1packetrpc.RegisterChatServiceHandler(srv, chatv1packetrpc.UnimplementedChatServiceHandler{})

	listener, err := net.Listen("tcp", "127.0.0.1:0") // 127.0.0.1:8080, say
	if err != nil {
		fmt.Println(err)
		return
	}
	probes := &http.Server{Handler: status.Handler(srv)}
	served := make(chan error, 1)
	go func() { served <- probes.Serve(listener) }()

	srv.SetHealth(chatv1packetrpc.ChatServiceName, errors.New("the database is away"))
	get("http://" + listener.Addr().String() + "/healthz")

	probes.Shutdown(context.Background())
	<-served
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// 503 Service Unavailable
	// {
	//   "ready": false,
	//   "reason": "the database is away",
	//   "services": [
	//     {
	//       "service": "chat.v1.ChatService",
	//       "ready": false,
	//       "reason": "the database is away"
	//     },
	//     {
	//       "service": "packetrpc.v1.CoreService",
	//       "ready": true
	//     }
	//   ]
	// }
}

// get does what curl would.
func get(address string) {
	answer, err := http.Get(address)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n%s", answer.Status, body)
}
