// Package packetrpc is what generated code, handlers and callers share: errors
// and their codes, the descriptions of actions, callers and registrars, streams,
// peers, metadata and interceptors. It opens no socket and starts no goroutine;
// packages server and client bring it to life.
//
// A call travels through these names:
//
//	generated client → Caller ──── connection ──── Registrar → generated handler interface
//
// A [Caller] is one end of a connection, the dialled one or the accepted one: either
// side may call the other. A [Registrar] takes the methods that an end serves.
package packetrpc

// IsAtLeastVersion0_1_0 is referred to by generated code, which therefore does
// not compile against a runtime older than its generator needs.
const IsAtLeastVersion0_1_0 = true
