package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const special = "é ✓ 😀 \u2028 \\ \" / \t\r\n \u0001 \x7f <&>"

func callPlans() []*plan {
	plans := append(unarySizes(), callsOfMetadata()...)
	plans = append(plans, callsOfTime()...)
	return append(plans, []*plan{
		{
			name: "ids", section: "7", demands: "the ids of calls are of the side's parity, from 3 or 4 on, and never used twice",
			steps: slices.Concat(echoes("a"), echoes("b"), echoes("c"), echoes("d")),
			play: func(l *link) {
				for _, text := range []string{"a", "b", "c", "d"} {
					l.echo(text)
				}
			},
			want: []Event{ended("a", "a"), ended("b", "b"), ended("c", "c"), ended("d", "d")},
		},
		{
			name: "token", section: "7", demands: "each packet by which the dialling side opens a call bears the token",
			steps: then(oneWay("a", "first"), count("b", "0"), finish("b"), join("c"), halfClose("c"), finish("c")),
			play: func(l *link) {
				l.opening(ActionNote)
				l.done(l.opening(ActionCount).CallID)
				id := l.opening(ActionJoin).CallID
				l.want(packet.KindHalfClose, id)
				l.reply(id, "")
				l.echo("still there")
			},
			want: thenEnded(ended("b", ""), ended("c", "")),
		},
		numbers("numbers", "an action number is defined before it is used, and stands for one action", 16),
		numbers("few-numbers", "no action number is beyond the limit that the other side told", 1),
		numbers("no-numbers", "no action number is used where the other side told no limit", 0),
		{
			name: "concurrent-reverse", section: "7", demands: "ten calls at once, answered in reverse, each get their own reply",
			steps: tenAtOnce(), want: tenEnds(),
			play: func(l *link) {
				var calls []*packet.Packet
				for range 10 {
					calls = append(calls, l.opening(ActionEcho))
				}
				slices.Reverse(calls)
				for _, p := range calls {
					l.reply(p.CallID, l.text(p))
				}
			},
		},
		{
			name: "concurrent-joined", section: "2", demands: "the replies to ten calls in one write each reach their call",
			steps: tenAtOnce(), want: tenEnds(),
			play: func(l *link) {
				var replies []*packet.Packet
				for range 10 {
					p := l.opening(ActionEcho)
					replies = append(replies, &packet.Packet{Kind: packet.KindResponse, CallID: p.CallID, Data: p.Data})
				}
				l.send(replies...)
			},
		},
		{
			name: "one-way", section: "7", demands: "one-way packets bear their sender's lane or no id, and keep their order",
			steps: then(oneWay("a", "0"), oneWay("b", "1"), oneWay("c", "2"), oneWay("d", "3"), oneWay("e", "4")),
			play: func(l *link) {
				for i := range 5 {
					p := l.opening(ActionNote)
					if p.Kind != packet.KindOneWay {
						l.failf("%v is to be a one-way packet", p)
					}
					l.wantText(p, fmt.Sprint(i))
				}
				l.echo("still there")
			},
			want: thenEnded(),
		},
		{
			name: "one-way-large", section: "8", demands: "a one-way message of 200 KiB arrives whole",
			steps: then(Step{Do: DoCall, Call: "a", Type: "one-way", Action: ActionNote, Message: large(200 << 10)}),
			play: func(l *link) {
				l.wantText(l.opening(ActionNote), large(200<<10).String())
				l.echo("still there")
			},
			want: thenEnded(),
		},
		{
			name: "special-characters", section: "5", demands: "any text travels as it is, both ways",
			steps: []Step{unary("a", ActionEcho, special), finish("a")},
			play:  func(l *link) { l.echo(special) },
			want:  []Event{ended("a", special)},
		},
		replied("unknown-fields-in-data", "3", "fields and keys of the reply's message that are not known are ignored", func(l *link, id uint64) []byte {
			p := &packet.Packet{Kind: packet.KindResponse, CallID: id, Data: append(l.data("yes"), unknownField...)}
			if l.form == packet.JSON {
				p.Data = []byte(`{"more":[{}],"text":"yes","other":null}`)
			}
			return packet.Append(l.form, nil, p)
		}, "yes"),
		replied("unknown-fields-in-packet", "3", "fields and keys of a packet that are not known are ignored", func(l *link, id uint64) []byte {
			return l.widened(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: l.data("yes")}, []byte(unknownField), `"more-to-come":{"id":7}`)
		}, "yes"),
		replied("reply-without-data", "5", "a reply without data is an empty message", func(l *link, id uint64) []byte {
			if l.form == packet.JSON {
				return fmt.Appendf(nil, "{\"id\":%d,\"kind\":\"response\"}\n", id)
			}
			return packet.Append(l.form, nil, &packet.Packet{Kind: packet.KindResponse, CallID: id})
		}, ""),
		inJSON("null-data", "null for data is an empty message", `{"id":%d,"kind":"response","data":null}`, ""),
		inJSON("numbers-with-fraction", "a whole number may be written as 3.0", `{"id":%d.0,"kind":"response","data":{"text":"yes"}}`, "yes"),
		inJSON("numbers-with-exponent", "a whole number may be written as 3e0", `{"id":%de0,"kind":"response","data":{"text":"yes"}}`, "yes"),
		inJSON("escapes", "keys and texts may be escaped", `{"\u0069d":%d,"k\u0069nd":"respons\u0065","data":{"text":"\u0079\u0065\u0073 \ud83d\ude00"}}`, "yes 😀"),
		inJSON("any-order", "keys may come in any order", `{"data":{"text":"yes"},"packet-created":1712345678.9,"kind":"response","id":%d}`, "yes"),
		{
			name: "fields-in-any-order", section: "4", form: onlyBinary, demands: "fields may come in any order, the last of two counts, other wire types are ignored",
			steps: []Step{unary("a", ActionEcho, "hello"), finish("a")}, want: []Event{ended("a", "yes")},
			play: func(l *link) {
				id := l.opening(ActionEcho).CallID
				body := fmt.Appendf(nil, "\x12\x02no\x12\x05%s\x30%s\x28\x05\x32\x01x", l.data("yes"), varint(id))
				l.write(framed(body))
			},
		},
	}...)
}

// tenAtOnce are ten unary calls that are under way together.
func tenAtOnce() (steps []Step) {
	for i := range 10 {
		steps = append(steps, unary(fmt.Sprint("call", i), ActionEcho, fmt.Sprint("text ", i)))
	}
	for i := range 10 {
		steps = append(steps, finish(fmt.Sprint("call", i)))
	}
	return steps
}

func tenEnds() (events []Event) {
	for i := range 10 {
		events = append(events, ended(fmt.Sprint("call", i), fmt.Sprint("text ", i)))
	}
	return events
}

// echoes is a call whose name is its text.
func echoes(call string) []Step { return []Step{unary(call, ActionEcho, call), finish(call)} }

func unarySizes() (plans []*plan) {
	for _, size := range []struct {
		name  string
		bytes int
	}{
		{"empty", 0}, {"1-byte", 1}, {"1-KiB", 1 << 10}, {"64-KiB-less-1", 64<<10 - 1}, {"64-KiB", 64 << 10}, {"64-KiB-and-1", 64<<10 + 1},
		{"80-KiB", 80 << 10}, {"128-KiB", 128 << 10}, {"1-MiB", 1 << 20},
	} {
		message := large(size.bytes)
		if size.bytes == 0 {
			message = Message{}
		}
		text := message.String()
		plans = append(plans, &plan{
			name: "unary-" + size.name, section: "8", demands: fmt.Sprintf("a text of %d bytes arrives whole, both ways", size.bytes),
			steps: []Step{{Do: DoCall, Call: "a", Type: "unary", Action: ActionEcho, Message: message}, finish("a")},
			play: func(l *link) {
				p := l.opening(ActionEcho)
				l.wantText(p, text)
				l.answerLarge(packet.KindResponse, p.CallID, text)
			},
			want: []Event{ended("a", text)},
		})
	}
	return plans
}

// answerLarge sends a message as it is to be sent: in the binary form in fragments,
// and as the command gives credit.
func (l *link) answerLarge(kind packet.Kind, id uint64, text string) {
	data := l.data(text)
	p := &packet.Packet{Kind: kind, CallID: id}
	if l.form == packet.Binary && len(data) > 80<<10 {
		p.MessageSize = uint64(len(data))
	}
	spent := uint64(0)
	for {
		p.Data, p.More = data, l.form == packet.Binary && len(data) > 80<<10
		if p.More {
			p.Data = data[:64<<10]
		}
		data = data[len(p.Data):]
		if window := l.theirs.GetCallWindow(); window > 0 && spent >= window {
			l.awaitCredit(id, spent-window+1)
		}
		if window := l.theirs.GetConnectionWindow(); window > 0 && spent >= window {
			l.awaitCredit(0, spent-window+1)
		}
		l.send(p)
		spent += uint64(Cost(l.form, p))
		if !p.More {
			return
		}
		p = &packet.Packet{Kind: kind, CallID: id}
	}
}

// numbers are calls of four actions, twice each, under a limit of action numbers.
func numbers(name, demands string, limit uint32) *plan {
	one := func(suffix string) []Step {
		return []Step{
			unary("a"+suffix, ActionEcho, "a"), finish("a" + suffix), oneWay("b"+suffix, "b"),
			count("c"+suffix, "0"), finish("c" + suffix), talk("d" + suffix), halfClose("d" + suffix), finish("d" + suffix),
		}
	}
	once := func(l *link) {
		l.echo("a")
		l.opening(ActionNote)
		l.done(l.opening(ActionCount).CallID)
		id := l.opening(ActionTalk).CallID
		l.want(packet.KindHalfClose, id)
		l.done(id)
	}
	return &plan{
		name: name, section: "7", demands: demands,
		told:  func(limits *packetrpcv1.Limits) { limits.MaxActionNumbers = limit },
		steps: append(one("1"), one("2")...),
		play:  func(l *link) { once(l); once(l) },
		want:  []Event{ended("a1", "a"), ended("c1", ""), ended("d1", ""), ended("a2", "a"), ended("c2", ""), ended("d2", "")},
	}
}

// replied returns a case of a unary call that is answered by the given bytes.
func replied(name, section, demands string, answer func(l *link, id uint64) []byte, text string) *plan {
	return &plan{
		name: name, section: section, demands: demands,
		steps: then(unary("a", ActionEcho, "hello"), finish("a")),
		play: func(l *link) {
			l.write(answer(l, l.opening(ActionEcho).CallID))
			l.echo("still there")
		},
		want: thenEnded(ended("a", text)),
	}
}

// inJSON is replied in the JSON form, by a text with the id in it.
func inJSON(name, demands, answer, text string) *plan {
	p := replied("json-"+name, "5", demands, func(_ *link, id uint64) []byte { return fmt.Appendf(nil, answer+"\n", id) }, text)
	p.form = onlyJSON
	return p
}

func callsOfMetadata() []*plan {
	pairs := [][2]string{{"colour", "red"}, {"n-1_x.y", special}, {"colour", "green"}, {"empty", ""}, {"colour", "blue"}}
	call := unary("a", ActionEcho, "hello")
	call.Metadata = pairs
	answered := func(name, demands string, answer packet.Packet, want Event) *plan {
		want.Metadata = pairs
		return &plan{
			name: name, section: "11", demands: demands,
			steps: []Step{unary("a", ActionEcho, "hello"), finish("a")}, want: []Event{want},
			play: func(l *link) {
				answer := answer
				answer.CallID, answer.Metadata = l.opening(ActionEcho).CallID, metadata(pairs)
				if answer.Kind == packet.KindResponse {
					answer.Data = l.data("yes")
				}
				l.send(&answer)
			},
		}
	}
	return []*plan{
		{
			name: "metadata-out", section: "11", demands: "metadata travels on the packet that opens the call; the values of a key keep their order",
			steps: []Step{call, finish("a")}, want: []Event{ended("a", "hello")},
			play: func(l *link) {
				p := l.opening(ActionEcho)
				var got [][2]string
				for key, value := range p.Metadata.All() {
					got = append(got, [2]string{key, value})
				}
				if !sameMetadata(pairs, got) {
					l.failf("%v has the metadata %q and not %q", p, got, pairs)
				}
				l.reply(p.CallID, "hello")
			},
		},
		answered("metadata-of-a-reply", "metadata of the reply reaches the caller", packet.Packet{Kind: packet.KindResponse}, ended("a", "yes")),
		answered("metadata-of-an-error", "metadata of an error reaches the caller",
			packet.Packet{Kind: packet.KindError, Status: packetrpc.CodeAborted, Message: "no"}, failed("a", "aborted")),
	}
}

func metadata(pairs [][2]string) (m packetrpc.Metadata) {
	for _, pair := range pairs {
		m.Add(pair[0], pair[1])
	}
	return m
}

func callsOfTime() []*plan {
	call := unary("a", ActionEcho, "hello")
	return []*plan{
		{
			name: "timeout-told", section: "11", demands: "the opening packet says how long the caller waits",
			steps: []Step{timed(call, 60), finish("a")}, want: []Event{ended("a", "hello")},
			play: func(l *link) {
				p := l.opening(ActionEcho)
				if p.Timeout <= 30*time.Second || p.Timeout > time.Minute {
					l.failf("%v has the timeout %v and not nearly 1 m", p, p.Timeout)
				}
				l.reply(p.CallID, "hello")
			},
		},
		{
			name: "no-timeout", section: "11", demands: "a caller that waits for ever tells no timeout",
			steps: []Step{unary("a", ActionEcho, "hello"), finish("a")}, want: []Event{ended("a", "hello")},
			play: func(l *link) {
				p := l.opening(ActionEcho)
				if p.Timeout != 0 {
					l.failf("%v has the timeout %v", p, p.Timeout)
				}
				l.reply(p.CallID, "hello")
			},
		},
		{
			name: "deadline", section: "11", demands: "when its time is over the caller ends the call by itself and sends cancel",
			steps: then(timed(call, 0.2), finish("a")), want: thenEnded(failed("a", "deadline_exceeded")),
			play: func(l *link) {
				id := l.opening(ActionEcho).CallID
				l.want(packet.KindCancel, id)
				l.reply(id, "too late")
				l.echo("still there")
			},
		},
		{
			name: "cancel", section: "11", demands: "a call that is cancelled sends cancel, and what still comes for it is dropped",
			steps: then(unary("a", ActionEcho, "hello"), handled(1), cancel("a"), finish("a")),
			play: func(l *link) {
				id := l.opening(ActionEcho).CallID
				l.notify()
				l.want(packet.KindCancel, id)
				l.reply(id, "too late")
				l.fail(id, packetrpc.CodeInternal, "too late")
				l.echo("still there")
			},
			want: thenEnded(goneOn(), failed("a", "canceled")),
		},
	}
}

// varint returns a number as protobuf writes it.
func varint(n uint64) string {
	var text strings.Builder
	for ; n >= 0x80; n >>= 7 {
		text.WriteByte(byte(n) | 0x80)
	}
	text.WriteByte(byte(n))
	return text.String()
}
