// Package server accepts connections, shakes hands on them, and keeps a registry
// of the clients that are connected: one can be called, a group of them can be
// sent a broadcast. A server serves the methods that generated code registers
// with it, and the Core actions, on any number of listeners.
//
//	srv := server.New()
//	chatv1packetrpc.RegisterChatServiceHandler(srv, chat)
//	err := srv.ListenAndServe(ctx)
package server
