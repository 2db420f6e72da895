package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/packetrpc/packetrpc/examples/freeform/gen/freeform/v1/freeformv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "example: The data belonging to the packet\nlength: 3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Both forms carry what any JSON object holds.
func TestTypedAtBothEnds(t *testing.T) {
	started := packetrpctest.Start(t, newServer())
	for name, options := range map[string][]client.Option{"binary": nil, "json": {client.WithJSON()}} {
		t.Run(name, func(t *testing.T) {
			conn := started.Dial(t, options...)
			request, err := structpb.NewStruct(map[string]any{
				"example": "text",
				"data":    []any{nil, true, 1.5, "x", map[string]any{"a": []any{}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			reply, err := freeformv1packetrpc.NewFreeformServiceClient(conn).Exchange(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if got := reply.AsMap(); got["example"] != "text" || got["length"] != 5.0 {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A program that knows no .proto file makes its packets by hand, without newlines,
// and reads one packet at a time.
func TestPlainJSONClient(t *testing.T) {
	started := packetrpctest.Start(t, newServer())
	nc, err := started.Listener.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))

	shaken := exchangeByHand(t, nc, "handShake", map[string]string{"username": "demo", "password": "test"}, "")
	if shaken.Action != "handShake" || shaken.Token == "" {
		t.Fatalf("the handshake was answered by %s", shaken.Encode())
	}
	data := map[string]any{"example": "The data belonging to the packet", "data": []int{1, 2, 3}}
	reply := exchangeByHand(t, nc, "PACKETNAME", data, shaken.Token)
	var got struct {
		Example string
		Length  int
	}
	if err := reply.DataInto(&got); err != nil {
		t.Fatal(err)
	}
	if reply.Action != "PACKETNAME" || got.Example != data["example"] || got.Length != 3 {
		t.Errorf("PACKETNAME was answered by %s", reply.Encode())
	}
}

// exchangeByHand writes a packet and reads its reply by one read.
func exchangeByHand(t *testing.T, nc net.Conn, action string, data any, token string) *packet.Packet {
	t.Helper()
	request, err := packet.Create(action, data)
	if err != nil {
		t.Fatal(err)
	}
	request.Token = token
	if _, err := nc.Write(request.Encode()); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1024)
	n, err := nc.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := packet.Decode(buffer[:n])
	if err != nil {
		t.Fatalf("%q: %v", buffer[:n], err)
	}
	return reply
}
