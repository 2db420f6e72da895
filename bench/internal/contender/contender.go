// Package contender holds what is compared: one file for each framework, behind
// one small interface. Each is set up as its own documentation shows it first,
// with its defaults.
//
// To add one, write a file with a type that implements Contender and name it in
// All. What else it can do it says by the optional interfaces below.
package contender

import (
	"context"
	"net"
	"slices"
)

// A Kind is the part that a contender has in the comparison.
type Kind string

// The kinds.
const (
	Ours  Kind = "ours"
	Peer  Kind = "peer"
	Floor Kind = "floor"
)

// Info describes a contender.
type Info struct {
	Name string
	Kind Kind
	// Module is the Go module whose version is reported; "" is none.
	Module string
	// About tells the set-up, in one sentence.
	About string
	// PerCaller is set where each concurrent caller needs a connection of its own.
	PerCaller bool
	// NoCalls is set where connections are Windowers: no call API.
	NoCalls bool
	// Secure is set where what is protected is compared, and not with all others.
	Secure bool
}

// Settings is what a cell asks of both ends.
type Settings struct {
	// MaxMessage is the size in bytes that a message must be allowed to have; 0
	// leaves the default of the contender.
	MaxMessage int
	// Actions is how many further actions are declared that do what Echo does; see
	// ActionCaller.
	Actions int
}

// A Contender is one framework.
type Contender interface {
	Info() Info
	// Start serves on a loopback listener, which the Server closes.
	Start(listener net.Listener, settings Settings) (Server, error)
	// Dial connects to such a server.
	Dial(ctx context.Context, address string, settings Settings) (Conn, error)
}

// A Server is a running server.
type Server interface {
	// Stop ends it and frees what it holds.
	Stop() error
}

// A Conn is one connection. Its methods may be called concurrently, unless
// Info.PerCaller is set.
type Conn interface {
	// Echo sends the data and returns what came back.
	Echo(ctx context.Context, data []byte) ([]byte, error)
	Close() error
}

// A Streamer is a Conn that has streams.
type Streamer interface {
	// Upload sends the data a number of times in one stream, and returns how many
	// messages the server counted.
	Upload(ctx context.Context, data []byte, count int) (int, error)
	// Download has the server send a number of messages of a size in one stream,
	// and returns how many came.
	Download(ctx context.Context, size, count int) (int, error)
	// PingPong sends the data a number of times in one stream, each time after
	// the answer to the message before.
	PingPong(ctx context.Context, data []byte, count int) error
}

// A Taker is a Conn that can send a message of 64 MiB.
type Taker interface {
	// Take sends the data in one message, and returns how many bytes the server
	// counted.
	Take(ctx context.Context, data []byte) (int, error)
}

// An ActionCaller is a Conn that can call any of the Settings.Actions.
type ActionCaller interface {
	// EchoBy is Echo by one of them, which are counted from 0.
	EchoBy(ctx context.Context, action int, data []byte) ([]byte, error)
}

// A Windower is a Conn that is no call API, where Info.NoCalls is set: it keeps a
// number of messages on their way.
type Windower interface {
	// Window sends the data and takes it back, with inFlight of them on their way,
	// until done returns true. It calls count with the number of each batch.
	Window(data []byte, inFlight int, done func() bool, count func(int)) error
}

// A Listener is a Conn that the server can call.
type Listener interface {
	// Notified returns how many one-way calls have come in.
	Notified() int64
}

// A Pusher is a Server that can call its clients.
type Pusher interface {
	// Ask calls one of the clients, and waits for the reply.
	Ask(ctx context.Context, data []byte) ([]byte, error)
	// AskAll calls each client and waits for its reply, one after the other.
	AskAll(ctx context.Context, data []byte) error
	// NotifyAll makes a one-way call to each client, one after the other.
	NotifyAll(ctx context.Context, data []byte) error
	// Broadcast sends one message to all clients.
	Broadcast(ctx context.Context, data []byte) error
}

// All returns every contender, in the order of the tables.
func All() []Contender {
	return []Contender{
		packetrpcContender{form: binaryForm},
		packetrpcContender{form: inlineForm},
		packetrpcContender{form: jsonForm},
		ping{},
		window{},
		jsonLines{},
		grpcGo{},
		connectGo{},
		drpcPool{},
		ttrpcContender{},
		netRPC{},
		natsRequest{},
		packetrpcContender{form: binaryForm, security: security{tls: true}},
		packetrpcContender{form: binaryForm, security: security{tls: true, password: true}},
		packetrpcContender{form: binaryForm, security: security{tls: true, sealed: true}},
		packetrpcContender{form: binaryForm, security: security{sealed: true}},
		grpcGo{tls: true},
	}
}

// Find returns the contender of a name.
func Find(name string) (Contender, bool) {
	all := All()
	i := slices.IndexFunc(all, func(c Contender) bool { return c.Info().Name == name })
	if i < 0 {
		return nil, false
	}
	return all[i], true
}
