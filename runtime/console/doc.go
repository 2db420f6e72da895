// Package console is a web page about a server that runs: who is connected, how its
// actions fare, what has failed, and a form to call each action with. It is an
// [http.Handler], off unless a program serves it.
//
//	c := console.New()
//	srv := server.New(append(c.Options(), options...)...)
//	http.ListenAndServe("127.0.0.1:8080", c.Handler(srv))
//
// Whoever opens it logs in with a name and a password that the server knows, and needs
// a role ([WithRole]). Calls are made as that user, over a connection to the server of
// their own, so that roles, interceptors and hooks see them as they see any client's.
// docs/console.md shows it and says what protects it.
package console
