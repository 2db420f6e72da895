package conformance

import (
	"fmt"
	"strings"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

var (
	onlyBinary = new(packet.Form) // the zero Form
	onlyJSON   = ref(packet.JSON)
)

func ref[T any](value T) *T { return &value }

func handshakePlans() []*plan {
	return append(clientHandshakes(), serverHandshakes()...)
}

// answeredBy returns a case of a client whose handshake play answers, and which
// then makes a call that must work.
func answeredBy(name, demands string, play func(*link, *packetrpcv1.HandshakeRequest)) *plan {
	return &plan{
		name: name, section: "9", demands: demands, role: RoleClient, bare: true,
		steps: then(), want: thenEnded(),
		play: func(l *link) {
			play(l, l.takeHandshake())
			l.echo("still there")
		},
	}
}

// refusedWith returns a case of a client whose handshake is refused.
func refusedWith(name, demands string, refusal packet.Packet) *plan {
	want := Event{Event: EventRefused, Status: refusal.Status.String(), Message: refusal.Message, RetryAfter: refusal.RetryAfter.Seconds()}
	return &plan{
		name: name, section: "9", demands: demands, role: RoleClient, bare: true,
		refused: true,
		play:    func(l *link) { l.takeHandshake(); l.refuse(refusal) },
		want:    []Event{want},
	}
}

// brokenBy returns a case of a client that gets no good answer.
func brokenBy(name, section, demands string, form *packet.Form, play func(*link)) *plan {
	return &plan{
		name: name, section: section, demands: demands, form: form, role: RoleClient, bare: true,
		refused: true,
		play:    func(l *link) { l.takeHandshake(); play(l) },
		want:    []Event{{Event: EventRefused, Status: anyStatus}},
	}
}

func clientHandshakes() []*plan {
	plain := func(l *link, _ *packetrpcv1.HandshakeRequest) { l.accept(defaultLimits()) }
	accept := func(change func(*packetrpcv1.Limits)) func(*link, *packetrpcv1.HandshakeRequest) {
		return func(l *link, _ *packetrpcv1.HandshakeRequest) {
			limits := defaultLimits()
			change(limits)
			l.accept(limits)
		}
	}
	credentials := answeredBy("credentials", "the handshake bears the name and the password that the client was given",
		func(l *link, request *packetrpcv1.HandshakeRequest) {
			if request.GetUsername() != "grace" || request.GetPassword() != "correct horse ✓" {
				l.failf("the handshake has the username %q and another password than it should, or none", request.GetUsername())
			}
			l.accept(defaultLimits())
		})
	credentials.username, credentials.password = "grace", "correct horse ✓"
	nameOnly := answeredBy("no-password", "a client without a password sends none", func(l *link, request *packetrpcv1.HandshakeRequest) {
		if request.GetUsername() != "ada" || request.GetPassword() != "" {
			l.failf("the handshake has the username %q, or a password that the client was not given", request.GetUsername())
		}
		l.accept(defaultLimits())
	})
	limits := answeredBy("limits-told", "the handshake tells the client's limits", func(l *link, request *packetrpcv1.HandshakeRequest) {
		told := request.GetLimits()
		if told.GetMaxMessageSize() != 54321 || told.GetMaxOpenCalls() != 7 || told.GetCallWindow() != 12345 || told.GetConnectionWindow() != 23456 {
			l.failf("the handshake tells the limits %v", told)
		}
		l.accept(defaultLimits())
	})
	limits.limits = Limits{MaxMessageSize: 54321, MaxOpenCalls: 7, CallWindow: 12345, ConnectionWindow: 23456}
	joined := answeredBy("push-behind-the-answer", "packets right behind the answer, in the same write, are handled",
		func(l *link, _ *packetrpcv1.HandshakeRequest) {
			text := packet.Append(l.form, nil, l.answer(defaultLimits()))
			l.write(packet.Append(l.form, text, l.request(packet.KindOneWay, l.lane(), ActionNote, "go on")))
		})
	joined.steps, joined.want = then(handled(1)), thenEnded(goneOn())
	pieces := answeredBy("answer-byte-by-byte", "an answer that comes byte by byte is understood", func(l *link, _ *packetrpcv1.HandshakeRequest) {
		l.sliceWrites(1)
		l.accept(defaultLimits())
	})
	pieces.section = "2"
	return []*plan{
		answeredBy("version-1", "the first packet is the handshake: kind request, action handShake, version 1, no id, no token", plain),
		credentials,
		nameOnly,
		limits,
		joined,
		pieces,
		answeredBy("nothing-before-the-answer", "nothing is sent between the handshake and its answer", func(l *link, _ *packetrpcv1.HandshakeRequest) {
			select {
			case p := <-l.got:
				l.failf("%v came before the handshake was answered", p)
			case <-time.After(100 * time.Millisecond):
			}
			l.accept(defaultLimits())
		}),
		answeredBy("unknown-fields", "fields and keys that the client does not know are ignored in the answer and its data", func(l *link, _ *packetrpcv1.HandshakeRequest) {
			p := l.answer(defaultLimits())
			if l.form == packet.JSON {
				p.Data = []byte(strings.TrimSuffix(string(p.Data), "}") + `,"motto":{"a":[1,null]}}`)
			} else {
				p.Data = append(p.Data, unknownField...)
			}
			l.write(l.widened(p, []byte(unknownField), `"weather":["fine",{"deep":{}}]`))
		}),
		answeredBy("no-limits", "an answer without limits leaves endless credit and any number of calls",
			accept(func(limits *packetrpcv1.Limits) { *limits = packetrpcv1.Limits{} })),
		rewritten("numbers-as-numbers", "64-bit numbers of the answer may be JSON numbers", func(l *link, answer string) string {
			return strings.NewReplacer(`"4194304"`, `4194304`, `"65536"`, `65536`, `"262144"`, `262144`).Replace(answer)
		}),
		rewritten("numbers-as-strings", "64-bit numbers of the answer may be JSON strings", func(_ *link, answer string) string { return answer }),
		rewritten("white-space", "white space may stand anywhere in the answer, and before it", func(_ *link, answer string) string {
			return " \r\n\t" + strings.NewReplacer(`{"`, "{\n\t\"", `,"`, "\r\n, \"", `":`, `" : `).Replace(answer)
		}),
		rewritten("no-line-feed", "no line feed need follow the answer", func(_ *link, answer string) string { return strings.TrimSpace(answer) }),
		rewritten("null-values", "null is as good as no value", func(_ *link, answer string) string {
			return strings.TrimSuffix(strings.TrimSpace(answer), "}") + `,"id":null,"status":null,"metadata":null,"details":null,"retry-after":null}` + "\n"
		}),
		refusedWith("wrong-password", "unauthenticated is told with its message", packet.Packet{Status: packetrpc.CodeUnauthenticated, Message: "wrong name or password"}),
		refusedWith("version-refused", "failed_precondition is told with its message", packet.Packet{Status: packetrpc.CodeFailedPrecondition, Message: "this server speaks version 2"}),
		refusedWith("too-many-clients", "resource_exhausted is told, and when to come back", packet.Packet{Status: packetrpc.CodeResourceExhausted, Message: "too many clients", RetryAfter: 1500 * time.Millisecond}),
		refusedWith("unavailable", "unavailable is told with its message", packet.Packet{Status: packetrpc.CodeUnavailable, Message: "going down"}),
		brokenBy("closed-without-answer", "9", "a connection that is closed without an answer fails", nil, (*link).closeWrite),
		brokenBy("answered-in-words", "2", "a line of text in place of an answer fails the handshake", nil, func(l *link) {
			l.write([]byte("packetrpc: this is not what you think\n"))
			l.closeWrite()
		}),
		brokenBy("garbage-answer", "2", "garbage in place of an answer fails the handshake", nil, func(l *link) {
			l.write([]byte(strings.Repeat("\xff\x00\xfe", 100)))
			l.closeWrite()
		}),
		brokenBy("no-token", "9", "an answer without a token fails the handshake", nil, func(l *link) {
			l.write(packet.Append(l.form, nil, &packet.Packet{Kind: packet.KindResponse, Action: "handShake",
				Data: l.encode(&packetrpcv1.HandshakeResponse{Status: "success", Version: packet.Version})}))
		}),
		brokenBy("other-version", "9", "an answer of another version fails the handshake", nil, func(l *link) {
			l.write(packet.Append(l.form, nil, &packet.Packet{Kind: packet.KindResponse, Action: "handShake", Token: token,
				Data: l.encode(&packetrpcv1.HandshakeResponse{Status: "success", Uuid: token, RemoteToken: token, Version: 99})}))
		}),
		brokenBy("other-packet", "9", "another packet in place of the answer fails the handshake", nil, func(l *link) {
			l.write(packet.Append(l.form, nil, &packet.Packet{Kind: packet.KindOneWay, Action: ActionNote, Data: l.data("hello")}))
		}),
	}
}

// unknownField is a field that no packet and no message has.
const unknownField = "\xc2\x3e\x03\x0a\x01\x00" + "\xc8\x3e\x2a" // 1000: bytes, 1001: 42

// rewritten returns a case of a client in the JSON form whose answer is the same in
// other words.
func rewritten(name, demands string, rewrite func(l *link, answer string) string) *plan {
	p := answeredBy(name, demands, func(l *link, _ *packetrpcv1.HandshakeRequest) {
		l.write([]byte(rewrite(l, string(packet.Append(l.form, nil, l.answer(defaultLimits()))))))
	})
	p.form, p.section = onlyJSON, "5"
	return p
}

// serverHandshakes are those of a command that accepts connections.
func serverHandshakes() []*plan {
	refused := func(name, section, demands string, form *packet.Form, code packetrpc.Code, begin func(*link)) *plan {
		return &plan{
			name: name, section: section, demands: demands, form: form, role: RoleServer, bare: true,
			play:    func(l *link) { begin(l); l.wantRefused(code) },
			refused: true,
		}
	}
	request := func(change func(*packetrpcv1.HandshakeRequest)) func(*link) {
		return func(l *link) {
			request := &packetrpcv1.HandshakeRequest{Version: packet.Version, Username: "runner", Limits: defaultLimits()}
			change(request)
			l.offer(request)
		}
	}
	text := func(text string) func(*link) {
		return func(l *link) {
			l.rules.open(defaultLimits(), "")
			if l.form == packet.JSON {
				l.write([]byte(text))
				return
			}
			l.write(append([]byte(packet.Preface), framed([]byte(text))...))
		}
	}
	return []*plan{
		{
			name: "accepted", section: "9", demands: "the answer bears the token three times, a public id, the version and the limits", role: RoleServer,
			steps: []Step{closed()}, play: (*link).works, want: []Event{wereClosed()},
		},
		{
			name: "handshake-byte-by-byte", section: "2", demands: "a handshake that comes byte by byte is understood", role: RoleServer, bare: true,
			steps: []Step{closed()}, want: []Event{wereClosed()},
			play: func(l *link) { l.sliceWrites(1); l.greet(defaultLimits()); l.works() },
		},
		refused("version-2", "9", "another version than 1 is refused with failed_precondition", nil, packetrpc.CodeFailedPrecondition,
			request(func(r *packetrpcv1.HandshakeRequest) { r.Version = 2 })),
		refused("long-name", "9", "a username of more than 256 bytes is refused", nil, packetrpc.CodeInvalidArgument,
			request(func(r *packetrpcv1.HandshakeRequest) { r.Username = strings.Repeat("x", 257) })),
		refused("control-character", "9", "a username with a control character is refused", nil, packetrpc.CodeInvalidArgument,
			request(func(r *packetrpcv1.HandshakeRequest) { r.Username = "a\x07b" })),
		refused("too-large", "9", "a handshake of more than 4,096 bytes is refused with resource_exhausted", nil, packetrpc.CodeResourceExhausted,
			request(func(r *packetrpcv1.HandshakeRequest) { r.Password = strings.Repeat("x", 5000) })),
		refused("malformed-data", "9", "data that is no HandshakeRequest is refused with invalid_argument", onlyJSON, packetrpc.CodeInvalidArgument,
			text(`{"action":"handShake","data":{"version":1,"username":{"no":"text"}}}`)),
		refused("no-handshake", "9", "a first packet that is no handshake is refused with unauthenticated", onlyBinary, packetrpc.CodeUnauthenticated,
			text("\x0a\x04Echo")),
		{
			name: "no-packet", section: "2", demands: "a connection that begins with anything else is told so in a line that begins with packetrpc:", role: RoleServer, bare: true, unread: true, form: onlyJSON,
			refused: true,
			play:    func(l *link) { l.wantLine("GET / HTTP/1.1\r\n\r\n") },
		},
		{
			name: "other-preface", section: "2", demands: "another version of the preface is refused in a line that begins with packetrpc:", role: RoleServer, bare: true, unread: true, form: onlyBinary,
			refused: true,
			play:    func(l *link) { l.wantLine("\xf5pkt\x02") },
		},
	}
}

// wantLine sends text and waits for a line that refuses it. Reading has not begun.
func (l *link) wantLine(text string) {
	l.write([]byte(text))
	l.nc.SetReadDeadline(time.Now().Add(l.patience))
	var line [200]byte
	n, err := l.nc.Read(line[:])
	if answer := string(line[:n]); err != nil || !strings.HasPrefix(answer, "packetrpc: ") {
		l.failf("the answer is %q (%v), and not a line that begins with packetrpc:", answer, fmt.Sprint(err))
	}
}
