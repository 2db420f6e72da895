package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// served returns a case in which the runner calls the command, which works on
// afterwards.
func served(name, section, demands string, play func(*link), want ...Event) *plan {
	return &plan{
		name: name, section: section, demands: demands,
		steps: []Step{closed()},
		play:  func(l *link) { play(l); l.works(); l.awaitEvents(want) },
		want:  append(want, wereClosed()),
	}
}

func inForm(form *packet.Form, p *plan) *plan {
	p.form = form
	return p
}

func withLimits(limits Limits, p *plan) *plan {
	p.limits = limits
	return p
}

func servePlans() []*plan {
	return slices.Concat(servedCalls(), servedStreams(), refusedCalls(), wrongPackets())
}

func servedCalls() []*plan {
	text := large(1 << 20).String()
	cancelled := Event{Event: EventCancelled, Action: ActionWait}
	plans := []*plan{
		served("unary", "6", "a unary call is answered", (*link).works),
		served("unary-empty", "6", "a request without data is an empty message", func(l *link) {
			id := l.newID()
			l.rules.calls(id)
			l.send(&packet.Packet{Kind: packet.KindRequest, CallID: id, Action: ActionEcho, Token: l.token})
			l.wantText(l.want(packet.KindResponse, id), "")
		}),
		served("unary-special-characters", "5", "any text travels as it is, both ways", func(l *link) {
			id := l.call(ActionEcho, special)
			l.wantText(l.want(packet.KindResponse, id), special)
		}),
		served("unary-large", "8", "a reply of 1 MiB comes whole, and as credit allows", func(l *link) {
			id := l.newID()
			l.rules.calls(id)
			l.callLarge(id, ActionEcho, text)
			l.wantText(l.want(packet.KindResponse, id), text)
		}),
		served("concurrent", "7", "calls run at once: one that waits holds up no other", func(l *link) {
			waiting := l.waiting()
			for range 10 {
				l.works()
			}
			l.send(&packet.Packet{Kind: packet.KindCancel, CallID: waiting})
			l.quiet()
		}, cancelled),
		served("joined", "2", "ten requests in one write are all answered", func(l *link) {
			var requests []*packet.Packet
			ids := make(map[uint64]string)
			for i := range 10 {
				id := l.newID()
				l.rules.calls(id)
				ids[id] = fmt.Sprint(i)
				requests = append(requests, l.request(packet.KindRequest, id, ActionEcho, ids[id]))
			}
			l.send(requests...)
			for range 10 {
				p := l.next()
				if p.Kind != packet.KindResponse || ids[p.CallID] != l.text(p) {
					l.failf("%v came, with the text %q", p, l.text(p))
				}
			}
		}),
		served("one-way-in-order", "7", "one-way packets are handled in their order, one at a time", func(l *link) {
			var notes []*packet.Packet
			for i := range 100 {
				notes = append(notes, l.request(packet.KindOneWay, l.lane(), ActionNote, fmt.Sprint(i)))
			}
			l.send(notes...)
		}, hundredNotes()...),
		served("one-way-without-id", "7", "a one-way packet may have no id", func(l *link) {
			l.send(l.request(packet.KindOneWay, 0, ActionNote, "x"))
		}, noted("x")),
		served("one-way-by-request", "7", "a one-way action may be called by a request, and the response has no data", func(l *link) {
			id := l.call(ActionNote, "x")
			if p := l.want(packet.KindResponse, id); len(p.Data) > 0 && string(p.Data) != "{}" {
				l.failf("%v has data", p)
			}
		}, noted("x")),
		served("metadata", "11", "metadata reaches the handler, and that of the handler the caller", func(l *link) {
			id, pairs := l.newID(), [][2]string{{"a", "1"}, {"b", special}, {"a", "2"}}
			l.rules.calls(id)
			p := l.request(packet.KindRequest, id, ActionEcho, "x")
			p.Metadata = metadata(pairs)
			l.send(p)
			var back [][2]string
			for key, value := range l.want(packet.KindResponse, id).Metadata.All() {
				back = append(back, [2]string{key, value})
			}
			if !sameMetadata(pairs, back) {
				l.failf("the reply has the metadata %q and not %q", back, pairs)
			}
		}),
		served("numbers", "7", "an action number stands for the action from its definition on", func(l *link) {
			if l.theirs.GetMaxActionNumbers() == 0 {
				return
			}
			for _, action := range []string{ActionEcho, "", ""} {
				id := l.newID()
				l.rules.calls(id)
				p := l.request(packet.KindRequest, id, action, "x")
				p.ActionNumber = 1
				l.send(p)
				l.wantText(l.want(packet.KindResponse, id), "x")
			}
		}),
		served("cancel", "11", "a cancel ends the handler and is not answered", func(l *link) {
			l.send(&packet.Packet{Kind: packet.KindCancel, CallID: l.waiting()})
			l.quiet()
		}, cancelled),
		served("deadline", "11", "the handler ends when the caller's time is over", func(l *link) {
			id := l.newID()
			l.rules.calls(id)
			p := l.request(packet.KindRequest, id, ActionWait, "")
			p.Timeout = 200 * time.Millisecond
			l.send(p)
			l.want(packet.KindMessage, id)
			l.wantError(id, packetrpc.CodeDeadlineExceeded)
		}, cancelled),
		{
			name: "close-ends-handlers", section: "12", demands: "the handlers of the other side's calls are cancelled when it closes",
			steps: []Step{closed()}, want: []Event{cancelled, wereClosed()},
			play: func(l *link) { l.waiting() },
		},
		inForm(onlyJSON, served("without-id", "7", "requests without an id are answered without an id, in their order", func(l *link) {
			for i := range 5 {
				l.send(l.request(packet.KindRequest, 0, ActionEcho, fmt.Sprint(i)))
			}
			for i := range 5 {
				l.wantText(l.want(packet.KindResponse, 0), fmt.Sprint(i))
			}
		})),
	}
	for code := packetrpc.CodeCanceled; code <= packetrpc.CodeUnauthenticated; code += 5 {
		plans = append(plans, served("fail-"+code.String(), "11", "a handler's status and message reach the caller", func(l *link) {
			id := l.call(ActionFail, code.String())
			p := l.want(packet.KindError, id)
			if p.Status != code || p.Message != "as asked" {
				l.failf("%v has the status %v and the message %q", p, p.Status, p.Message)
			}
		}))
	}
	return plans
}

// waiting makes a call whose handler waits to be cancelled.
func (l *link) waiting() uint64 {
	id := l.call(ActionWait, "")
	l.want(packet.KindMessage, id)
	return id
}

func hundredNotes() (events []Event) {
	for i := range 100 {
		events = append(events, noted(fmt.Sprint(i)))
	}
	return events
}

// callLarge opens a call whose message may need fragments.
func (l *link) callLarge(id uint64, action, text string) {
	first := l.request(packet.KindRequest, id, action, text)
	if l.form == packet.JSON {
		l.send(first)
		return
	}
	data := first.Data
	first.MessageSize = uint64(len(data))
	first.Data, first.More = data[:64<<10], true
	l.send(first)
	spent := uint64(64<<10 + 32)
	for data = data[64<<10:]; len(data) > 0; {
		p := &packet.Packet{Kind: packet.KindRequest, CallID: id, Data: data[:min(64<<10, len(data))]}
		data = data[len(p.Data):]
		p.More = len(data) > 0
		if window := l.theirs.GetCallWindow(); window > 0 && spent >= window {
			l.awaitCredit(id, spent-window+1)
		}
		l.send(p)
		spent += uint64(len(p.Data) + 32)
	}
}

func servedStreams() []*plan {
	var plans []*plan
	for _, n := range []int{0, 1, 50} {
		plans = append(plans,
			served(fmt.Sprint("server-stream-", n), "6", fmt.Sprintf("a stream of %d replies is sent in its order, then its end", n), func(l *link) {
				id := l.call(ActionCount, fmt.Sprint(n))
				for i := range n {
					l.wantText(l.want(packet.KindMessage, id), fmt.Sprint(i+1))
				}
				l.want(packet.KindResponse, id)
			}),
			served(fmt.Sprint("client-stream-", n), "6", fmt.Sprintf("a stream of %d requests is received in its order, and then answered", n), func(l *link) {
				id, want := l.call(ActionJoin, ""), ""
				for i := range n {
					l.message(id, fmt.Sprint(i))
					want += fmt.Sprint(i)
				}
				l.send(&packet.Packet{Kind: packet.KindHalfClose, CallID: id})
				l.wantText(l.want(packet.KindResponse, id), want)
			}),
			served(fmt.Sprint("bidi-stream-", n), "6", fmt.Sprintf("streams of %d messages go both ways", n), func(l *link) {
				id := l.call(ActionTalk, "")
				for i := range n {
					l.message(id, fmt.Sprint(i))
					l.wantText(l.want(packet.KindMessage, id), fmt.Sprint(i))
				}
				l.send(&packet.Packet{Kind: packet.KindHalfClose, CallID: id})
				l.want(packet.KindResponse, id)
			}))
	}
	return append(plans,
		served("cancel-stream", "11", "a cancel ends the handler of a stream", func(l *link) {
			id := l.call(ActionTalk, "")
			l.message(id, "x")
			l.want(packet.KindMessage, id)
			l.send(&packet.Packet{Kind: packet.KindCancel, CallID: id})
			l.message(id, "late")
			l.quiet()
		}, Event{Event: EventCancelled, Action: ActionTalk}),
		&plan{
			name: "replies-within-credit", section: "8", demands: "a stream of replies never has more under way than its window and one packet", stingy: true,
			told:  narrow,
			steps: []Step{closed()}, want: []Event{wereClosed()},
			play: func(l *link) {
				id := l.call(ActionCount, "300") // costs at least 300 times 32 bytes
				for i := range 300 {
					p := l.want(packet.KindMessage, id)
					if i%10 == 9 {
						time.Sleep(time.Millisecond) // what takes no notice of credit shows itself
					}
					l.give(uint64(Cost(l.form, p)), id)
				}
				l.want(packet.KindResponse, id)
			},
		})
}

// refused is a call that the command refuses with a code.
func refused(name, demands string, code packetrpc.Code, request func(l *link) *packet.Packet) *plan {
	return served("refuse-"+name, "7", demands, func(l *link) {
		p := request(l)
		l.send(p)
		l.wantError(p.CallID, code)
	})
}

func refusedCalls() []*plan {
	changed := func(change func(l *link, p *packet.Packet)) func(*link) *packet.Packet {
		return func(l *link) *packet.Packet {
			p := l.request(packet.KindRequest, l.newID(), ActionEcho, "x")
			change(l, p)
			return p
		}
	}
	named := func(action string) func(*link) *packet.Packet {
		return changed(func(_ *link, p *packet.Packet) { p.Action = action })
	}
	wrongToken := refused("wrong-token", "a call without the session's token is refused", packetrpc.CodeUnauthenticated,
		changed(func(_ *link, p *packet.Packet) { p.Token = "another" }))
	noToken := refused("no-token", "a call without a token is refused", packetrpc.CodeUnauthenticated,
		changed(func(_ *link, p *packet.Packet) { p.Token = "" }))
	wrongToken.role, noToken.role = RoleServer, RoleServer
	return []*plan{
		refused("unknown-action", "an action that is not served is unimplemented", packetrpc.CodeUnimplemented, named("Nothing")),
		refused("one-way-unknown", "a one-way action that is not served is unimplemented, told for the lane", packetrpc.CodeUnimplemented,
			changed(func(l *link, p *packet.Packet) { p.Kind, p.CallID, p.Action = packet.KindOneWay, l.lane(), "Nothing" })),
		refused("one-way-of-unary", "an action that is not one-way cannot be called one-way", packetrpc.CodeUnimplemented,
			changed(func(l *link, p *packet.Packet) { p.Kind, p.CallID = packet.KindOneWay, l.lane() })),
		refused("no-action", "a request without an action is refused", packetrpc.CodeInvalidArgument, named("")),
		refused("long-action", "an action of more than 1,024 bytes is refused", packetrpc.CodeResourceExhausted, named(strings.Repeat("x", 1025))),
		refused("undefined-number", "a number that is not defined is refused", packetrpc.CodeInvalidArgument, numbered("", 1)),
		refused("number-beyond-the-limit", "a number beyond the limit is refused", packetrpc.CodeResourceExhausted,
			changed(func(l *link, p *packet.Packet) { p.ActionNumber = l.theirs.GetMaxActionNumbers() + 1 })),
		refused("wrong-parity", "a request with an id of the receiver's parity is refused", packetrpc.CodeInvalidArgument,
			changed(func(_ *link, p *packet.Packet) { p.CallID += 1001 })),
		refused("lane-as-id", "a request with the lane's id is refused", packetrpc.CodeInvalidArgument,
			changed(func(l *link, p *packet.Packet) { p.CallID = l.lane() })),
		refused("data-before-a-stream", "the request of a stream of requests has no data", packetrpc.CodeInvalidArgument,
			changed(func(_ *link, p *packet.Packet) { p.Action = ActionJoin })),
		refused("one-way-with-another-id", "a one-way packet bears its lane's id or none", packetrpc.CodeInvalidArgument,
			changed(func(_ *link, p *packet.Packet) { p.Kind, p.Action = packet.KindOneWay, ActionNote })),
		inForm(onlyBinary, refused("request-without-id", "in the binary form a request needs an id", packetrpc.CodeInvalidArgument,
			changed(func(_ *link, p *packet.Packet) { p.CallID = 0 }))),
		refused("undecodable-data", "data that is no message is refused", packetrpc.CodeInvalidArgument, changed(func(l *link, p *packet.Packet) {
			p.Data = []byte("\x0a\x20x")
			if l.form == packet.JSON {
				p.Data = []byte(`{"text":5}`)
			}
		})),
		withLimits(Limits{MaxMessageSize: 1000}, refused("message-too-large", "a message above the limit is refused", packetrpc.CodeResourceExhausted,
			changed(func(l *link, p *packet.Packet) { p.Data = l.data(large(2000).String()) }))),
		withLimits(Limits{MaxMessageSize: 1000}, refused("packet-too-large", "a packet above the message limit and 128 KiB is refused, and its rest is skipped", packetrpc.CodeResourceExhausted,
			changed(func(l *link, p *packet.Packet) { p.Data = l.data(large(400 << 10).String()) }))),
		withLimits(Limits{MaxOpenCalls: 2}, served("refuse-too-many-calls", "7", "calls beyond the limit of open calls are refused", func(l *link) {
			waiting := []uint64{l.waiting(), l.waiting()}
			l.wantError(l.call(ActionEcho, "x"), packetrpc.CodeResourceExhausted)
			for _, id := range waiting {
				l.send(&packet.Packet{Kind: packet.KindCancel, CallID: id})
			}
			l.untilAnswered()
		}, Event{Event: EventCancelled, Action: ActionWait}, Event{Event: EventCancelled, Action: ActionWait})),
		wrongToken,
		noToken,
	}
}

// untilAnswered calls again and again until a cancelled handler has made room.
func (l *link) untilAnswered() {
	for {
		id := l.call(ActionEcho, "x")
		if p := l.next(); p.Kind == packet.KindResponse && p.CallID == id {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func numbered(action string, number uint32) func(*link) *packet.Packet {
	return func(l *link) *packet.Packet {
		p := l.request(packet.KindRequest, l.newID(), action, "x")
		p.ActionNumber = number
		if l.theirs.GetMaxActionNumbers() == 0 {
			p.Action, p.ActionNumber = "", 0 // refused with the same code
		}
		return p
	}
}

// wrongPackets are what ends a call of the runner, and that call only.
func wrongPackets() []*plan {
	never := func(name, demands string, kind packet.Kind, code packetrpc.Code) *plan {
		return served("never-opened-"+name, "6.2", demands, func(l *link) {
			id := l.newID()
			l.send(&packet.Packet{Kind: kind, CallID: id, Data: l.data("x")})
			l.wantError(id, code)
		})
	}
	dropped := func(name string, kind packet.Kind) *plan {
		return served("never-opened-"+name, "6.2", "is dropped", func(l *link) {
			l.send(&packet.Packet{Kind: kind, CallID: l.newID(), Credit: 1})
			l.quiet()
		})
	}
	waiting := func(name, demands string, code packetrpc.Code, wrong func(l *link, id uint64) []byte) *plan {
		return served("open-"+name, "6.2", demands, func(l *link) {
			id := l.waiting()
			l.write(wrong(l, id))
			l.wantError(id, code)
		}, Event{Event: EventCancelled, Action: ActionWait})
	}
	packetOf := func(kind packet.Kind, action string) func(l *link, id uint64) []byte {
		return func(l *link, id uint64) []byte {
			return packet.Append(l.form, nil, &packet.Packet{Kind: kind, CallID: id, Action: action, Token: l.token, Data: l.data("x")})
		}
	}
	talking := func(name, demands string, code packetrpc.Code, wrong func(l *link, id uint64) []byte) *plan {
		return served("stream-"+name, "6.2", demands, func(l *link) {
			id := l.call(ActionTalk, "")
			l.message(id, "x")
			l.want(packet.KindMessage, id)
			l.write(wrong(l, id))
			l.wantError(id, code)
		}, Event{Event: EventCancelled, Action: ActionTalk})
	}
	malformed := func(l *link, id uint64) []byte {
		return l.widened(&packet.Packet{Kind: packet.KindMessage, CallID: id, Data: l.data("x")}, []byte("\x62\x02\xff\xfe"), `"message":5`)
	}
	return []*plan{
		never("message", "a message of a call that was never opened is refused", packet.KindMessage, packetrpc.CodeFailedPrecondition),
		never("half-close", "a half-close of a call that was never opened is refused", packet.KindHalfClose, packetrpc.CodeFailedPrecondition),
		never("unknown-kind", "a packet of an unknown kind is refused", unknownKind, packetrpc.CodeUnimplemented),
		dropped("cancel", packet.KindCancel),
		dropped("credit", packet.KindCredit),
		dropped("response", packet.KindResponse),
		waiting("request-again", "a second request with the id of an open call ends that call", packetrpc.CodeInvalidArgument, packetOf(packet.KindRequest, ActionEcho)),
		waiting("message", "a message of a call that has one request ends that call", packetrpc.CodeInvalidArgument, packetOf(packet.KindMessage, "")),
		waiting("half-close", "a half-close of a call that has one request ends that call", packetrpc.CodeInvalidArgument, packetOf(packet.KindHalfClose, "")),
		waiting("unknown-kind", "a packet of an unknown kind ends its call", packetrpc.CodeUnimplemented, packetOf(unknownKind, "")),
		waiting("malformed", "a malformed packet ends its call", packetrpc.CodeInvalidArgument, malformed),
		talking("unknown-kind", "a packet of an unknown kind ends its stream", packetrpc.CodeUnimplemented, packetOf(unknownKind, "")),
		talking("malformed", "a malformed packet ends its stream", packetrpc.CodeInvalidArgument, malformed),
		talking("one-way", "a one-way packet with the id of a stream ends it", packetrpc.CodeInvalidArgument, packetOf(packet.KindOneWay, ActionNote)),
		served("late-cancel", "6.2", "a cancel for a call that has ended is dropped", func(l *link) {
			id := l.call(ActionEcho, "x")
			l.want(packet.KindResponse, id)
			for _, kind := range []packet.Kind{packet.KindCancel, packet.KindMessage, packet.KindHalfClose, packet.KindCredit} {
				l.send(&packet.Packet{Kind: kind, CallID: id})
			}
			l.quiet()
		}),
		served("ping-while-a-handler-waits", "12", "a ping is answered without waiting for handlers", func(l *link) {
			id := l.waiting()
			l.quiet()
			l.send(&packet.Packet{Kind: packet.KindCancel, CallID: id})
			l.quiet()
		}, Event{Event: EventCancelled, Action: ActionWait}),
		served("ping-too-large", "12", "a ping with more than 1,024 bytes is refused", func(l *link) {
			l.send(&packet.Packet{Kind: packet.KindPing, CallID: 0, Data: l.data(strings.Repeat("x", 1100))})
			l.wantError(0, packetrpc.CodeResourceExhausted)
		}),
	}
}
