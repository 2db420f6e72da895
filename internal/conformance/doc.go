// Package conformance holds an implementation of the protocol, in any language, to
// docs/PROTOCOL.md. A [Runner] starts it as a command, once for each [Case], plays
// the other end of the connection packet by packet, and compares what it sees on
// the wire and what the command says it has observed with what the protocol
// demands. docs/conformance.md tells how a command is written.
package conformance
