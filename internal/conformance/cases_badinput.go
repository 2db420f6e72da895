package conformance

import (
	"fmt"
	"slices"
	"strings"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// wronged returns a case in which a call of the command gets a wrong packet: that
// call fails and is cancelled, and another one ends well.
func wronged(name, section, demands string, form *packet.Form, wrong func(l *link, id uint64) []byte) *plan {
	return &plan{
		name: name, section: section, demands: demands, form: form,
		steps: then(unary("a", ActionEcho, "a"), unary("b", ActionEcho, "b"), finish("a"), finish("b")),
		play: func(l *link) {
			calls := []*packet.Packet{l.opening(ActionEcho), l.opening(ActionEcho)}
			if l.text(calls[0]) != "a" {
				slices.Reverse(calls)
			}
			l.write(wrong(l, calls[0].CallID))
			l.want(packet.KindCancel, calls[0].CallID)
			l.reply(calls[1].CallID, "b")
			l.echo("still there")
		},
		want: thenEnded(failed("a", anyStatus), ended("b", "b")),
	}
}

// wrongly is wronged with a well-formed packet that is not in its place.
func wrongly(name, demands string, kind packet.Kind, action string) *plan {
	return wronged(name, "6.3", demands, nil, func(l *link, id uint64) []byte {
		return packet.Append(l.form, nil, &packet.Packet{Kind: kind, CallID: id, Action: action, Data: l.data("x")})
	})
}

// wrongJSON is wronged with a text in the JSON form, with the id in it.
func wrongJSON(name, demands, text string) *plan {
	return wronged("json-"+name, "5", demands, onlyJSON, func(_ *link, id uint64) []byte { return fmt.Appendf(nil, text, id) })
}

// wrongBinary is wronged with a response in the binary form that has more fields.
func wrongBinary(name, demands, fields string) *plan {
	return wronged("binary-"+name, "4", demands, onlyBinary, func(l *link, id uint64) []byte {
		return l.widened(&packet.Packet{Kind: packet.KindResponse, CallID: id}, []byte(fields), "")
	})
}

// undecodable is a reply whose data is no message: the call fails, and as it has
// ended there is nothing to cancel.
func undecodable(name, demands string, form *packet.Form, data string) *plan {
	return &plan{
		name: name, section: "7", demands: demands, form: form,
		steps: then(unary("a", ActionEcho, "a"), finish("a")), want: thenEnded(failed("a", anyStatus)),
		play: func(l *link) {
			l.send(&packet.Packet{Kind: packet.KindResponse, CallID: l.opening(ActionEcho).CallID, Data: []byte(data)})
			l.echo("still there")
		},
	}
}

// unsplittable is what ends the connection, with a close that says why.
func unsplittable(name, demands string, form *packet.Form, garbage string) *plan {
	return &plan{
		name: name, section: "2", demands: demands, form: form,
		steps: []Step{unary("a", ActionEcho, "a"), finish("a"), closed()},
		play: func(l *link) {
			l.opening(ActionEcho)
			l.write([]byte(garbage))
			before := l.over()
			if len(before) == 0 || before[len(before)-1].Kind != packet.KindClose || before[len(before)-1].Reason == "" {
				l.failf("the connection did not end with a close that has a reason")
			}
		},
		want: []Event{failed("a", anyStatus), wereClosed()},
	}
}

func badInputPlans() []*plan {
	return slices.Concat([]*plan{
		wrongly("unknown-kind", "a packet of an unknown kind ends its call only", unknownKind, ""),
		wrongly("message-for-a-unary-call", "a message of a call that has one reply ends that call only", packet.KindMessage, ""),
		wrongly("half-close-by-the-callee", "a half-close by the callee ends that call only", packet.KindHalfClose, ""),
		wrongly("request-with-the-callers-id", "a request with the id of the receiver's call ends that call only", packet.KindRequest, ActionEcho),
		wrongly("one-way-with-the-callers-id", "a one-way packet with the id of the receiver's call ends that call only", packet.KindOneWay, ActionNote),
		wrongJSON("duplicate-key", "a key that occurs twice makes the packet malformed", `{"id":%d,"kind":"response","data":{"text":"x"},"kind":"response"}`),
		wrongJSON("wrong-type", "a value of a wrong type makes the packet malformed", `{"id":%d,"kind":"response","message":{"no":"text"},"data":{}}`),
		wrongJSON("negative-timeout", "a negative number of seconds makes the packet malformed", `{"id":%d,"kind":"response","retry-after":-1,"data":{}}`),
		wrongJSON("more", "there are no fragments in the JSON form", `{"id":%d,"kind":"response","more":true,"data":{"text":"x"}}`),
		wrongJSON("metadata-key", "a metadata key with other characters makes the packet malformed", `{"id":%d,"kind":"response","metadata":{"No Key":"x"},"data":{}}`),
		wrongJSON("duplicate-metadata", "a metadata key that occurs twice makes the packet malformed", `{"id":%d,"kind":"response","metadata":{"k":"x","k":"y"},"data":{}}`),
		wrongJSON("fraction", "a whole number with a fraction makes the packet malformed", `{"id":%d,"kind":"response","credit":1.5,"data":{}}`),
		wrongJSON("detail", "details that are no base64 make the packet malformed", `{"id":%d,"kind":"error","status":"aborted","details":[{"type":"a.B","value":"***"}]}`),
		wrongBinary("text", "a text that is not UTF-8 makes the packet malformed", "\x62\x02\xff\xfe"),
		wrongBinary("cut-off", "a field that is cut off makes the packet malformed", "\x62\x20x"),
		wrongBinary("metadata-key", "a metadata key with other characters makes the packet malformed", "\x52\x08\x0a\x03No!\x12\x01x"),
		wrongBinary("created", "a time of creation of 2^63 makes the packet malformed", "\x19\x00\x00\x00\x00\x00\x00\x00\x80"),
		undecodable("json-data-of-a-wrong-type", "data that is no message fails its call only", onlyJSON, `"a text"`),
		undecodable("json-field-of-a-wrong-type", "a field of a wrong type fails its call only", onlyJSON, `{"text":{"no":"text"}}`),
		undecodable("binary-data-of-no-message", "data that is no message fails its call only", onlyBinary, "\x0a\x20x"),
		undecodable("binary-text-of-no-utf-8", "a text that is not UTF-8 fails its call only", onlyBinary, "\x0a\x02\xff\xfe"),
		unsplittable("length-too-large", "a length above 2^53 ends the connection", onlyBinary, "\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
		unsplittable("length-no-varint", "a length that is no varint ends the connection", onlyBinary, strings.Repeat("\xff", 11)),
		unsplittable("words", "anything but white space and { between packets ends the connection", onlyJSON, "hello\n"),
		unsplittable("array", "an array between packets ends the connection", onlyJSON, "[1,2]\n"),
		unsplittable("control-character", "a control character in a string ends the connection", onlyJSON, "{\"kind\":\"pi\nng\"}\n"),
		unsplittable("no-ascii", "a byte outside of a string that is not ASCII ends the connection", onlyJSON, "{\"kind\":é}\n"),
		unsplittable("wrong-bracket", "a bracket that does not close what was opened ends the connection", onlyJSON, `{"data":[1}]`),
		unsplittable("deep-nesting", "nesting beyond 512 ends the connection", onlyJSON, `{"data":`+strings.Repeat("[", 600)),
	}, badSizes(), badStreams())
}

// badSizes are messages beyond what the command has told.
func badSizes() []*plan {
	told := Limits{MaxMessageSize: 1000}
	tooLarge := func(name, demands string, form *packet.Form, send func(l *link, id uint64)) *plan {
		return &plan{
			name: name, section: "6.1", demands: demands, form: form, limits: told,
			steps: then(count("a", "1"), finish("a")), want: thenEnded(failed("a", anyStatus)),
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				send(l, id)
				l.want(packet.KindCancel, id)
				l.echo("still there")
			},
		}
	}
	return []*plan{
		tooLarge("message-too-large", "a message above the limit that was told ends its call only", nil,
			func(l *link, id uint64) { l.message(id, large(2000).String()) }),
		tooLarge("packet-too-large", "a packet above the message limit and 128 KiB ends its call only, and its rest is skipped", nil,
			func(l *link, id uint64) { l.message(id, large(400<<10).String()) }),
		tooLarge("fragments-too-large", "fragments that come to more than the limit end their call only", onlyBinary,
			func(l *link, id uint64) { l.fragments(packet.KindMessage, id, large(3000).String(), 500, 0, false) }),
		tooLarge("size-too-large", "a message-size above the limit ends its call at once", onlyBinary, func(l *link, id uint64) {
			l.send(&packet.Packet{Kind: packet.KindMessage, CallID: id, More: true, MessageSize: 5000, Data: []byte("\x0a\x64x")})
		}),
		{
			name: "reply-too-large", section: "6.1", demands: "a reply above the limit that was told fails its call only", limits: told,
			steps: then(unary("a", ActionEcho, "a"), finish("a")), want: thenEnded(failed("a", anyStatus)),
			play: func(l *link) {
				l.reply(l.opening(ActionEcho).CallID, large(2000).String())
				l.untilOpened("still there")
			},
		},
		{
			name: "packets-without-credit", loose: true, section: "8", demands: "a message that is sent without credit ends its call only", limits: Limits{CallWindow: 1000, ConnectionWindow: 1 << 20},
			steps: then(count("a", "9"), unary("b", ActionEcho, "wait"), finish("b"), finish("a")),
			play: func(l *link) {
				id, b := l.opening(ActionCount).CallID, l.opening(ActionEcho)
				for range 9 {
					l.message(id, block)
				}
				l.want(packet.KindCancel, id)
				l.reply(b.CallID, "wait")
				l.echo("still there")
			},
			want: thenEnded(failed("a", anyStatus), ended("b", "wait")),
		},
	}
}

// badStreams are streams whose callee does them wrong.
func badStreams() []*plan {
	wrong := func(name, section, demands string, form *packet.Form, packets func(l *link, id uint64) []*packet.Packet, want ...Event) *plan {
		return &plan{
			name: name, section: section, demands: demands, form: form,
			steps: then(count("a", "3"), finish("a")), want: thenEnded(want...),
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				l.send(packets(l, id)...)
				l.untilOpened("still there")
			},
		}
	}
	return []*plan{
		wrong("end-within-a-message", "8", "an end between the fragments of a message fails the call", onlyBinary, func(l *link, id uint64) []*packet.Packet {
			return []*packet.Packet{{Kind: packet.KindMessage, CallID: id, Data: []byte("\x0a\x64x"), More: true}, {Kind: packet.KindResponse, CallID: id}}
		}, failed("a", anyStatus)),
		wrong("undecodable-message", "7", "a message of a stream that cannot be decoded fails the call", nil, func(l *link, id uint64) []*packet.Packet {
			data := []byte("\x0a\x20x")
			if l.form == packet.JSON {
				data = []byte(`{"text":5}`)
			}
			return []*packet.Packet{{Kind: packet.KindMessage, CallID: id, Data: l.data("1")}, {Kind: packet.KindMessage, CallID: id, Data: data}}
		}, got("a", "1"), failed("a", anyStatus)),
		{
			name: "unknown-kind-in-a-stream", section: "6.3", demands: "a packet of an unknown kind for a stream ends that stream; the receiver cancels it",
			steps: then(talk("a"), send("a", "1"), receive("a", 1), finish("a")),
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				l.want(packet.KindMessage, id)
				l.message(id, "1")
				l.send(&packet.Packet{Kind: unknownKind, CallID: id})
				l.want(packet.KindCancel, id)
				l.echo("still there")
			},
			want: thenEnded(got("a", "1"), failed("a", anyStatus)),
		},
		{
			name: "message-above-own-limit", section: "6.1", demands: "a side without a limit of its own takes messages of up to 4 MiB", told: func(*packetrpcv1.Limits) {},
			steps: []Step{count("a", "1"), finish("a")}, want: []Event{got("a", large(3<<20).String()), ended("a", "")},
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				l.answerLarge(packet.KindMessage, id, large(3<<20).String())
				l.done(id)
			},
		},
	}
}
