// Package session is what a server keeps of a client beyond its connection: the
// token that proves who sends a packet, the public id that others may see, and
// the identity that the authenticator found. It also decides handshakes: its
// functions turn a client's first packet into a session and an answer, or into a
// refusal, and a server's answer into what the client needs to know. They do no
// input or output; packages server and client do.
package session
