package tap_test

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/packetrpc/packetrpc/internal/tap"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// formsOf returns how a secret could be written.
func formsOf(secret string) []string {
	return []string{
		secret,
		base64.RawStdEncoding.EncodeToString([]byte(secret)),
		hex.EncodeToString([]byte(secret)),
		strings.TrimSpace(fmt.Sprintf("% x", secret)),
	}
}

// wire is a connection without a client.
type wire struct {
	t       *testing.T
	nc      net.Conn
	replies *bufio.Scanner
}

func dial(t *testing.T, address string) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &wire{t, nc, bufio.NewScanner(nc)}
}

// ask sends a packet and returns the next one.
func (w *wire) ask(packet string) (reply struct {
	Action, Status, Token string
}) {
	w.t.Helper()
	if _, err := w.nc.Write([]byte(packet)); err != nil {
		w.t.Fatal(err)
	}
	if !w.replies.Scan() {
		w.t.Fatalf("no answer to %s: %v", packet, w.replies.Err())
	}
	if err := json.Unmarshal(w.replies.Bytes(), &reply); err != nil {
		w.t.Fatalf("%s: %v", w.replies.Text(), err)
	}
	return reply
}

// Secrets are found wherever they are put, with and without a schema.
func TestSecrets(t *testing.T) {
	room := startRoom(t)
	const resume = "a-token-of-an-earlier-session"
	for _, test := range []struct {
		name     string
		decoding tap.Decoding
	}{
		{"with a schema", tap.Decoding{Schema: chatSchema(t), Hide: []string{"nickname"}}},
		{"without a schema", tap.Decoding{Hide: []string{"nickname"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			watched := startTap(t, &tap.Proxy{Server: room, Decoding: test.decoding})
			w := dial(t, watched.address)
			w.ask(`{"action":"chat.v1.ChatService/Send","data":{"password":"` + aSecret + `"}}`)
			token := w.ask(`{"action":"handShake","data":{"username":"ada","password":"` + aSecret + `","resumeToken":"` +
				base64.StdEncoding.EncodeToString([]byte(resume)) + `","Password":"` + aSecret + `"}}`).Token
			for _, packet := range []string{
				// malformed, and what does not belong where it is
				`{"action":"chat.v1.ChatService/Send","data":{"text":"a"},"kind":7,"message":"x","token":"TOKEN"}`,
				`{"action":"chat.v1.ChatService/Send","data":{"text":{"password":"SECRET"}},"token":"TOKEN"}`,
				`{"action":"chat.v1.ChatService/Send","data":{"text":5,"secret":"SECRET"},"token":"TOKEN"}`,
				`{"action":"handShake","data":{"username":"SECRET"},"data":"SECRET","token":"TOKEN"}`,
				// names of secrets, as they may be written
				`{"action":"chat.v1.ChatService/Send","data":{"API-Key":"SECRET","Auth_Token":["SECRET",{"a":"SECRET"}]},"token":"TOKEN"}`,
				`{"action":"some/Login","data":{"user":{"passWord":"SECRET"},"nickName":"SECRET"},"token":"TOKEN"}`,
				`{"action":"some/Login","metadata":{"proxy-authorization":["SECRET"],"cookie":"SECRET"},"token":"TOKEN"}`,
				// the token where it does not belong
				`{"action":"TOKEN","data":{"text":"a TOKEN"},"metadata":{"a":"TOKEN"},"token":"TOKEN"}`,
				`{"action":"chat.v1.ChatService/Send","data":{"TOKEN":"` + resume + `"},"token":"` + resume + `"}`,
				`{"action":"chat.v1.ChatService/Send","data":{"text":"\u0054OKEN"},"token":"TOKEN"}`,
			} {
				packet = strings.ReplaceAll(packet, `\u0054OKEN`, fmt.Sprintf(`\u%04x%s`, token[0], token[1:]))
				w.ask(strings.NewReplacer("SECRET", aSecret, "TOKEN", token).Replace(packet))
			}
			w.nc.Close()
			watched.waitKind(t, tap.KindClosed)
			events := watched.all()
			for _, secret := range []string{aSecret, token, resume} {
				checkSecret(t, events, secret)
			}
			checkReplay(t, events)
			if shown := lines(tap.View{Full: true}, events); !strings.Contains(shown, `"username":"ada"`) || !strings.Contains(shown, "bears another token") {
				t.Errorf("too much is hidden:\n%s", shown)
			}
		})
	}
}

// A schema says of fields what must not be shown, whatever their names.
func TestDebugRedact(t *testing.T) {
	field := func(name string, number int32, typ descriptorpb.FieldDescriptorProto_Type, redact bool) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: typ.Enum(), Options: &descriptorpb.FieldOptions{DebugRedact: &redact}}
		if typ == descriptorpb.FieldDescriptorProto_TYPE_MESSAGE {
			f.TypeName = proto.String(".login.Card")
		}
		return f
	}
	renamed := func(f *descriptorpb.FieldDescriptorProto, json string) *descriptorpb.FieldDescriptorProto {
		f.JsonName = &json
		return f
	}
	details := field("details", 6, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, false)
	details.TypeName = proto.String(".google.protobuf.Any")
	const text, message = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	known, err := schema.New([]*descriptorpb.FileDescriptorProto{{
		Name: proto.String("login.proto"), Package: proto.String("login"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/any.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Card"),
			Field: []*descriptorpb.FieldDescriptorProto{field("owner", 1, text, false), field("bank_number", 2, text, true), field("other", 3, message, false),
				renamed(field("number", 4, text, true), "no"), renamed(field("password", 5, text, false), "pw"), details},
		}, {
			Name:  proto.String("Pin"),
			Field: []*descriptorpb.FieldDescriptorProto{field("digits", 1, text, true)},
		}},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name:   proto.String("Cards"),
			Method: []*descriptorpb.MethodDescriptorProto{{Name: proto.String("Add"), InputType: proto.String(".login.Card"), OutputType: proto.String(".login.Card")}},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	card := []byte("\x0a\x03ada\x12" + string(rune(len(aSecret))) + aSecret)
	nested := append([]byte("\x1a"+string(rune(len(card)))), card...)
	for name, sent := range map[string]string{
		"binary": binaryPackets(packet.Packet{CallID: 3, Action: "login.Cards/Add", Data: append(card, nested...)}),
		"json":   `{"id":3,"action":"login.Cards/Add","data":{"owner":"ada","bank_number":"` + aSecret + `","other":{"owner":"ada","bankNumber":"` + aSecret + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			watched := startTap(t, &tap.Proxy{Server: script(t, ""), Decoding: tap.Decoding{Schema: known}})
			if _, err := io.WriteString(dial(t, watched.address).nc, sent); err != nil {
				t.Fatal(err)
			}
			e := watched.waitKind(t, "request")
			if got := strings.ReplaceAll(string(e.Data), "bank_number", "bankNumber"); got != `{"owner":"ada","bankNumber":"[hidden]","other":{"owner":"ada","bankNumber":"[hidden]"}}` {
				t.Errorf("shown as %s %q", got, e.Notes)
			}
			checkSecret(t, watched.all(), aSecret)
		})
	}
	pin := "\x0a" + string(rune(len(aSecret))) + aSecret
	url := "type.googleapis.com/login.Pin"
	anyOf := "\x0a" + string(rune(len(url))) + url + "\x12" + string(rune(len(pin))) + pin
	for name, sent := range map[string]string{
		"names in the JSON form": `{"id":3,"action":"login.Cards/Add","data":{"number":"` + aSecret + `","no":"` + aSecret + `","pw":"` + aSecret + `"}}`,
		"names of the schema": binaryPackets(packet.Packet{CallID: 3, Action: "login.Cards/Add",
			Data: []byte("\x22" + string(rune(len(aSecret))) + aSecret + "\x2a" + string(rune(len(aSecret))) + aSecret)}),
		"a message of any type": `{"id":3,"action":"login.Cards/Add","data":{"details":{"digits":"` + aSecret + `","@type":"` + url + `"}}}`,
		"a binary one": binaryPackets(packet.Packet{CallID: 3, Action: "login.Cards/Add",
			Data: []byte("\x32" + string(rune(len(anyOf))) + anyOf)}),
	} {
		t.Run(name, func(t *testing.T) {
			watched := startTap(t, &tap.Proxy{Server: script(t, ""), Decoding: tap.Decoding{Schema: known}})
			if _, err := io.WriteString(dial(t, watched.address).nc, sent); err != nil {
				t.Fatal(err)
			}
			if e := watched.waitKind(t, "request"); !strings.Contains(string(e.Data), "[hidden]") {
				t.Errorf("shown as %s %q", e.Data, e.Notes)
			}
			checkSecret(t, watched.all(), aSecret)
		})
	}
}
