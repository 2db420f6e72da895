package conformance

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// answeredBadly returns a case of a unary call that is answered with an error.
func answeredBadly(name, demands string, answer packet.Packet, want Event) *plan {
	want.Event, want.Call = EventEnd, "a"
	return &plan{
		name: name, section: "11", demands: demands,
		steps: then(unary("a", ActionEcho, "hello"), finish("a")), want: thenEnded(want),
		play: func(l *link) {
			answer := answer
			answer.Kind, answer.CallID = packet.KindError, l.opening(ActionEcho).CallID
			l.send(&answer)
			l.echo("still there")
		},
	}
}

func errorPlans() []*plan {
	var plans []*plan
	for code := packetrpc.CodeCanceled; code <= packetrpc.CodeUnauthenticated; code++ {
		plans = append(plans, answeredBadly(code.String(), fmt.Sprintf("the status %v and its message reach the caller", code),
			packet.Packet{Status: code, Message: "no luck"}, Event{Status: code.String(), Message: "no luck"}))
	}
	aborted := func(change func(*packet.Packet)) packet.Packet {
		p := packet.Packet{Status: packetrpc.CodeAborted, Message: "no luck"}
		change(&p)
		return p
	}
	detail, _ := anypb.New(&packetrpcv1.PingRequest{Text: special})
	unknown := &anypb.Any{TypeUrl: "type.googleapis.com/nowhere.v1.Unknown", Value: []byte{8, 1, 0x12, 0}}
	long := strings.Repeat("0123456789", 800)
	return append(plans, []*plan{
		answeredBadly("no-status", "an error without a status is unknown", packet.Packet{Message: "no luck"}, Event{Status: "unknown", Message: "no luck"}),
		withStatus("unknown-status", `"status":"out_of_coffee"`, "unknown"),
		withStatus("status-in-upper-case", `"status":"NOT_FOUND"`, "unknown"),
		answeredBadly("empty-message", "an error need have no message", packet.Packet{Status: packetrpc.CodeNotFound}, Event{Status: "not_found", Message: noMessage}),
		answeredBadly("special-characters", "the message is any text", aborted(func(p *packet.Packet) { p.Message = special }), Event{Status: "aborted", Message: special}),
		answeredBadly("long-message", "a message of 8,000 bytes reaches the caller", aborted(func(p *packet.Packet) { p.Message = long }), Event{Status: "aborted", Message: long}),
		answeredBadly("details", "details reach the caller in their order, those of unknown types too",
			aborted(func(p *packet.Packet) { p.Details = []*anypb.Any{detail, unknown} }),
			Event{Status: "aborted", Details: []Detail{{"packetrpc.v1.PingRequest", detail.GetValue()}, {"nowhere.v1.Unknown", unknown.GetValue()}}}),
		answeredBadly("retry-after", "when to try again reaches the caller", aborted(func(p *packet.Packet) { p.RetryAfter = 2500 * time.Millisecond }),
			Event{Status: "aborted", RetryAfter: 2.5}),
		answeredBadly("may-have-run", "a call may fail after its handler has begun", aborted(func(p *packet.Packet) { p.MayHaveRun = true }), Event{Status: "aborted", Message: "no luck"}),
		answeredBadly("with-data", "data of an error is ignored", aborted(func(p *packet.Packet) { p.Data = []byte("{}") }), Event{Status: "aborted", Message: "no luck"}),
	}...)
}

// withStatus is an error whose status is written in a way that is none.
func withStatus(name, json, status string) *plan {
	return &plan{
		name: name, section: "5", demands: "another status than those of the table is unknown", form: onlyJSON,
		steps: then(unary("a", ActionEcho, "hello"), finish("a")), want: thenEnded(failed("a", status)),
		play: func(l *link) {
			l.write(fmt.Appendf(nil, "{\"id\":%d,\"kind\":\"error\",%s}\n", l.opening(ActionEcho).CallID, json))
			l.echo("still there")
		},
	}
}
