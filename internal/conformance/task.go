package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The roles that a command plays.
const (
	// RoleClient is the dialling side.
	RoleClient = "client"
	// RoleServer is the accepting side.
	RoleServer = "server"
	// RoleDeclare asks the command which cases it declares; it opens no connection.
	RoleDeclare = "declare"
)

// Task is what a command is told about its case: one line of JSON on its standard
// input.
type Task struct {
	// Case is the full name of the case: group/name/form.
	Case string `json:"case,omitempty"`
	// Role is what the command plays.
	Role string `json:"role"`
	// Form is how packets are written: "binary" or "json".
	Form string `json:"form,omitempty"`
	// Address is where a client connects to, as "host:port".
	Address string `json:"address,omitempty"`
	// Username and Password are what a client shakes hands with.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Limits is what the command tells of itself in the handshake.
	Limits Limits `json:"limits,omitzero"`
	// Steps is what the command does once it is connected, one after the other.
	// Then it ends the connection.
	Steps []Step `json:"steps,omitempty"`
}

// Limits is what the command takes from the runner, in bytes and calls. 0 leaves
// it to the command.
type Limits struct {
	MaxMessageSize   int `json:"maxMessageSize,omitempty"`
	MaxOpenCalls     int `json:"maxOpenCalls,omitempty"`
	CallWindow       int `json:"callWindow,omitempty"`
	ConnectionWindow int `json:"connectionWindow,omitempty"`
}

// The steps, the values of [Step.Do].
const (
	// DoCall begins a call and does not wait for anything from the other side. A
	// unary or one-way call and a server stream have their message with it.
	DoCall = "call"
	// DoSend sends a message of a stream, and waits for credit if it must.
	DoSend = "send"
	// DoHalfClose says that the last message has been sent.
	DoHalfClose = "half-close"
	// DoReceive waits for Count messages of a stream.
	DoReceive = "receive"
	// DoFinish waits for the end of a call, and receives all messages before it.
	DoFinish = "finish"
	// DoCancel cancels a call.
	DoCancel = "cancel"
	// DoHandled waits until Count one-way calls have been handled since the
	// beginning.
	DoHandled = "handled"
	// DoClosed waits until the other side has ended the connection.
	DoClosed = "closed"
)

// Step is one thing that a command does.
type Step struct {
	Do string `json:"do"`
	// Call names the call that the step concerns, within the case.
	Call string `json:"call,omitempty"`
	// Type is "unary", "one-way", "server-stream", "client-stream" or
	// "bidi-stream", and Action what is called, of a [DoCall].
	Type   string `json:"type,omitempty"`
	Action string `json:"action,omitempty"`
	// Message is what is sent.
	Message Message `json:"message,omitzero"`
	// Metadata is a list of keys with values.
	Metadata [][2]string `json:"metadata,omitempty"`
	// Timeout is in seconds; 0 is none.
	Timeout float64 `json:"timeout,omitempty"`
	Count   int     `json:"count,omitempty"`
}

// Message is a message that has one field, number 1, the string "text", as the
// PingRequest of CorePing.
type Message struct {
	Text string `json:"text,omitempty"`
	// Size is how many bytes the text is to have: it is repeated and cut. 0 is the
	// text as it is.
	Size int `json:"size,omitempty"`
}

// String returns the message's text.
func (m Message) String() string {
	if m.Size == 0 {
		return m.Text
	}
	return strings.Repeat(m.Text, m.Size/len(m.Text)+1)[:m.Size]
}

// The events, the values of [Event.Event].
const (
	// EventListening tells where a server has begun to listen.
	EventListening = "listening"
	// EventConnected: the handshake has succeeded.
	EventConnected = "connected"
	// EventRefused: the handshake has failed.
	EventRefused = "refused"
	// EventMessage: a message of a stream has been received.
	EventMessage = "message"
	// EventEnd: a call has ended.
	EventEnd = "end"
	// EventUnsent: the command itself has refused to send a message of a stream.
	EventUnsent = "unsent"
	// EventHandled: a one-way call of the other side has been handled.
	EventHandled = "handled"
	// EventCancelled: a handler that waited has been cancelled.
	EventCancelled = "cancelled"
	// EventClosed: the other side has ended the connection.
	EventClosed = "closed"
)

// Event is something that a command has observed: one line of JSON on its standard
// output.
type Event struct {
	Event  string `json:"event"`
	Call   string `json:"call,omitempty"`
	Action string `json:"action,omitempty"`
	// Text is that of the message or reply. In its place longer ones, above 1,000
	// bytes, have Size in bytes and SHA256 in hexadecimal.
	Text   string `json:"text,omitempty"`
	Size   int    `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Status is why something has failed, as "not_found"; none is success.
	Status  string   `json:"status,omitempty"`
	Message string   `json:"message,omitempty"`
	Details []Detail `json:"details,omitempty"`
	// RetryAfter is in seconds.
	RetryAfter float64 `json:"retryAfter,omitempty"`
	// Metadata is what the other side has sent with the call until its end.
	Metadata [][2]string `json:"metadata,omitempty"`
	Address  string      `json:"address,omitempty"`
	ID       string      `json:"id,omitempty"`
	// Declares is the answer to [RoleDeclare]: regular expressions that match the
	// names of the cases that the command is to pass.
	Declares []string `json:"declares,omitempty"`
}

// Detail is a message that an error carries.
type Detail struct {
	// Type is its full name.
	Type string `json:"type"`
	// Value is its protobuf encoding, in JSON as base64.
	Value []byte `json:"value"`
}

// maxText is how long the text of an event is at most.
const maxText = 1000

// SetText sets the event's Text, or its Size and SHA256.
func (e *Event) SetText(text string) {
	if len(text) <= maxText {
		e.Text = text
		return
	}
	sum := sha256.Sum256([]byte(text))
	e.Size, e.SHA256 = len(text), hex.EncodeToString(sum[:])
}

// The actions that a command serves on every connection, and may call at the
// runner.
const (
	// ActionEcho is unary: the reply is the request, with the caller's metadata.
	ActionEcho = "Echo"
	// ActionNote is one-way: handling it is an event.
	ActionNote = "Note"
	// ActionCount is a server stream: the numbers from 1 to that of the request.
	ActionCount = "Count"
	// ActionJoin is a client stream: the reply is the messages joined together.
	ActionJoin = "Join"
	// ActionTalk is a bidirectional stream: each message is sent back. That it is
	// cancelled is an event.
	ActionTalk = "Talk"
	// ActionFail is unary: it fails with the status that the request names and the
	// message "as asked".
	ActionFail = "Fail"
	// ActionWait is a server stream: it sends the message "waiting", and waits until
	// it is cancelled or its time is over, which is an event.
	ActionWait = "Wait"
)
