package conformance

import (
	"fmt"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

func streamPlans() []*plan {
	var plans []*plan
	for _, n := range []struct {
		name  string
		count int
	}{{"none", 0}, {"one", 1}, {"many", 50}} {
		plans = append(plans, serverStream(n.name, n.count), clientStream(n.name, n.count), bidiStream(n.name, n.count))
	}
	plans = append(plans, endedEarly()...)
	return append(plans, []*plan{
		{
			name: "ping-pong", section: "6", demands: "messages go back and forth before the half-close",
			steps: []Step{talk("a"), send("a", "1"), receive("a", 1), send("a", "2"), receive("a", 1), send("a", "3"), receive("a", 1), halfClose("a"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				for i := range 3 {
					l.wantText(l.want(packet.KindMessage, id), fmt.Sprint(i+1))
					l.message(id, fmt.Sprint(i+1))
				}
				l.want(packet.KindHalfClose, id)
				l.done(id)
			},
			want: []Event{got("a", "1"), got("a", "2"), got("a", "3"), ended("a", "")},
		},
		{
			name: "half-close-first", section: "6", demands: "replies go on after the half-close",
			steps: []Step{talk("a"), send("a", "1"), halfClose("a"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				l.want(packet.KindMessage, id)
				l.want(packet.KindHalfClose, id)
				for i := range 5 {
					l.message(id, fmt.Sprint(i))
				}
				l.done(id)
			},
			want: []Event{got("a", "0"), got("a", "1"), got("a", "2"), got("a", "3"), got("a", "4"), ended("a", "")},
		},
		{
			name: "reply-first", section: "6", demands: "the callee may send before the caller has",
			steps: []Step{talk("a"), receive("a", 1), send("a", "1"), halfClose("a"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				l.message(id, "first")
				l.want(packet.KindMessage, id)
				l.want(packet.KindHalfClose, id)
				l.done(id)
			},
			want: []Event{got("a", "first"), ended("a", "")},
		},
		{
			name: "messages-joined", section: "2", demands: "messages and the end in one write are all received",
			steps: []Step{count("a", "3"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				message := func(text string) *packet.Packet {
					return &packet.Packet{Kind: packet.KindMessage, CallID: id, Data: l.data(text)}
				}
				l.send(message("x"), message("y"), message("z"), &packet.Packet{Kind: packet.KindResponse, CallID: id})
			},
			want: []Event{got("a", "x"), got("a", "y"), got("a", "z"), ended("a", "")},
		},
		{
			name: "several-at-once", section: "1", demands: "three streams at once do not mix",
			steps: []Step{talk("a"), talk("b"), talk("c"), send("c", "c"), send("a", "a"), send("b", "b"),
				halfClose("a"), halfClose("b"), halfClose("c"), finish("a"), finish("b"), finish("c")},
			play: func(l *link) {
				for open := 3; open > 0; {
					switch p := l.next(); p.Kind {
					case packet.KindMessage:
						l.message(p.CallID, l.text(p))
					case packet.KindHalfClose:
						l.done(p.CallID)
						open--
					}
				}
			},
			want: []Event{got("a", "a"), ended("a", ""), got("b", "b"), ended("b", ""), got("c", "c"), ended("c", "")},
		},
		{
			name: "large-messages", section: "8", demands: "messages of 200 KiB arrive whole, both ways",
			steps: []Step{talk("a"), sendLarge("a", 200<<10), receive("a", 1), halfClose("a"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				l.wantText(l.want(packet.KindMessage, id), large(200<<10).String())
				l.answerLarge(packet.KindMessage, id, large(200<<10).String())
				l.want(packet.KindHalfClose, id)
				l.done(id)
			},
			want: []Event{got("a", large(200<<10).String()), ended("a", "")},
		},
		{
			name: "empty-messages", section: "6", demands: "messages without data count as messages",
			steps: []Step{talk("a"), send("a", ""), send("a", ""), halfClose("a"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionTalk).CallID
				for range 2 {
					l.wantText(l.want(packet.KindMessage, id), "")
					l.message(id, "")
				}
				l.want(packet.KindHalfClose, id)
				l.done(id)
			},
			want: []Event{got("a", ""), got("a", ""), ended("a", "")},
		},
		{
			name: "metadata-of-messages", section: "11", demands: "metadata of messages and of the end reaches the caller",
			steps: []Step{count("a", "1"), finish("a")},
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				l.send(&packet.Packet{Kind: packet.KindMessage, CallID: id, Data: l.data("1"), Metadata: metadata([][2]string{{"k", "1"}})})
				l.send(&packet.Packet{Kind: packet.KindResponse, CallID: id, Metadata: metadata([][2]string{{"k", "2"}})})
			},
			want: []Event{got("a", "1"), {Event: EventEnd, Call: "a", Metadata: [][2]string{{"k", "1"}, {"k", "2"}}}},
		},
		{
			name: "deadline", section: "11", demands: "a stream's time runs out at the caller, who sends cancel",
			steps: then(timed(count("a", "5"), 0.2), finish("a")),
			play: func(l *link) {
				p := l.opening(ActionCount)
				if p.Timeout <= 0 {
					l.failf("%v tells no timeout", p)
				}
				l.message(p.CallID, "1")
				l.want(packet.KindCancel, p.CallID)
				l.echo("still there")
			},
			want: thenEnded(got("a", "1"), failed("a", "deadline_exceeded")),
		},
		cancelled("cancel-server-stream", count("a", "5"), true),
		cancelled("cancel-client-stream", join("a"), false),
		cancelled("cancel-bidi-stream", talk("a"), true),
	}...)
}

func timed(step Step, seconds float64) Step {
	step.Timeout = seconds
	return step
}

func serverStream(name string, n int) *plan {
	want := []Event{}
	for i := range n {
		want = append(want, got("a", fmt.Sprint(i+1)))
	}
	return &plan{
		name: "server-" + name, section: "6", demands: fmt.Sprintf("a stream of %d replies arrives in its order, then its end", n),
		steps: []Step{count("a", fmt.Sprint(n)), finish("a")},
		play: func(l *link) {
			p := l.opening(ActionCount)
			l.wantText(p, fmt.Sprint(n))
			for i := range n {
				l.message(p.CallID, fmt.Sprint(i+1))
			}
			l.done(p.CallID)
		},
		want: append(want, ended("a", "")),
	}
}

func clientStream(name string, n int) *plan {
	steps := []Step{join("a")}
	for i := range n {
		steps = append(steps, send("a", fmt.Sprint(i+1)))
	}
	return &plan{
		name: "client-" + name, section: "6", demands: fmt.Sprintf("a stream of %d requests is sent in its order, then the half-close; the reply is received", n),
		steps: append(steps, halfClose("a"), finish("a")),
		play: func(l *link) {
			id := l.opening(ActionJoin).CallID
			for i := range n {
				l.wantText(l.want(packet.KindMessage, id), fmt.Sprint(i+1))
			}
			l.want(packet.KindHalfClose, id)
			l.reply(id, "all")
		},
		want: []Event{ended("a", "all")},
	}
}

func bidiStream(name string, n int) *plan {
	steps, want := []Step{talk("a")}, []Event{}
	for i := range n {
		steps, want = append(steps, send("a", fmt.Sprint(i+1))), append(want, got("a", fmt.Sprint(i+1)))
	}
	return &plan{
		name: "bidi-" + name, section: "6", demands: fmt.Sprintf("streams of %d messages go both ways in their order", n),
		steps: append(steps, halfClose("a"), finish("a")),
		play: func(l *link) {
			id := l.opening(ActionTalk).CallID
			for i := range n {
				p := l.want(packet.KindMessage, id)
				l.wantText(p, fmt.Sprint(i+1))
				l.message(id, l.text(p))
			}
			l.want(packet.KindHalfClose, id)
			l.done(id)
		},
		want: append(want, ended("a", "")),
	}
}

// endedEarly are streams that the callee ends before the half-close, or badly.
func endedEarly() []*plan {
	early := func(name, demands string, open Step, action string, end func(l *link, id uint64), want ...Event) *plan {
		return &plan{
			name: name, section: "6", demands: demands,
			steps: then(open, send("a", "1"), finish("a")),
			play: func(l *link) {
				id := l.opening(action).CallID
				l.want(packet.KindMessage, id)
				end(l, id)
				l.echo("still there")
			},
			want: thenEnded(want...),
		}
	}
	refuse := func(l *link, id uint64) { l.fail(id, packetrpc.CodeOutOfRange, "enough") }
	badly := Event{Event: EventEnd, Call: "a", Status: "out_of_range", Message: "enough"}
	return []*plan{
		early("client-ended-early", "the reply may come before the half-close", join("a"), ActionJoin,
			func(l *link, id uint64) { l.reply(id, "enough") }, ended("a", "enough")),
		early("client-failed-early", "the error may come before the half-close", join("a"), ActionJoin, refuse, badly),
		early("bidi-ended-early", "the end may come before the half-close", talk("a"), ActionTalk,
			func(l *link, id uint64) { l.message(id, "x"); l.done(id) }, got("a", "x"), ended("a", "")),
		early("bidi-failed-early", "an error may come before the half-close; the messages before it stand", talk("a"), ActionTalk,
			func(l *link, id uint64) { l.message(id, "x"); refuse(l, id) }, got("a", "x"), badly),
		{
			name: "server-failed", section: "6", demands: "an error after messages ends a stream badly; the messages before it stand",
			steps: then(count("a", "5"), finish("a")), want: thenEnded(got("a", "1"), got("a", "2"), badly),
			play: func(l *link) {
				id := l.opening(ActionCount).CallID
				l.message(id, "1")
				l.message(id, "2")
				refuse(l, id)
				l.echo("still there")
			},
		},
		{
			name: "server-refused", section: "6", demands: "an error may be all that answers a stream",
			steps: then(count("a", "5"), finish("a")), want: thenEnded(badly),
			play: func(l *link) { refuse(l, l.opening(ActionCount).CallID); l.echo("still there") },
		},
	}
}

// cancelled is a stream that its caller cancels when a message has come or gone.
func cancelled(name string, open Step, replies bool) *plan {
	steps, want := []Step{open}, []Event{}
	if replies {
		steps, want = append(steps, receive("a", 1)), append(want, got("a", "1"))
	} else {
		steps = append(steps, send("a", "1"))
	}
	return &plan{
		name: name, section: "11", demands: "a stream that is cancelled sends cancel, and what still comes for it is dropped",
		steps: then(append(steps, cancel("a"), finish("a"))...),
		play: func(l *link) {
			id := l.opening(open.Action).CallID
			if replies {
				l.message(id, "1")
			} else {
				l.want(packet.KindMessage, id)
			}
			l.want(packet.KindCancel, id)
			l.message(id, "late")
			l.reply(id, "late")
			l.echo("still there")
		},
		want: thenEnded(append(want, failed("a", "canceled"))...),
	}
}
