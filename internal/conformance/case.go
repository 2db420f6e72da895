package conformance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// Case is one thing that the protocol demands, in one form and of one role.
type Case struct {
	// Name is group/name/form.
	Name string
	// Role is what the command plays.
	Role string
	// Form is how packets are written.
	Form packet.Form
	// Section is the section of docs/PROTOCOL.md that demands it.
	Section string
	// Demands says in words what must happen.
	Demands string

	plan *plan
}

// plan is a case before its form and its role are chosen.
type plan struct {
	group, name, section, demands string
	// form is the only one that the case makes sense in; nil is both.
	form *packet.Form
	// role is the only one that the case makes sense for; "" is both.
	role string
	// told changes what the runner takes from the command.
	told func(*packetrpcv1.Limits)
	// limits is what the command is to tell.
	limits Limits
	// username and password are those of a client.
	username, password string
	// bare leaves the handshake to play.
	bare bool
	// refused says that the handshake fails.
	refused bool
	// unread leaves reading to play: what comes is no packet.
	unread bool
	// stingy leaves it to play to give credit.
	stingy bool

	steps []Step
	// play is the runner's part.
	play func(*link)
	// loose leaves open which messages of a stream are received before it fails.
	loose bool
	// want is what the command must observe, in its order for each call.
	want []Event
}

// plans returns all of them in the order of their groups.
func plans() []*plan {
	groups := []struct {
		name  string
		plans []*plan
	}{
		{"handshake", handshakePlans()},
		{"calls", callPlans()},
		{"streams", streamPlans()},
		{"errors", errorPlans()},
		{"limits", limitPlans()},
		{"bear", bearPlans()},
		{"bad-input", badInputPlans()},
		{"serve", servePlans()},
	}
	var all []*plan
	for _, group := range groups {
		for _, p := range group.plans {
			p.group = group.name
			all = append(all, p)
		}
	}
	return all
}

// Cases returns the cases of a role in both forms.
func Cases(role string) []Case {
	var cases []Case
	for _, p := range plans() {
		for _, form := range p.forms() {
			if p.role == "" || p.role == role {
				cases = append(cases, Case{
					Name: strings.Join([]string{p.group, p.name, form.String()}, "/"),
					Role: role, Form: form, Section: p.section, Demands: p.demands, plan: p,
				})
			}
		}
	}
	return cases
}

func (p *plan) forms() []packet.Form {
	if p.form != nil {
		return []packet.Form{*p.form}
	}
	return []packet.Form{packet.Binary, packet.JSON}
}

// task is what the command is told.
func (c Case) task(address string) Task {
	p := c.plan
	task := Task{Case: c.Name, Role: c.Role, Limits: p.limits, Steps: p.steps}
	if c.Role == RoleClient {
		task.Form, task.Address = c.Form.String(), address
		task.Username, task.Password = cmp.Or(p.username, "ada"), p.password
	}
	return task
}

// limits is what the runner takes.
func (c Case) limits() *packetrpcv1.Limits {
	limits := defaultLimits()
	if c.plan.told != nil {
		c.plan.told(limits)
	}
	return limits
}

// anyStatus stands in a wanted event for whatever failure.
const anyStatus = "any"

// observed compares what a command says with what it must have observed.
func (c Case) observed(got []Event) error {
	want := slices.Clone(c.plan.want)
	if c.plan.loose {
		got = slices.DeleteFunc(got, func(e Event) bool { return e.Event == EventMessage })
	}
	if !c.plan.refused {
		want = append([]Event{{Event: EventConnected}}, want...)
	}
	for _, subject := range subjects(append(slices.Clone(want), got...)) {
		wanted, found := about(want, subject), about(got, subject)
		for i, event := range wanted {
			if i >= len(found) {
				return fmt.Errorf("the command did not observe %s", event)
			}
			if !matches(event, found[i]) {
				return fmt.Errorf("the command observed %s, and was to observe %s", found[i], event)
			}
		}
		if len(found) > len(wanted) {
			return fmt.Errorf("the command observed %s, which did not happen", found[len(wanted)])
		}
	}
	return nil
}

// subject is what events are in order about: a call, or a kind of event.
func (e Event) subject() string { return cmp.Or(e.Call, e.Event) }

func subjects(events []Event) []string {
	var all []string
	for _, e := range events {
		if !slices.Contains(all, e.subject()) {
			all = append(all, e.subject())
		}
	}
	return all
}

func about(events []Event, subject string) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return e.subject() != subject })
}

// matches reports whether an event is the wanted one. A message, metadata and
// details that are not wanted are not looked at.
func matches(want, got Event) bool {
	status := want.Status == got.Status || want.Status == anyStatus && got.Status != ""
	return want.Event == got.Event && status &&
		(want.Action == "" || want.Action == got.Action) &&
		want.Text == got.Text && want.Size == got.Size && want.SHA256 == got.SHA256 &&
		want.RetryAfter == got.RetryAfter &&
		matchesMessage(want, got) &&
		(want.Metadata == nil || sameMetadata(want.Metadata, got.Metadata)) &&
		(want.Details == nil || slices.EqualFunc(want.Details, got.Details, func(a, b Detail) bool {
			return a.Type == b.Type && string(a.Value) == string(b.Value)
		}))
}

func matchesMessage(want, got Event) bool {
	switch want.Message {
	case "":
		return true
	case noMessage:
		return got.Message == ""
	}
	// Why the connection has ended is told in the command's own words.
	return want.Message == got.Message || want.Event == EventClosed && strings.Contains(got.Message, want.Message)
}

// noMessage stands in a wanted event for a failure without a message.
const noMessage = "\x00none"

// sameMetadata compares the values of each key; the order of the keys is free.
func sameMetadata(a, b [][2]string) bool {
	byKey := func(x, y [2]string) int { return strings.Compare(x[0], y[0]) }
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortStableFunc(a, byKey)
	slices.SortStableFunc(b, byKey)
	return slices.Equal(a, b)
}

// String returns the event for people.
func (e Event) String() string {
	parts := []string{fmt.Sprintf("%q", e.Event)}
	add := func(name string, value any, present bool) {
		if present {
			parts = append(parts, fmt.Sprintf("%s %.100q", name, fmt.Sprint(value)))
		}
	}
	add("of call", e.Call, e.Call != "")
	add("action", e.Action, e.Action != "")
	add("text", e.Text, e.Text != "")
	add("size", e.Size, e.Size != 0)
	add("status", e.Status, e.Status != "")
	add("message", e.Message, e.Message != "")
	add("retry after", e.RetryAfter, e.RetryAfter != 0)
	add("metadata", e.Metadata, e.Metadata != nil)
	add("details", e.Details, e.Details != nil)
	return strings.Join(parts, ", ")
}

// What follows makes steps and events in few words.

func begin(call, typ, action string) Step {
	return Step{Do: DoCall, Call: call, Type: typ, Action: action}
}

func unary(call, action, text string) Step {
	return Step{Do: DoCall, Call: call, Type: "unary", Action: action, Message: Message{Text: text}}
}

func oneWay(call, text string) Step {
	return Step{Do: DoCall, Call: call, Type: "one-way", Action: ActionNote, Message: Message{Text: text}}
}

func count(call, text string) Step {
	return Step{Do: DoCall, Call: call, Type: "server-stream", Action: ActionCount, Message: Message{Text: text}}
}

func join(call string) Step { return begin(call, "client-stream", ActionJoin) }
func talk(call string) Step { return begin(call, "bidi-stream", ActionTalk) }

func send(call, text string) Step {
	return Step{Do: DoSend, Call: call, Message: Message{Text: text}}
}

func sendLarge(call string, size int) Step {
	return Step{Do: DoSend, Call: call, Message: large(size)}
}

func halfClose(call string) Step { return Step{Do: DoHalfClose, Call: call} }
func finish(call string) Step    { return Step{Do: DoFinish, Call: call} }
func cancel(call string) Step    { return Step{Do: DoCancel, Call: call} }
func handled(n int) Step         { return Step{Do: DoHandled, Count: n} }
func closed() Step               { return Step{Do: DoClosed} }

func receive(call string, n int) Step { return Step{Do: DoReceive, Call: call, Count: n} }

// large returns a message of a size. Its pieces differ, as the text's length divides
// no round size.
func large(size int) Message { return Message{Text: "0123456789 abcdefghijklmnopqrst", Size: size} }

// then adds a last call that must work, after all that the case is about.
func then(steps ...Step) []Step {
	return append(steps, unary("last", ActionEcho, "still there"), finish("last"))
}

func ended(call, text string) Event {
	e := Event{Event: EventEnd, Call: call}
	e.SetText(text)
	return e
}

func failed(call, status string) Event { return Event{Event: EventEnd, Call: call, Status: status} }

func got(call, text string) Event {
	e := Event{Event: EventMessage, Call: call}
	e.SetText(text)
	return e
}

func noted(text string) Event { return Event{Event: EventHandled, Action: ActionNote, Text: text} }

// goneOn is what a command observes of link.notify.
func goneOn() Event { return noted("go on") }

func wereClosed() Event { return Event{Event: EventClosed} }

// thenEnded adds the end of the call that then makes.
func thenEnded(events ...Event) []Event { return append(events, ended("last", "still there")) }
