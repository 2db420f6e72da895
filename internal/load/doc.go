// Package load puts a server under load and measures how it answers. A [Load] calls one
// action over and over, [Load.Run] returns what came of it as a [Result], which can be
// printed, saved, drawn and compared with another.
//
// In the closed loop a number of callers each make a call when their last one has been
// answered. In the open loop calls are due at a given rate, whatever becomes of those
// before, and the latency of a call counts from when it was due: while a server stalls,
// the calls that it keeps from being made are part of what its clients have to suffer
// (a closed loop omits them). A call that a free caller begins within the grain of the
// system's timers counts from when it was begun. At most so many calls are in flight as
// there are callers; calls that are due meanwhile are made as soon as one of them ends, or
// counted as not sent when the load ends first.
package load
