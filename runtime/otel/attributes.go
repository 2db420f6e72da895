package packetrpcotel

import (
	"net"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The keys of the semantic conventions, and our own.
const (
	keySystem      = attribute.Key("rpc.system.name")
	keyMethod      = attribute.Key("rpc.method")
	keyStatus      = attribute.Key("rpc.status_code")
	keyErrorType   = attribute.Key("error.type")
	keyPeerAddress = attribute.Key("network.peer.address")
	keyPeerPort    = attribute.Key("network.peer.port")
	keyDirection   = attribute.Key("network.io.direction")

	keyCallType      = attribute.Key("packetrpc.call.type")
	keyClientID      = attribute.Key("packetrpc.client.id")
	keyMessageNumber = attribute.Key("packetrpc.message.number")
	keyMessageSize   = attribute.Key("packetrpc.message.size")
)

// The values of network.io.direction.
const (
	transmit = "transmit"
	receive  = "receive"
)

// statusOf returns the value of rpc.status_code; 0 is success.
func statusOf(code packetrpc.Code) string {
	if code == 0 {
		return "ok"
	}
	return code.String()
}

// isError reports whether a code is an error of the side that a span or a measurement is
// made at. What a callee answers with because of what the caller has done is none of the
// callee's, as the conventions have it for gRPC.
func isError(code packetrpc.Code, outgoing bool) bool {
	switch code {
	case 0:
		return false
	case packetrpc.CodeUnknown, packetrpc.CodeDeadlineExceeded, packetrpc.CodeUnimplemented,
		packetrpc.CodeInternal, packetrpc.CodeUnavailable, packetrpc.CodeDataLoss:
		return true
	default:
		return outgoing
	}
}

// peerAttributes returns who the other side is.
func peerAttributes(peer packetrpc.Peer) []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, 3)
	if id := peer.ID(); id != "" {
		list = append(list, keyClientID.String(id))
	}
	switch address := peer.RemoteAddr().(type) {
	case nil:
	case *net.TCPAddr:
		list = append(list, keyPeerAddress.String(address.IP.String()), keyPeerPort.Int(address.Port))
	default:
		list = append(list, keyPeerAddress.String(address.String()))
	}
	return list
}

// method is what all calls of a method have in common.
type method struct {
	name     string
	common   []attribute.KeyValue  // of spans and metrics
	sent     []metric.RecordOption // for the sizes of its messages
	received []metric.RecordOption

	calls, handles, broadcasts []trace.SpanStartOption

	mu    sync.RWMutex
	ended map[outcome][]metric.RecordOption
}

// outcome is how a call has ended.
type outcome struct {
	code     packetrpc.Code
	outgoing bool
}

func newMethod(spec *packetrpc.Spec, more []attribute.KeyValue) *method {
	m := &method{name: spec.Service + "/" + spec.Method, ended: make(map[outcome][]metric.RecordOption)}
	m.common = append([]attribute.KeyValue{keySystem.String("packetrpc"), keyMethod.String(m.name)}, more...)
	attributes := trace.WithAttributes(append([]attribute.KeyValue{keyCallType.String(spec.Type.String())}, m.common...)...)
	m.calls = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), attributes}
	m.handles = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), attributes}
	m.broadcasts = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindProducer), attributes}
	m.sent = m.with(keyDirection.String(transmit))
	m.received = m.with(keyDirection.String(receive))
	return m
}

// with returns the attributes of a measurement, made once, as making a set costs more than
// all else.
func (m *method) with(attributes ...attribute.KeyValue) []metric.RecordOption {
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(append(attributes, m.common...)...))}
}

// of returns the attributes of a call that has ended.
func (m *method) of(end outcome) []metric.RecordOption {
	m.mu.RLock()
	found, known := m.ended[end]
	m.mu.RUnlock()
	if known {
		return found
	}
	attributes := []attribute.KeyValue{keyStatus.String(statusOf(end.code))}
	if isError(end.code, end.outgoing) {
		attributes = append(attributes, keyErrorType.String(end.code.String()))
	}
	made := m.with(attributes...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended[end] = made
	return made
}

// methods keeps what is made once for each method. It may be used concurrently.
type methods struct {
	more []attribute.KeyValue

	mu    sync.RWMutex
	known map[methodName]*method
}

type methodName struct{ service, method string }

func (m *methods) of(spec *packetrpc.Spec) *method {
	name := methodName{spec.Service, spec.Method}
	m.mu.RLock()
	found := m.known[name]
	m.mu.RUnlock()
	if found != nil {
		return found
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[name] == nil {
		m.known[name] = newMethod(spec, m.more)
	}
	return m.known[name]
}
