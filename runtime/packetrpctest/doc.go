// Package packetrpctest helps to test handlers and clients: a listener in memory,
// a client that is connected in one line, a connection that fails on demand, and
// a check for goroutines left behind.
//
//	func TestGreet(t *testing.T) {
//		srv := server.New()
//		greetv1packetrpc.RegisterGreetServiceHandler(srv, greeter{})
//		conn := packetrpctest.Dial(t, srv)
//		reply, err := greetv1packetrpc.NewGreetServiceClient(conn).Greet(t.Context(), request)
//		…
//	}
package packetrpctest
