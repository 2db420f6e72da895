// Package client connects to a server. A connected [Client] makes calls, and
// handles those that the server makes.
//
// A client whose connection is lost connects again and goes on with its session
// (reconnect.go); calls are made again where that can do no harm (repeat.go).
//
//	conn, err := client.Dial(ctx, "127.0.0.1:25565", client.WithPassword("demo", "test"))
//	reply, err := chatv1packetrpc.NewChatServiceClient(conn).Send(ctx, request)
package client
