// Package conn is one connection: calls in both directions over one stream of
// bytes. Packages server and client open connections and shake hands; this one
// carries what follows.
//
// # The way in
//
// Some goroutine always holds the reading role (work.go), or comes back to it
// soon. It reads what has arrived into a borrowed buffer, which it does not hold
// while it waits (source.go), finds the packets in it (reader.go) and gives each to
// the call that it belongs to (table.go): a reply to the call that waits for it
// (made.go), a message to its call's inbox (inbox.go, messages.go), a request,
// decoded, to the queue of calls to be handled (admit.go, lane.go). Then it gives
// the role up and handles queued calls itself (handle.go). Another goroutine is
// woken when more than one call waits, or when this one has not come back to read
// after a lull. So a single call that is handled quickly costs no wake-up, and a
// thousand at once cost few.
//
// Before a goroutine sleeps until something arrives, it tries for a moment to read
// it, where that is likely to help; a caller that is alone reads its reply itself
// (poll.go).
//
// The reading goroutine never waits: not for a handler, not for a receiver, not
// for room in the queue of outgoing packets, and it never writes to the socket.
//
// # The way out
//
// Whoever has something to say, a caller or a handler's answer (answer.go),
// appends its packet to a queue under a lock, and then writes everything queued in
// one go (writer.go), unless another goroutine is writing, which will. Large
// messages are appended in fragments, each after the one before has left, so that
// others' packets get in between (send.go). A message for many connections is
// queued on all of them, and then a few workers write what each socket takes at
// once (fanout.go).
//
// # Between packets and socket, and between messages and packets
//
// TLS turns bytes into others between the queue and the socket (encryption.go). The
// data of sealed actions is sealed when it is sent, and opened by whoever decodes it
// (sealing.go).
//
// # What outlives a connection
//
// The one-way packets of a session that can go on are numbered and kept by its Pushes
// until the other side, by its Received, has handled and acknowledged them (pushes.go,
// sendpush.go, received.go). Pushes also keeps what a slow client does not take, if it
// is told to. A timer feels the other side's pulse (keepalive.go).
//
// # What goroutines share
//
// Conn.mu guards which calls there are and who works on what (work.go). Each inbox
// has a lock for its messages, the account (window.go) one for incomplete messages,
// the writer one for its queue and the credit to send, the Workers one for who is
// idle, Pushes and Received one each. They are taken in this order: Conn.mu, that of an
// inbox, that of the writer, one of the others. With that of Pushes the one of the
// Workers may be taken, and otherwise no further one. The reader belongs to the goroutine
// that holds the reading role, and a buffer (buffers.go) to one goroutine at a time.
//
// # What bounds it
//
// Senders wait for credit of their call and of the connection (window.go), and
// for room in the queue. The number of open calls and of running handlers is
// limited, and a Load bounds calls and memory of all connections of a server together
// (load.go). Replies that the other side does not take keep more calls from being
// handled. Nothing that the other side does, or fails to do, makes this side keep
// more than these limits allow.
package conn
