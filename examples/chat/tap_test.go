package main

import (
	"context"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/internal/tap"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/schema"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// startTap stands before a room until it is called, and then returns what has passed.
func startTap(t *testing.T, proxy *tap.Proxy) (address string, passed func() []*tap.Event) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy.Schema = schema.Linked()
	var events []*tap.Event
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		defer close(served)
		served <- proxy.Serve(ctx, listener, func(e *tap.Event) { events = append(events, e) })
	}()
	passed = func() []*tap.Event {
		stop()
		if err := <-served; err != nil {
			t.Errorf("the tap: %v", err)
		}
		return events
	}
	t.Cleanup(func() { passed() })
	return listener.Addr().String(), passed
}

// checkDecoded checks that all packets have been understood, and which actions there were.
// A wrong token is not for the tap to understand.
func checkDecoded(t *testing.T, events []*tap.Event, actions ...string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, e := range events {
		notes := slices.DeleteFunc(slices.Clone(e.Notes), func(note string) bool {
			return e.Kind == tap.KindConnected || strings.HasPrefix(note, "late: ") || strings.HasPrefix(note, "bears ")
		})
		if len(notes) > 0 || e.Kind == tap.KindGarbage || e.Kind == tap.KindMissed {
			t.Errorf("not understood: %s", tap.View{Full: true}.Line(e))
		}
		if e.Data != nil || e.Kind == "half-close" {
			seen[e.Action] = true
		}
	}
	for _, action := range actions {
		if !seen[action] {
			t.Errorf("no packet of %s was decoded", action)
		}
	}
}

// The demonstration goes through a tap as it goes without one.
func TestTapped(t *testing.T) {
	serverKey, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		t.Fatal(err)
	}
	tapKey, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		t.Fatal(err)
	}
	toServer, err := seal.ClientTLS(seal.PinKey(&serverKey.PublicKey), "the room", nil)
	if err != nil {
		t.Fatal(err)
	}

	pin := client.WithServerKey(seal.PinKey(&tapKey.PublicKey))
	for _, test := range []struct {
		name    string
		proxy   *tap.Proxy
		options []client.Option
	}{
		{"binary", &tap.Proxy{Server: startRoom(t)}, nil},
		{"json", &tap.Proxy{Server: startRoom(t)}, []client.Option{client.WithJSON()}},
		{"binary in TLS", &tap.Proxy{Server: startRoom(t, server.WithKey(serverKey)), Key: tapKey, ServerTLS: toServer}, []client.Option{pin}},
		{"json in TLS", &tap.Proxy{Server: startRoom(t, server.WithKey(serverKey)), Key: tapKey, ServerTLS: toServer}, []client.Option{pin, client.WithJSON()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			address, passed := startTap(t, test.proxy)
			d := &demo{
				out: io.Discard, address: address,
				asAda: append(test.options, client.WithName("ada")),
				asBob: append(test.options, client.WithName("bob")),
			}
			defer d.close()
			for _, play := range []func(context.Context) error{
				d.connect, d.unary, d.oneWay, d.clientStream, d.serverStream, d.bidiStream, d.serverCalls, d.failure,
			} {
				if err := play(within(t)); err != nil {
					t.Fatal(err)
				}
			}
			d.close() // or they connect again when the tap ends
			checkDecoded(t, passed(), "handShake",
				chatv1packetrpc.ChatServiceSendAction, chatv1packetrpc.ChatServiceTypingAction,
				chatv1packetrpc.ChatServiceHistoryAction, chatv1packetrpc.ChatServiceImportAction,
				chatv1packetrpc.ChatServiceTalkAction, chatv1packetrpc.ChatServiceWhoAction,
				chatv1packetrpc.ChatEventsJoinedAction, chatv1packetrpc.ChatEventsPostedAction,
				chatv1packetrpc.ChatEventsTypedAction, chatv1packetrpc.ChatEventsStatusAction)
		})
	}
}

// The programs of the system before this one go through a tap as well.
func TestTappedOldProgram(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	address, passed := startTap(t, &tap.Proxy{Server: startRoom(t)})
	host, port, _ := net.SplitHostPort(address)
	output, err := exec.CommandContext(within(t), python, "testdata/oldprogram.py", host, port).CombinedOutput()
	if err != nil || string(output) != "ok\n" {
		t.Errorf("%v\n%s", err, output)
	}
	events := passed()
	checkDecoded(t, events, "handShake", chatv1packetrpc.ChatServiceSendAction)
}
