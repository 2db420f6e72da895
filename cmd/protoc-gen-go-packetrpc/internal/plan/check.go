package plan

import (
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

const (
	// corePrefix begins the names of the actions that the runtime serves itself,
	// and corePackage declares them.
	corePrefix  = "Core"
	corePackage = "packetrpc.v1"
	// handshakeAction is what a connection's first packet is called.
	handshakeAction = "handShake"
	// maxActionSize is the longest name in bytes; it leaves a packet before the
	// handshake, which holds 4 KiB, room for the rest.
	maxActionSize = 200
)

// checkPackage refuses a file whose messages Go code cannot import, or whose
// generated code would fall into a package of messages.
func (p *planner) checkPackage(in *protogen.File, file *File) {
	at := locate(in.Desc, nil, fileOptions, fileOptionsGoPackage)
	if in.GoPackageName == "main" {
		p.refuse(at, `the Go package of the messages is "main", which cannot be imported; write another go_package`)
	}
	if name, taken := p.goPackages[file.ImportPath]; taken {
		p.refuse(at, "the generated code would go to %s, where the messages of package %s are; write another go_package", file.ImportPath, name)
	}
}

// checkService refuses what no rpc of a service could work with.
func (p *planner) checkService(service *protogen.Service) {
	if hasUnknown(schema.ServiceOptions(service.Desc)) {
		p.refuseUnknown(locate(service.Desc.ParentFile(), service.Location.Path, serviceOptions, int32(packetrpcv1.E_Service.TypeDescriptor().Number())))
	}
}

// checkMethod refuses options that cannot work together.
func (p *planner) checkMethod(o options) {
	if hasUnknown(o.own) {
		p.refuseUnknown(o.at(0))
	}
	p.checkOneWay(o)
	p.checkTimeout(o)
	streams := o.method.Desc.IsStreamingClient() || o.method.Desc.IsStreamingServer()
	if o.spec.NonBlocking && streams {
		p.refuse(o.at(nonBlockingOption), "rpc %s is non_blocking, but the handler of a stream waits; %s",
			o.method.Desc.Name(), withdraw("non_blocking", o.own.NonBlocking))
	}
	p.checkAction(o)
}

// checkOneWay refuses a one-way rpc that has something to answer with.
func (p *planner) checkOneWay(o options) {
	if !o.oneWay() {
		return
	}
	name, reply := o.method.Desc.Name(), o.method.Output.Desc
	at, instead := o.at(oneWayOption), withdraw("one_way", o.own.OneWay)
	switch {
	case o.method.Desc.IsStreamingClient(), o.method.Desc.IsStreamingServer():
		p.refuse(at, `rpc %s is one_way, but it has a stream; remove "stream" or %s`, name, instead)
	case reply.Fields().Len() > 0:
		p.refuse(at, `rpc %s is one_way, but its reply %s has fields, which nobody would receive; write "returns (google.protobuf.Empty)" or %s`,
			name, reply.FullName(), instead)
	}
}

// withdraw says how to do without an option, which depends on where it is set.
func withdraw(option string, own *bool) string {
	if own != nil {
		return fmt.Sprintf("remove %q", option+": true")
	}
	return fmt.Sprintf("set %q for this rpc, as the service's default is true", option+": false")
}

// checkTimeout refuses a time that no call can take.
func (p *planner) checkTimeout(o options) {
	timeout := o.timeout()
	if timeout == nil {
		return
	}
	name, at := o.method.Desc.Name(), o.at(timeoutOption)
	switch {
	case !representable(timeout):
		p.refuse(at, `rpc %s has a timeout of {seconds: %d, nanos: %d}, which is not a duration of less than 292 years; write one such as "timeout: {seconds: 5}"`,
			name, timeout.GetSeconds(), timeout.GetNanos())
	case timeout.AsDuration() < 0:
		p.refuse(at, `rpc %s has a negative timeout of %s; write one such as "timeout: {seconds: 5}", or "timeout: {}" for no limit`,
			name, timeout.AsDuration())
	}
}

// checkAction refuses an action's name that the protocol keeps for itself or
// cannot carry, and one that is taken.
func (p *planner) checkAction(o options) {
	action, at := o.spec.Action, o.at(actionOption)
	if what := faultOf(action, string(o.method.Desc.ParentFile().Package())); what != "" {
		p.refuse(at, "%s", what)
		return
	}
	name := o.method.Desc.FullName()
	if first, taken := p.actions[action]; taken {
		p.refuse(at, `rpc %s has the action %q, which rpc %s at %s has; give one of the two another name with "action"`,
			name, action, first.name, first.at)
		return
	}
	p.actions[action] = declared{string(name), at}
}

// faultOf returns what is wrong with an action's name in a package, or "".
func faultOf(action, pkg string) string {
	switch {
	case action == handshakeAction:
		return fmt.Sprintf("the action %q is the handshake's; write another name", action)
	case strings.HasPrefix(action, corePrefix) && pkg != corePackage:
		return fmt.Sprintf(`the action %q begins with %q, which is for actions of the runtime; set "action" to a name that does not`, action, corePrefix)
	case len(action) > maxActionSize:
		return fmt.Sprintf(`the action %q has %d bytes; set "action" to a name of at most %d bytes`, action, len(action), maxActionSize)
	case strings.ContainsFunc(action, unfit):
		return fmt.Sprintf("the action %q holds a space or a character that cannot be printed; write a name without", action)
	case hasEmptySegment(action):
		return fmt.Sprintf(`the action %q has an empty part before, between or after its "/" and "."; write a name such as "chat/send"`, action)
	}
	return ""
}

// unfit reports characters that people could not tell from others, or that
// would break a line of a log.
func unfit(r rune) bool { return r == unicode.ReplacementChar || r == ' ' || !unicode.IsPrint(r) }

func hasEmptySegment(action string) bool {
	separator := func(r rune) bool { return r == '/' || r == '.' }
	return len(strings.FieldsFunc(action, separator)) != strings.Count(action, "/")+strings.Count(action, ".")+1
}

// hasUnknown reports whether options hold a field that this generator does not
// know. Passing over one could leave out a protection.
func hasUnknown(options proto.Message) bool {
	return len(options.ProtoReflect().GetUnknown()) > 0
}

func (p *planner) refuseUnknown(at Position) {
	p.refuse(at, "a packetrpc option is set that this generator does not know; use a generator as new as options.proto")
}
