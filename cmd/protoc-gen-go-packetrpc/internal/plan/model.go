// Package plan turns the descriptors of a plugin request into a plain model of
// the Go files to write: every name is chosen here, every comment cleaned and
// every declaration that cannot work refused. Package emit writes the model down
// and sees no descriptor.
package plan

import "github.com/packetrpc/packetrpc/runtime/packetrpc"

// File is one Go file to write, made of the services of one .proto file.
type File struct {
	// Source is the path of the .proto file as its compiler names it.
	Source string
	// Output is the path of the Go file below the plugin's output folder.
	Output string
	// ImportPath and PackageName are those of the Go package.
	ImportPath, PackageName string
	// Imports are the packages of the messages that the file names, each with an
	// alias that nothing else in the file is called.
	Imports []Import
	// Comments are those of the .proto file, as [packetrpc.Spec.Comments] holds them, and
	// CommentsName is the constant for them. The former may be empty.
	Comments, CommentsName string
	// Services are sorted by their full names, so that moving one in the .proto
	// file leaves the Go file as it was. Methods stay in the order in which they
	// are declared.
	Services []*Service
}

// Import is a package of messages.
type Import struct {
	Path, Alias string
}

// Service is one service of a .proto file.
type Service struct {
	// FullName is the name in the .proto file: "chat.v1.ChatService".
	FullName string
	// Comment is the text above the declaration, without comment markers, and
	// Deprecated the note that it is deprecated. Both may be empty.
	Comment, Deprecated string
	// Names are what the service's declarations are called in Go.
	Names ServiceNames
	// Methods are the rpcs, in the order in which they are declared.
	Methods []*Method
}

// ServiceNames are the Go names of a service's declarations.
type ServiceNames struct {
	// FullName is the constant that holds the service's full name.
	FullName string
	// Client is the interface, NewClient its constructor and ClientType the type
	// that implements it.
	Client, NewClient, ClientType string
	// Handler is the interface, RegisterHandler the function that registers one
	// and UnimplementedHandler the type whose methods all fail.
	Handler, RegisterHandler, UnimplementedHandler string
	// Broadcast is the interface, NewBroadcast its constructor and BroadcastType
	// the type that implements it. They are empty for a service that has no
	// method to broadcast.
	Broadcast, NewBroadcast, BroadcastType string
}

// Broadcast returns the methods whose messages may be sent to many at once:
// those that nobody answers, except the sealed ones, which are encrypted for one
// receiver.
func (s *Service) Broadcast() []*Method {
	var methods []*Method
	for _, method := range s.Methods {
		if method.Spec.Type == packetrpc.OneWay && !method.Spec.Sealed {
			methods = append(methods, method)
		}
	}
	return methods
}

// Method is one rpc.
type Method struct {
	// GoName is the name of the method in Go.
	GoName string
	// ActionName is the constant that holds the action and SpecName the variable
	// that holds the spec.
	ActionName, SpecName string
	// Comment and Deprecated are as in [Service].
	Comment, Deprecated string
	// Spec is what the generated code is to tell the runtime.
	Spec packetrpc.Spec
	// Request and Response are the messages. The generated code has no use for
	// the Response of a one-way method.
	Request, Response Message
}

// Message is a generated message type.
type Message struct {
	ImportPath, GoName string
}
