package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime/debug"
	"sync"

	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Server serves methods to clients that connect. Its methods may be called
// concurrently, except for [Server.Register]. A server that has been shut down
// cannot be used again.
type Server struct {
	options options

	// handlers is filled by Register until serving begins, and only read then.
	handlers packetrpc.Handlers

	// prepare tells what is wrong with the options and the handlers; it looks once.
	prepare func() error
	// linked returns the actions that are linked into the program. They are looked for
	// when they are first needed, as that makes protobuf load every descriptor there is.
	linked func() *schema.Schema
	// shown returns the files that reflection shows, which are made once.
	shown       func() ([]*descriptorpb.FileDescriptorProto, error)
	workers     *conn.Workers
	load        *conn.Load
	interceptor packetrpc.Interceptor // nil for none

	// Made by prepare; nil for none.
	encryption *tls.Config
	publicKey  []byte // of the key that opens sealed data, in DER

	// These lock themselves.
	sessions *session.Store
	registry registry
	halfOpen halfOpen
	failures failures
	health   health
	tally    tally

	// life ends when the server begins to shut down, and handshakes with it.
	life context.Context
	end  context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{} // those being served
	stopping  bool                      // once true it stays so

	// running counts the goroutines of connections, and each connection until its
	// last goroutine has ended. It is raised from zero under mu only and while
	// stopping is false.
	running sync.WaitGroup
	// ended is closed when the server has been shut down and nothing runs.
	ended chan struct{}
}

// New returns a server that does not listen yet. Options that make no sense are
// reported by [Server.Serve].
func New(options ...Option) *Server {
	s := &Server{
		options:   newOptions(options),
		sessions:  session.NewStore(),
		linked:    sync.OnceValue(schema.Linked),
		workers:   conn.NewWorkers(),
		listeners: make(map[net.Listener]struct{}),
		ended:     make(chan struct{}),
	}
	s.load = conn.NewLoad(s.options.maxCalls, s.options.maxMemory)
	s.prepare = sync.OnceValue(s.check)
	s.shown = sync.OnceValues(s.reflection)
	s.interceptor = packetrpc.Chain(s.options.interceptors...)
	s.registry.limit = s.options.maxConnections
	s.halfOpen.perAddress, s.halfOpen.inAll = s.options.halfOpenAddress, s.options.halfOpen
	s.failures.free, s.failures.first, s.failures.longest = s.options.freeFailures, s.options.failureDelay, s.options.longestDelay
	s.life, s.end = context.WithCancel(context.Background())
	packetrpcv1packetrpc.RegisterCoreServiceHandler(&s.handlers, &core{server: s})
	return s
}

// Register adds a method; generated code calls it. It must not be called any
// more once the server serves. An action that is registered twice is reported by
// [Server.Serve].
func (s *Server) Register(method *packetrpc.Method) { s.handlers.Register(method) }

// check tells what is wrong with the options and the handlers.
func (s *Server) check() error {
	if err := s.options.check(); err != nil {
		return err
	}
	if err := s.handlers.Err(); err != nil {
		return err
	}
	var err error
	if s.encryption, err = s.options.encryption(); err != nil || s.options.key == nil {
		return err
	}
	s.publicKey, err = seal.MarshalPublicKey(&s.options.key.PublicKey)
	return err
}

// Connections returns the clients that are connected, the longest connected
// first. [Server.Clients] tells more of each.
func (s *Server) Connections() []packetrpc.Peer { return s.Members("") }

// Members returns the clients that are in a group, the longest connected first.
func (s *Server) Members(group string) []packetrpc.Peer {
	members := s.registry.sorted(group)
	peers := make([]packetrpc.Peer, len(members))
	for i, m := range members {
		peers[i] = m
	}
	return peers
}

// Connection returns the client whose session has a public id, if it is
// connected.
func (s *Server) Connection(id string) (packetrpc.Peer, bool) {
	if m := s.registry.byID(id); m != nil {
		return m, true
	}
	return nil, false
}

// Count returns the number of clients that are connected.
func (s *Server) Count() int { return s.registry.count() }

// All returns the audience of all clients that are connected when something is
// broadcast.
func (s *Server) All() packetrpc.Audience { return &audience{registry: &s.registry} }

// Group returns the audience of the clients that are in a group when something
// is broadcast. A group that nobody has joined is empty. Clients join and leave
// by [packetrpc.Peer.Join] and Leave, and leave when their connection ends.
func (s *Server) Group(name string) packetrpc.Audience {
	return &audience{registry: &s.registry, group: name, isGroup: true}
}

// guarded calls a function that the server's user has written. A panic is logged
// and returned as an error.
func (s *Server) guarded(what string, call func() error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			s.options.logger.Error("packetrpc: "+what+" panicked",
				"panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
			err = packetrpc.Errorf(packetrpc.CodeInternal, "%s panicked", what)
		}
	}()
	return call()
}
