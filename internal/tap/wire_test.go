package tap_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/internal/tap"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// script is a server that reads nothing but what it is sent and answers with given bytes.
func script(t *testing.T, answer string) string {
	address, _ := serve(t, func(ctx context.Context, listener net.Listener) error {
		defer listener.Close()
		nc, err := listener.Accept()
		if err != nil {
			return err
		}
		defer nc.Close()
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			return nil // the client has had nothing to say
		}
		if _, err := io.WriteString(nc, answer); err != nil {
			return nil
		}
		io.Copy(io.Discard, nc)
		return nil
	})
	return address
}

func binaryPackets(packets ...packet.Packet) string {
	raw := []byte(packet.Preface)
	for i := range packets {
		raw = packet.AppendBinary(raw, &packets[i])
	}
	return string(raw)
}

func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Whatever is on the wire is passed on as it is, and shown as well as it can be.
func TestWire(t *testing.T) {
	const send = chatv1packetrpc.ChatServiceSendAction
	hello := encoded(t, &chatv1.SendRequest{Text: "hello"})
	for _, test := range []struct {
		name           string
		client, server string
		raw            bool     // asked for
		want           []string // parts of lines, in their order
	}{
		{"nothing", "", "", false, []string{"connected", "by the client"}},
		{"another protocol", "GET / HTTP/1.1\r\nAuthorization: " + aSecret + "\r\n\r\n", "packetrpc: not a packet\n", false,
			[]string{`→ garbage    neither form of packets begins so (begins with 47 45 54 20 "GET ")`, "← text       packetrpc: not a packet"}},
		{"TLS", "\x16\x03\x01\x02\x00", "", false, []string{"→ garbage    TLS, which the tap cannot look into without a key"}},
		{"a later version", "\xf5pkt\x02", "packetrpc: version 1 is spoken here\n", false, []string{"neither form", "version 1"}},
		{"half a preface", "\xf5pk", "", false, []string{"the connection ends within a packet"}},
		{"no length", packet.Preface + strings.Repeat("\xff", 11), "", false, []string{"the length of a packet is not a number"}},
		{"half a packet", packet.Preface + "\x10\x0a", "", false, []string{"garbage    the connection ends within a packet"}},
		{"no protobuf", packet.Preface + "\x02\xff\xff", "", false, []string{"(malformed: not protobuf)"}},
		{"no JSON", `{"id":3}garbage`, "", false, []string{"→ request", "garbage    a JSON packet begins with '{', not with 'g'"}},
		{"malformed JSON", `{"id":"3","action":"x","data":{"a":1}}`, "", false, []string{"(malformed: key \"id\": not a number)"}},
		{"control characters", `{"id":3,"action":"\u001b[31m\u202e","data":{"a":"\u009b"}}`, "", false, []string{`\u001b[31m\u202e`, `{"a":"\u009b"}`}},
		{"a server that speaks first", " ", "hello", false, []string{"← garbage    a JSON packet begins with '{', not with 'h'"}},
		{"an unknown action", binaryPackets(packet.Packet{CallID: 3, Action: "x.Y/Z", Data: hello}), "", false, []string{"x.Y/Z", "(no schema: 1: 5 bytes)"}},
		{"an unknown action, raw", binaryPackets(packet.Packet{CallID: 3, Action: "x.Y/Z", Data: hello}), "", true, []string{`begins with 0a 05 68 65 6c 6c 6f "\n\x05hello"`}},
		{"data that does not fit", binaryPackets(packet.Packet{CallID: 3, Action: send, Data: []byte("\x0a\x05hi")}), "", false, []string{"does not fit chat.v1.SendRequest"}},
		{"JSON that does not fit", `{"id":3,"action":"` + send + `","data":{"txt":"hi"}}`, "", false, []string{`(does not fit chat.v1.SendRequest: `, `unknown field "txt") {"txt":"hi"}`}},
		{"a number", binaryPackets(packet.Packet{CallID: 3, Action: send, ActionNumber: 7, Data: hello}, packet.Packet{CallID: 5, ActionNumber: 7, Data: hello}, packet.Packet{CallID: 7, ActionNumber: 8}), "", false,
			[]string{send + "        3", send + "        5", "(the tap has not seen what number 8 stands for"}},
		{"fragments between others", binaryPackets(
			packet.Packet{CallID: 3, Action: send, Data: hello[:3], More: true},
			packet.Packet{CallID: 5, Action: send, Data: hello[:3], More: true},
			packet.Packet{CallID: 3, Data: hello[3:]},
			packet.Packet{CallID: 5, Kind: packet.KindCancel}), "", false,
			[]string{`3   45 B        {"text":"hello"} 2 fragments`, "cancel", "36 bytes of an incomplete message are given up"}},
		{"fragments without an end", binaryPackets(packet.Packet{CallID: 3, Action: send, Data: hello, More: true}), "", false,
			[]string{"the connection has ended before the rest of the message"}},
		{"a large packet", packet.Preface + "\x80\x80\x80\x08\x30\x03\x0a\x01x" + strings.Repeat("\x00", 16<<20), "", false, []string{"request    x", "packet of 16777216 bytes exceeds the limit"}},
		{"a ping", binaryPackets(packet.Packet{Kind: packet.KindPing, CallID: 9, Data: []byte("drain")}), "", false, []string{`ping`, `"drain"`}},
		{"a plain reply", `{"action":"CoreListClients"}{"action":"x"}`, `{"kind":"response","action":"ListClients","data":{"clients":[]}}{"kind":"error","action":"x","status":"not_found"}`, false,
			[]string{"response   CoreListClients", `{"clients":[]}`, "error      x", "not_found"}},
		{"a challenge", `{"action":"CoreChallenge"}`, `{"kind":"response","action":"CoreChallenge","data":{"challenge":"` + aSecret + `","publicKey":"AAAA"}}`, false,
			[]string{"request    CoreChallenge", `{"challenge":"[hidden]","publicKey":"AAAA"}`}},
		{"a sealed handshake", `{"action":"handShake","sealed":true,"data":"ey.` + aSecret + `"}`, "", false, []string{"handShake", "sealed"}},
		{"a handshake that is none", `{"action":"handShake","data":"` + aSecret + `"}`, "", false, []string{"(not a handshake, and not shown, as there may be a password in it)"}},
		{"a sealed action in clear", `{"id":3,"action":"` + chatv1packetrpc.ChatServiceWhisperAction + `","data":{"text":"` + aSecret + `"}}`, "", false, []string{"its data is not shown in clear either"}},
		{"a push of an administrator", binaryPackets(packet.Packet{CallID: 3, Action: "CoreSend", Data: encoded(t, &packetrpcv1.SendRequest{
			Id: "x", Push: &packetrpcv1.Push{Action: send, Payload: &packetrpcv1.Push_Message{Message: []byte(aSecret)}}})}), "", false, []string{`"message":"[hidden]"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			watched := startTap(t, &tap.Proxy{Server: script(t, test.server), Decoding: tap.Decoding{Schema: chatSchema(t), Raw: test.raw}})
			w := dial(t, watched.address)
			io.WriteString(w.nc, test.client)
			answer := make([]byte, len(test.server))
			if _, err := io.ReadFull(w.nc, answer); err != nil || string(answer) != test.server {
				t.Errorf("the client got %q (%v), want %q", answer, err, test.server)
			}
			w.nc.(*net.TCPConn).CloseWrite()
			watched.waitKind(t, tap.KindClosed)
			events := watched.all()
			shown := lines(tap.View{Full: true}, events)
			rest := shown
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("%q is not, or not in its place, in\n%s", want, shown)
				}
				rest = after
			}
			checkSecret(t, events, aSecret)
			checkReplay(t, events)
		})
	}
}

// Bytes pass while nobody looks at events. What was not shown is told of, nothing is
// concluded from it, and what comes later is shown again.
func TestSlowWatcher(t *testing.T) {
	proxy := &tap.Proxy{Server: script(t, "")}
	proxy.SetQueueSize(10_000)
	look, watched := make(chan struct{}), newWatch()
	watched.address, watched.stop = serve(t, func(ctx context.Context, l net.Listener) error {
		return proxy.Serve(ctx, l, func(e *tap.Event) {
			<-look
			watched.show(e)
		})
	})
	w := dial(t, watched.address)
	const sent = 20_000
	if _, err := io.WriteString(w.nc, `{"id":3,"action":"x"}`+strings.Repeat(`{"kind":"ping"}`+"\n", sent)); err != nil {
		t.Fatal(err)
	}
	close(look)
	shown, missed := 0, 0
	watched.wait(t, "end of what was sent", func(e *tap.Event) bool {
		switch {
		case e.Kind == "ping" || e.Kind == "request":
			shown++
		case e.Missed != nil:
			missed += e.Missed.Packets
			if e.Missed.Bytes != e.Missed.Packets*len(`{"kind":"ping"}`) {
				t.Errorf("%d packets of %d bytes were missed", e.Missed.Packets, e.Missed.Bytes)
			}
		}
		return shown+missed == sent+1
	})
	if shown == 0 || missed == 0 {
		t.Errorf("%d packets were shown and %d missed", shown, missed)
	}
	if _, err := io.WriteString(w.nc, `{"kind":"drain"}`); err != nil {
		t.Fatal(err)
	}
	watched.waitKind(t, "drain")
	w.nc.(*net.TCPConn).CloseWrite()
	watched.waitKind(t, tap.KindClosed)
	for _, e := range watched.all() {
		if e.Kind == tap.KindUnanswered {
			t.Errorf("told of a call that may have been answered: %s", tap.View{}.Line(e))
		}
	}
}

// What is remembered of messages that do not come whole is bounded, whatever it is.
func TestIncompleteMessages(t *testing.T) {
	const calls = 12
	var large packetrpc.Metadata
	large.Add("large", strings.Repeat("x", 2<<20))
	var packets []packet.Packet
	for i := range uint64(calls) {
		packets = append(packets, packet.Packet{
			CallID: 2*i + 3, Action: "some/Upload", More: true, Data: []byte("x"),
			Metadata: large,
		})
	}
	packets = append(packets,
		packet.Packet{CallID: 2*calls + 1, Data: []byte("y")},
		packet.Packet{CallID: 3, Data: []byte("y")},
		packet.Packet{CallID: 2*calls + 3, Action: strings.Repeat("a", 1<<20)})
	watched := startTap(t, &tap.Proxy{Server: script(t, ""), Decoding: tap.Decoding{}})
	w := dial(t, watched.address)
	if _, err := io.WriteString(w.nc, binaryPackets(packets...)); err != nil {
		t.Fatal(err)
	}
	w.nc.(*net.TCPConn).CloseWrite()
	watched.waitKind(t, tap.KindClosed)
	shown := make(map[uint64]*tap.Event)
	for _, e := range watched.all() {
		if e.Kind == "request" && len(e.Notes) == 0 || len(e.Notes) > 0 && !strings.Contains(e.Notes[0], "before the rest") {
			shown[e.ID] = e
		}
	}
	if e := shown[3]; e == nil || len(e.Metadata["large"]) == 0 {
		t.Errorf("the first one: %v", e)
	}
	if e := shown[2*calls+1]; e == nil || len(e.Metadata) > 0 || !strings.Contains(strings.Join(e.Notes, " "), "is not shown") {
		t.Errorf("one that there was no room for: %v", e)
	}
	if e := shown[2*calls+3]; e == nil || len(e.Action) > 100 || !strings.Contains(strings.Join(e.Notes, " "), "the action's name") {
		t.Errorf("one of an action with a long name: %v", e)
	}
}
