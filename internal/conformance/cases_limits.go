package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// block is a text of which a packet costs between 400 and 500 bytes in either form.
var block = strings.Repeat("block of text ", 28)

func limitPlans() []*plan {
	return slices.Concat(sizeLimits(), windowLimits(), fragmentLimits(), givenCredit(), []*plan{{
		name: "open-calls", section: "9", demands: "calls beyond the other side's limit of open calls wait",
		told:  func(limits *packetrpcv1.Limits) { limits.MaxOpenCalls = 2 },
		steps: tenAtOnce(), want: tenEnds(),
		play: func(l *link) {
			open := []*packet.Packet{l.opening(ActionEcho), l.opening(ActionEcho)}
			for answered := range 10 {
				l.quietFor(10 * time.Millisecond)
				l.reply(open[0].CallID, l.text(open[0]))
				open = open[1:]
				if answered < 8 {
					open = append(open, l.opening(ActionEcho))
				}
			}
		},
	}})
}

// quietFor is quiet for some time: what wrongly does not wait needs a moment to show
// it.
func (l *link) quietFor(pause time.Duration) {
	time.Sleep(pause)
	l.quiet()
}

func sizeLimits() []*plan {
	small := func(limits *packetrpcv1.Limits) { limits.MaxMessageSize = 1000 }
	huge := Step{Do: DoCall, Call: "a", Type: "unary", Action: ActionEcho, Message: large(2000)}
	note := Step{Do: DoCall, Call: "a", Type: "one-way", Action: ActionNote, Message: large(2000)}
	fits := large(900)
	onlyLast := func(l *link) {
		for _, p := range l.untilOpened("still there") {
			if p.Kind != packet.KindCancel { // of no use, and dropped
				l.failf("%v came, and nothing was to be sent", p)
			}
		}
	}
	return []*plan{
		{
			name: "request-too-large", section: "9", demands: "a request above the other side's limit fails at its sender with resource_exhausted, and is not sent",
			told: small, steps: then(huge, finish("a")), play: onlyLast, want: thenEnded(failed("a", "resource_exhausted")),
		},
		{
			name: "one-way-too-large", section: "9", demands: "a one-way message above the limit fails at its sender, and is not sent",
			told: small, steps: then(note), play: onlyLast, want: thenEnded(failed("a", "resource_exhausted")),
		},
		{
			name: "message-too-large", section: "9", demands: "a message of a stream above the limit is refused by its sender, and is not sent",
			told: small, steps: then(talk("a"), sendLarge("a", 2000), cancel("a"), finish("a")),
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				l.want(packet.KindCancel, id)
				l.echo("still there")
			},
			want: thenEnded(Event{Event: EventUnsent, Call: "a", Status: "resource_exhausted"}, failed("a", anyStatus)),
		},
		{
			name: "request-that-fits", section: "9", demands: "a request below the limit is sent",
			told:  small,
			steps: []Step{{Do: DoCall, Call: "a", Type: "unary", Action: ActionEcho, Message: fits}, finish("a")},
			play:  func(l *link) { l.echo(fits.String()) }, want: []Event{ended("a", fits.String())},
		},
		{
			name: "4-MiB-without-limit", section: "9", demands: "a side that tells no limit takes 4 MiB and not more",
			told:  func(limits *packetrpcv1.Limits) { limits.MaxMessageSize = 0 },
			steps: then(Step{Do: DoCall, Call: "a", Type: "unary", Action: ActionEcho, Message: large(4<<20 + 100)}, finish("a")),
			play:  onlyLast, want: thenEnded(failed("a", "resource_exhausted")),
		},
	}
}

func windowLimits() []*plan {

	narrowConnection := func(limits *packetrpcv1.Limits) { limits.ConnectionWindow = 1000 }
	messages := six(func(int) Step { return send("a", block) })
	notes := six(func(i int) Step { return oneWay(fmt.Sprint("note", i), block) })
	// metered takes packets while credit lasts, and gives it in portions.
	metered := func(l *link, ids ...uint64) {
		for taken, granted := 0, uint64(0); taken < 6; taken++ {
			if p := l.next(); p.Kind != packet.KindMessage && p.Kind != packet.KindOneWay && p.Kind != packet.KindRequest {
				l.failf("%v came in place of what was to be sent", p)
			}
			if taken%2 == 1 {
				time.Sleep(10 * time.Millisecond) // what takes no notice of credit shows itself
				granted += 1000
				l.give(1000, ids...)
			}
		}
	}
	bidi := func(name, demands string, told func(*packetrpcv1.Limits), id func(uint64) uint64) *plan {
		return &plan{
			name: name, section: "8", demands: demands, told: told, stingy: true,
			steps: slices.Concat([]Step{talk("a")}, messages, []Step{halfClose("a"), finish("a")}),
			play: func(l *link) {
				call := l.opening(ActionTalk).CallID
				metered(l, id(call))
				l.want(packet.KindHalfClose, call)
				l.done(call)
			},
			want: []Event{ended("a", "")},
		}
	}
	return []*plan{
		bidi("call-window", "a stream never has more under way than its window and one packet", narrow, func(id uint64) uint64 { return id }),
		bidi("connection-window", "the connection never has more under way than its window and one packet", narrowConnection, func(uint64) uint64 { return 0 }),
		{
			name: "connection-window-of-calls", section: "8", demands: "unary calls wait for the connection's credit as well", told: narrowConnection, stingy: true,
			steps: slices.Concat(six(func(i int) Step { return unary(fmt.Sprint("call", i), ActionEcho, block) }), six(func(i int) Step { return finish(fmt.Sprint("call", i)) })),
			play: func(l *link) {
				for i := range 6 {
					p := l.opening(ActionEcho)
					if i%2 == 1 {
						time.Sleep(10 * time.Millisecond)
						l.give(1000, 0)
					}
					l.reply(p.CallID, "yes")
				}
			},
			want: six(func(i int) Event { return ended(fmt.Sprint("call", i), "yes") }),
		},
		{
			name: "lane-window", section: "8", demands: "one-way packets never have more under way than their lane's window and one packet", told: narrow, stingy: true,
			steps: then(notes...), want: thenEnded(),
			play: func(l *link) { metered(l, l.rules.lane()); l.echo("still there") },
		},
		{
			name: "tiny-credit", section: "8", demands: "a packet may be sent as soon as the credit is above 0, however large it is",
			told: func(limits *packetrpcv1.Limits) { limits.CallWindow = 1 }, stingy: true,
			steps: []Step{talk("a"), send("a", block), send("a", block), halfClose("a"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				first := l.want(packet.KindMessage, id)
				l.quietFor(10 * time.Millisecond)
				l.give(uint64(Cost(l.form, first)), id)
				l.want(packet.KindMessage, id)
				l.want(packet.KindHalfClose, id)
				l.done(id)
			},
			want: []Event{ended("a", "")},
		},
		{
			name: "stalled-stream", section: "8", demands: "a stream without credit holds up no other call", told: narrow, stingy: true,
			// The stream's last message needs credit that comes when the other call has been
			// answered; that one is begun before.
			steps: []Step{talk("a"), send("a", block), send("a", block), send("a", block), unary("b", ActionEcho, "beside"), finish("b"), send("a", block), halfClose("a"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				for range 3 {
					l.want(packet.KindMessage, id)
				}
				l.echo("beside")
				l.quietFor(10 * time.Millisecond)
				l.give(2000, id)
				l.want(packet.KindMessage, id)
				l.want(packet.KindHalfClose, id)
				l.done(id)
			},
			want: []Event{ended("b", "beside"), ended("a", "")},
		},
		{
			name: "endless-windows", section: "8", demands: "windows of 0 are endless credit",
			told:  func(limits *packetrpcv1.Limits) { limits.CallWindow, limits.ConnectionWindow = 0, 0 },
			steps: []Step{talk("a"), sendLarge("a", 1<<20), sendLarge("a", 1<<20), halfClose("a"), finish("a")}, stingy: true,
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				l.want(packet.KindMessage, id)
				l.want(packet.KindMessage, id)
				l.want(packet.KindHalfClose, id)
				l.done(id)
			},
			want: []Event{ended("a", "")},
		},
	}
}

// six returns what make makes of the numbers from 0 to 5.
func six[T any](make func(i int) T) (all []T) {
	for i := range 6 {
		all = append(all, make(i))
	}
	return all
}

func fragmentLimits() []*plan {
	text := large(300 << 10).String()
	call := func(name string) Step {
		return Step{Do: DoCall, Call: name, Type: "unary", Action: ActionEcho, Message: large(300 << 10)}
	}
	return []*plan{
		{
			name: "fragments-out-under-a-window", section: "8", demands: "the fragments of a large message wait for credit", form: onlyBinary, stingy: true,
			told:  func(limits *packetrpcv1.Limits) { limits.CallWindow, limits.ConnectionWindow = 100<<10, 0 },
			steps: []Step{call("a"), finish("a")}, want: []Event{ended("a", "yes")},
			play: func(l *link) {
				id := l.awaitOpened()
				time.Sleep(20 * time.Millisecond) // what takes no notice of credit shows itself
				for range 3 {
					l.give(100<<10, id)
				}
				p := l.opening(ActionEcho)
				l.wantText(p, text)
				l.reply(p.CallID, "yes")
			},
		},
		{
			name: "large-requests-together", section: "8", demands: "large messages of several calls do not mix", form: onlyBinary,
			steps: []Step{call("a"), call("b"), call("c"), unary("d", ActionEcho, "small"), finish("a"), finish("b"), finish("c"), finish("d")},
			play: func(l *link) {
				for range 4 {
					p := l.opening(ActionEcho)
					if got := l.text(p); got != "small" {
						l.wantText(p, text)
						l.reply(p.CallID, "large")
						continue
					}
					l.reply(p.CallID, "small")
				}
			},
			want: []Event{ended("a", "large"), ended("b", "large"), ended("c", "large"), ended("d", "small")},
		},
		pieces("small-fragments-in", "a reply in fragments of 100 bytes is put together", 100, 0, true),
		pieces("tiny-fragments-in", "a reply in fragments of a byte is put together", 1, 0, true),
		pieces("fragments-without-size", "a reply in fragments whose size is not told is put together", 1000, 0, false),
		pieces("empty-last-fragment", "the last fragment may be empty", 3000, 1, true),
		{
			name: "fragments-interleaved", section: "8", demands: "fragments of several replies may take turns", form: onlyBinary,
			steps: []Step{unary("a", ActionEcho, "a"), unary("b", ActionEcho, "b"), finish("a"), finish("b")},
			play: func(l *link) {
				calls := []*packet.Packet{l.opening(ActionEcho), l.opening(ActionEcho)}
				texts, data := make([]string, 2), make([][]byte, 2)
				for i, p := range calls {
					texts[i] = strings.Repeat(l.text(p), 3000)
					data[i] = l.data(texts[i])
				}
				for at := 0; at < len(data[0]); at += 500 {
					for i, p := range calls {
						next := min(at+500, len(data[i]))
						l.send(&packet.Packet{Kind: packet.KindResponse, CallID: p.CallID, Data: data[i][at:next], More: next < len(data[i])})
					}
				}
			},
			want: []Event{ended("a", strings.Repeat("a", 3000)), ended("b", strings.Repeat("b", 3000))},
		},
		{
			name: "fragments-of-messages-in", section: "8", demands: "messages of a stream may come in fragments", form: onlyBinary,
			steps: []Step{count("a", "2"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				for range 2 {
					l.fragments(packet.KindMessage, id, large(3000).String(), 700, 0, true)
				}
				l.done(id)
			},
			want: []Event{got("a", large(3000).String()), got("a", large(3000).String()), ended("a", "")},
		},
		{
			name: "fragments-of-a-note-in", section: "8", demands: "one-way messages may come in fragments, with other packets between", form: onlyBinary,
			steps: then(handled(1)),
			play: func(l *link) {
				p := l.request(packet.KindOneWay, l.lane(), ActionNote, large(3000).String())
				data := p.Data
				p.Data, p.More = data[:1000], true
				l.send(p)
				l.quiet()
				l.send(&packet.Packet{Kind: packet.KindOneWay, CallID: l.lane(), Data: data[1000:]})
				l.echo("still there")
			},
			want: thenEnded(notedText(large(3000).String())),
		},
	}
}

func notedText(text string) Event {
	e := Event{Event: EventHandled, Action: ActionNote}
	e.SetText(text)
	return e
}

// fragments sends a message in pieces of a size, and so many empty ones at the end.
func (l *link) fragments(kind packet.Kind, id uint64, text string, size, empty int, told bool) {
	data := l.data(text)
	p := &packet.Packet{Kind: kind, CallID: id}
	if told {
		p.MessageSize = uint64(len(data))
	}
	for {
		p.Data = data[:min(size, len(data))]
		data = data[len(p.Data):]
		p.More = len(data) > 0 || empty > 0
		l.send(p)
		if !p.More {
			return
		}
		if len(data) == 0 {
			empty--
		}
		p = &packet.Packet{Kind: kind, CallID: id}
	}
}

// pieces is a unary call whose reply comes in fragments.
func pieces(name, demands string, size, empty int, told bool) *plan {
	text := large(3000).String()
	return &plan{
		name: name, section: "8", demands: demands, form: onlyBinary,
		steps: then(unary("a", ActionEcho, "hello"), finish("a")),
		play: func(l *link) {
			l.fragments(packet.KindResponse, l.opening(ActionEcho).CallID, text, size, empty, told)
			l.echo("still there")
		},
		want: thenEnded(ended("a", text)),
	}
}

// givenCredit is what the command must give.
func givenCredit() []*plan {
	fifty := func(l *link, id uint64, idOfCredit uint64, window uint64) {
		spent := uint64(0)
		for range 50 {
			if spent >= window {
				l.awaitCredit(idOfCredit, spent-window+1)
			}
			p := &packet.Packet{Kind: packet.KindMessage, CallID: id, Data: l.data(block)}
			l.send(p)
			spent += uint64(Cost(l.form, p))
		}
	}
	var blocks []Event
	for range 50 {
		blocks = append(blocks, got("a", block))
	}
	return []*plan{
		{
			name: "credit-for-a-stream", section: "8", demands: "who takes the messages of a stream gives its credit back", limits: Limits{CallWindow: 2000, ConnectionWindow: 1 << 20},
			steps: []Step{count("a", "50"), finish("a")}, want: append(slices.Clone(blocks), ended("a", "")),
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				fifty(l, id, id, window(l.theirs.GetCallWindow()))
				l.done(id)
			},
		},
		{
			name: "credit-for-the-connection", section: "8", demands: "packets that arrive give the connection's credit back", limits: Limits{CallWindow: 1 << 20, ConnectionWindow: 2000},
			steps: []Step{count("a", "50"), finish("a")}, want: append(slices.Clone(blocks), ended("a", "")),
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				fifty(l, id, 0, window(l.theirs.GetConnectionWindow()))
				l.done(id)
			},
		},
		{
			name: "credit-for-late-packets", section: "8", demands: "packets for calls that have ended give the connection's credit back", limits: Limits{CallWindow: 1 << 20, ConnectionWindow: 2000},
			steps: then(count("a", "50"), handled(1), cancel("a"), finish("a")), want: thenEnded(goneOn(), failed("a", "canceled")),
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				l.notify()
				l.want(packet.KindCancel, id)
				fifty(l, id, 0, window(l.theirs.GetConnectionWindow()))
				l.echo("still there")
			},
		},
		{
			name: "credit-for-the-lane", section: "8", demands: "who has handled one-way packets gives the lane's credit back", limits: Limits{CallWindow: 2000, ConnectionWindow: 1 << 20},
			steps: then(handled(20)),
			play: func(l *link) {
				spent, window := uint64(0), window(l.theirs.GetCallWindow())
				for range 20 {
					if spent >= window {
						l.awaitCredit(l.lane(), spent-window+1)
					}
					p := l.request(packet.KindOneWay, l.lane(), ActionNote, block)
					l.send(p)
					spent += uint64(Cost(l.form, p))
				}
				l.echo("still there")
			},
			want: thenEnded(slices.Repeat([]Event{noted(block)}, 20)...),
		},
		{
			name: "unread-stream", section: "8", demands: "a stream that nobody reads stalls, and nothing else does", limits: Limits{CallWindow: 2000, ConnectionWindow: 1 << 20},
			steps: []Step{count("a", "5"), unary("b", ActionEcho, "beside"), finish("b"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				for range 5 {
					l.message(id, block)
				}
				l.echo("beside")
				l.done(id)
			},
			want: append(slices.Repeat([]Event{got("a", block)}, 5), ended("a", ""), ended("b", "beside")),
		},
		{
			name: "large-under-small-windows", section: "8", demands: "the fragments of an incomplete message give credit back when they arrive", form: onlyBinary,
			limits: Limits{CallWindow: 70000, ConnectionWindow: 100000},
			steps:  []Step{unary("a", ActionEcho, "hello"), finish("a")},
			play: func(l *link) {
				l.answerLarge(packet.KindResponse, l.opening(ActionEcho).CallID, large(1<<20).String())
			},
			want: []Event{ended("a", large(1<<20).String())},
		},
	}
}

// window is the one that the command told, or a large number for endless credit.
func window(told uint64) uint64 {
	if told == 0 {
		return 1 << 40
	}
	return told
}

// narrow leaves calls and the lane a window of two or three blocks.
func narrow(limits *packetrpcv1.Limits) { limits.CallWindow = 1000 }
