// Package tap shows the packets that pass between clients and a server, with names
// instead of bytes: [Proxy] stands between them and makes an [Event] of everything that
// passes, [Recorder] and [Replay] keep events in a file, and [View] and [Filter] make
// lines of them for people.
//
// Traffic is never held back by whoever watches it. What passes is copied into a queue
// with a bound, and what the queue cannot take is counted and told instead of shown.
//
// Events hold no tokens and no passwords: they are hidden where events are made, so that
// nothing behind it can show them. docs/tap.md says what is hidden, and is the
// description of the file format.
package tap
