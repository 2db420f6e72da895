package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// unknownKind is no kind of the protocol's first version.
const unknownKind packet.Kind = 42

// meanwhile returns a case in which something happens while a unary call is open,
// which then ends well.
func meanwhile(name, section, demands string, play func(l *link, id uint64)) *plan {
	return &plan{
		name: name, section: section, demands: demands,
		steps: then(unary("a", ActionEcho, "hello"), finish("a")),
		play: func(l *link) {
			id := l.opening(ActionEcho).CallID
			play(l, id)
			l.reply(id, "hello")
			l.echo("still there")
		},
		want: thenEnded(ended("a", "hello")),
	}
}

// dropped is meanwhile for a packet that must change nothing.
func dropped(name, section, demands string, p func(l *link, id uint64) packet.Packet) *plan {
	return meanwhile(name, section, demands, func(l *link, id uint64) {
		p := p(l, id)
		l.send(&p)
		l.quiet()
	})
}

// later is a case in which something comes for a call that has ended.
func later(name, demands string, kind packet.Kind) *plan {
	return &plan{
		name: name, section: "6.3", demands: demands,
		steps: then(unary("a", ActionEcho, "hello"), finish("a")),
		play: func(l *link) {
			id := l.opening(ActionEcho).CallID
			l.reply(id, "hello")
			l.send(&packet.Packet{Kind: kind, CallID: id, Data: l.data("late"), Status: packetrpc.CodeAborted, Credit: 7})
			if slices.ContainsFunc(l.untilOpened("still there"), func(p *packet.Packet) bool { return p.CallID == id || p.CallID == 0 }) {
				l.failf("a late %v was answered", kind)
			}
		},
		want: thenEnded(ended("a", "hello")),
	}
}

// untilOpened answers the next call of Echo, and returns what came before it.
func (l *link) untilOpened(text string) (before []*packet.Packet) {
	before = l.sync()
	for {
		if i := slices.IndexFunc(before, func(p *packet.Packet) bool { return p.Action == ActionEcho }); i >= 0 {
			l.wantText(before[i], text)
			l.reply(before[i].CallID, text)
			return slices.Delete(before, i, i+1)
		}
		before = append(before, l.next())
	}
}

func bearPlans() []*plan {
	other := func(l *link) uint64 { return l.rules.lastOpened() + 2000 } // never opened by the command
	return slices.Concat(lifePlans(), []*plan{
		later("late-response", "a response for a call that has ended is dropped", packet.KindResponse),
		later("late-error", "an error for a call that has ended is dropped", packet.KindError),
		later("late-message", "a message for a call that has ended is dropped", packet.KindMessage),
		later("late-credit", "credit for a call that has ended is ignored", packet.KindCredit),
		later("late-unknown-kind", "a packet of an unknown kind for a call that has ended is dropped", unknownKind),
		dropped("response-for-no-call", "6.3", "a response for a call that was never made is dropped", func(l *link, _ uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindResponse, CallID: other(l), Data: l.data("x")}
		}),
		dropped("error-for-no-call", "6.3", "an error for a call that was never made is dropped", func(l *link, _ uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindError, CallID: other(l), Status: packetrpc.CodeInternal}
		}),
		dropped("error-without-id", "6", "an error that names no call ends nothing", func(*link, uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindError, Status: packetrpc.CodeInternal, Message: "some packet was refused"}
		}),
		dropped("error-for-the-lane", "6", "an error for the lane of the command's one-way packets ends nothing", func(l *link, _ uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindError, CallID: l.rules.lane(), Status: packetrpc.CodeUnimplemented, Message: "not served"}
		}),
		dropped("credit-for-no-call", "8", "credit for a call that was never made is ignored", func(l *link, _ uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindCredit, CallID: other(l), Credit: 1000}
		}),
		dropped("much-credit", "8", "sums of credit are limited and do not overflow", func(_ *link, id uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindCredit, CallID: id, Credit: 1<<53 - 1}
		}),
		dropped("much-credit-for-the-connection", "8", "sums of the connection's credit are limited and do not overflow", func(*link, uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindCredit, Credit: 1<<53 - 1}
		}),
		dropped("pong-unasked", "6.3", "a pong that nobody has asked for is dropped", func(l *link, _ uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindPong, Data: l.data("x")}
		}),
		dropped("ack", "6.3", "acknowledgements are ignored by a side that has pushed nothing", func(*link, uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindAck, Acknowledged: 7}
		}),
		dropped("cancel-by-the-callee", "6.3", "a cancel for the receiver's own call is dropped: only callers cancel", func(_ *link, id uint64) packet.Packet {
			return packet.Packet{Kind: packet.KindCancel, CallID: id}
		}),
		dropped("unknown-kind-for-no-call", "6.3", "a packet of an unknown kind for a call that was never made is dropped", func(l *link, _ uint64) packet.Packet {
			return packet.Packet{Kind: unknownKind, CallID: other(l)}
		}),
		meanwhile("unknown-kind-without-id", "6.4", "a packet of an unknown kind without an id is refused with unimplemented, and ends nothing", func(l *link, _ uint64) {
			l.send(&packet.Packet{Kind: unknownKind})
			l.wantError(0, packetrpc.CodeUnimplemented)
		}),
		pinged("ping", "a ping is answered by a pong with its data", 0, "are you there"),
		pinged("ping-without-data", "a ping without data is answered by a pong without data", 0, ""),
		pinged("ping-with-id", "a pong bears the id of its ping", 77, "x"),
		pinged("ping-of-1000-bytes", "a ping may have data of up to 1,024 bytes", 0, strings.Repeat("x", 1000)),
		meanwhile("pings", "12", "a hundred pings in one write get a hundred pongs in their order", func(l *link, id uint64) {
			var pings []*packet.Packet
			for i := range 100 {
				pings = append(pings, &packet.Packet{Kind: packet.KindPing, CallID: id, Data: l.data(fmt.Sprint(i))})
			}
			l.send(pings...)
			for i := range 100 {
				l.wantText(l.want(packet.KindPong, id), fmt.Sprint(i))
			}
		}),
		split("byte-by-byte", 1),
		split("seven-by-seven", 7),
		{
			name: "white-space", section: "2", demands: "any white space, or none, may stand between and in packets", form: onlyJSON,
			steps: then(unary("a", ActionEcho, "a"), unary("b", ActionEcho, "b"), finish("a"), finish("b")),
			play: func(l *link) {
				a, b := l.opening(ActionEcho), l.opening(ActionEcho)
				l.write(fmt.Appendf(nil, " \t\r\n\n{ \"id\" :%d,\n\"kind\":\t\"response\"\r\n,\"data\" : {\"text\" :%q } }{\"id\":%d,\"kind\":\"response\",\"data\":{\"text\":%q}}   ",
					a.CallID, l.text(a), b.CallID, l.text(b)))
				l.echo("still there")
			},
			want: thenEnded(ended("a", "a"), ended("b", "b")),
		},
		{
			name: "long-lengths", section: "2", demands: "a length is any varint of up to ten bytes", form: onlyBinary,
			steps: then(unary("a", ActionEcho, "hello"), finish("a")), want: thenEnded(ended("a", "hello")),
			play: func(l *link) {
				body := fmt.Appendf(nil, "\x28\x05\x30%s\x12\x07%s", varint(l.opening(ActionEcho).CallID), l.data("hello"))
				l.write(append([]byte{byte(len(body)) | 0x80, 0x80, 0x80, 0x00}, body...))
				l.echo("still there")
			},
		},
		{
			name: "empty-packet", section: "6.4", demands: "a packet without any field is a request without an action, which is refused", form: onlyBinary,
			steps: then(unary("a", ActionEcho, "hello"), finish("a")), want: thenEnded(ended("a", "hello")),
			play: func(l *link) {
				id := l.opening(ActionEcho).CallID
				l.write([]byte{0})
				l.wantError(0, packetrpc.CodeInvalidArgument)
				l.reply(id, "hello")
				l.echo("still there")
			},
		},
	})
}

func pinged(name, demands string, id uint64, text string) *plan {
	return meanwhile(name, "12", demands, func(l *link, _ uint64) {
		var data []byte
		if text != "" {
			data = l.data(text)
		}
		l.send(&packet.Packet{Kind: packet.KindPing, CallID: id, Data: data})
		if p := l.want(packet.KindPong, id); !l.sameData(p.Data, data) {
			l.failf("the pong has the data %.50q and not %.50q", p.Data, data)
		}
	})
}

func split(name string, size int) *plan {
	return &plan{
		name: name, section: "2", demands: fmt.Sprintf("packets that come in pieces of %d bytes are understood", size),
		steps: []Step{count("a", "2"), unary("b", ActionEcho, "b"), finish("a"), finish("b")},
		play: func(l *link) {
			l.sliceWrites(size)
			id, b := l.opening(ActionCount).CallID, l.opening(ActionEcho)
			l.message(id, special)
			l.reply(b.CallID, "b")
			l.message(id, "2")
			l.done(id)
		},
		want: []Event{got("a", special), got("a", "2"), ended("a", ""), ended("b", "b")},
	}
}

// lifePlans are about the end of the connection.
func lifePlans() []*plan {
	hello := unary("a", ActionEcho, "hello")
	cut := func(name, demands, message string, end func(*link)) *plan {
		return &plan{
			name: name, section: "12", demands: demands,
			steps: []Step{hello, talk("b"), handled(1), finish("a"), finish("b"), closed(), unary("c", ActionEcho, "late"), finish("c")},
			play: func(l *link) {
				l.openings(ActionEcho, ActionTalk)
				l.notify()
				l.quiet()
				end(l)
				for _, p := range l.over() {
					if p.Kind != packet.KindClose {
						l.failf("%v came after the close", p)
					}
				}
			},
			want: []Event{goneOn(), {Event: EventEnd, Call: "a", Status: "unavailable"}, failed("b", "unavailable"), {Event: EventClosed, Message: message}, failed("c", "unavailable")},
		}
	}
	return []*plan{
		{
			name: "drain", section: "12", demands: "no new calls after a drain; those that run are finished",
			steps: []Step{hello, talk("b"), handled(1), unary("c", ActionEcho, "late"), finish("c"), send("b", "1"), halfClose("b"), finish("a"), finish("b"), closed()},
			play: func(l *link) {
				calls := l.openings(ActionEcho, ActionTalk)
				a, b := calls[0], calls[1]
				l.send(&packet.Packet{Kind: packet.KindDrain, Reason: "going down"})
				l.notify()
				l.want(packet.KindMessage, b.CallID)
				l.want(packet.KindHalfClose, b.CallID)
				l.reply(a.CallID, "hello")
				l.done(b.CallID)
			},
			want: []Event{goneOn(), failed("c", "unavailable"), ended("a", "hello"), ended("b", ""), wereClosed()},
		},
		cut("close-with-reason", "calls fail with unavailable, the reason is told, and nothing more is sent", "maintenance at nine", func(l *link) {
			l.send(&packet.Packet{Kind: packet.KindClose, Reason: "maintenance at nine"})
			l.closeWrite()
		}),
		cut("close-without-reason", "a close need have no reason", "", func(l *link) {
			l.send(&packet.Packet{Kind: packet.KindClose})
			l.closeWrite()
		}),
		cut("end-of-stream", "the end of the bytes is a close without a reason", "", (*link).closeWrite),
		cut("end-within-a-packet", "the end of the bytes within a packet ends the connection as well", "", func(l *link) {
			text := packet.Append(l.form, nil, &packet.Packet{Kind: packet.KindOneWay, CallID: l.lane(), Action: ActionNote, Data: l.data("never whole")})
			l.write(text[:len(text)-5])
			l.closeWrite()
		}),
	}
}
