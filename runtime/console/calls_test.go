package console_test

import (
	"bufio"
	"context"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/console"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// event is what tests look at of a call's events.
type event struct {
	Call   string
	Packet *struct {
		Sent, Omitted    bool
		Kind, Form, JSON string
		Size             int
		Binary           []struct {
			Offset, Depth     int
			Hex, Field, Value string
		}
	}
	Message any
	End     *struct {
		Code, Message, Outcome string
		Details                []map[string]any
		Metadata               [][2]string
		Millis                 float64
	}
}

// call makes a call and returns all its events, of which the last one is the end.
func (s *site) call(body string) []event {
	s.t.Helper()
	response, text := s.do(s.request(http.MethodPost, "/api/calls", body))
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %s", body, response.StatusCode, text)
	}
	var events []event
	for line := range strings.Lines(text) {
		events = append(events, parseEvent(s.t, line))
	}
	if last := events[len(events)-1]; last.End == nil {
		s.t.Fatalf("%s: the last event is %+v", body, last)
	}
	return events
}

func parseEvent(t *testing.T, line string) (e event) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return e
}

// messages returns the replies among events.
func messages(events []event) (list []any) {
	for _, e := range events {
		if e.Message != nil {
			list = append(list, e.Message)
		}
	}
	return list
}

// kinds returns the packets among events: their kinds, with ">" those that were sent.
func kinds(events []event) string {
	var list []string
	for _, e := range events {
		if e.Packet != nil && e.Packet.Sent {
			list = append(list, ">"+e.Packet.Kind)
		} else if e.Packet != nil {
			list = append(list, "<"+e.Packet.Kind)
		}
	}
	return strings.Join(list, " ")
}

func object(pairs ...any) map[string]any {
	o := make(map[string]any)
	for i := 0; i < len(pairs); i += 2 {
		o[pairs[i].(string)] = pairs[i+1]
	}
	return o
}

func TestCalls(t *testing.T) {
	s := newSite(t)
	for _, test := range []struct {
		name     string
		body     string
		code     string
		messages []any
		packets  string
	}{
		{"unary", `{"action":"chat.v1.ChatService/Send","messages":[{"text":"hello"}]}`, "", []any{object("number", 5.0)}, ">request <response"},
		{"no message", `{"action":"CorePing"}`, "", nil, ">request <response"},
		{"fails", `{"action":"chat.v1.ChatService/Send","messages":[{}]}`, "invalid_argument", nil, ">request <error"},
		{"panics", `{"action":"chat.v1.ChatService/Send","messages":[{"text":"panic"}]}`, "internal", nil, ">request <error"},
		{"too late", `{"action":"chat.v1.ChatService/Send","messages":[{"text":"wait"}],"timeout":0.05}`, "deadline_exceeded", nil, ""},
		{"one-way", `{"action":"chat.v1.ChatService/Typing","messages":[{}]}`, "", nil, ">one-way"},
		{"server stream", `{"action":"chat.v1.ChatService/History","messages":[{"limit":2}]}`, "", []any{
			object("message", object("number", 1.0, "text", "hello")), object("message", object("number", 2.0, "text", "hello")),
		}, ">request <message <message <response"},
		{"client stream", `{"action":"chat.v1.ChatService/Import","messages":[{"text":"a"},{"text":"b"}]}`, "", []any{object("count", 2.0)},
			">request >message >message >half-close <response"},
		{"empty stream", `{"action":"chat.v1.ChatService/Import"}`, "", []any{object()}, ">request >half-close <response"},
		{"not implemented", `{"action":"chat.v1.ChatService/Who"}`, "unimplemented", nil, ">request <error"},
		{"sealed", `{"action":"chat.v1.ChatService/Whisper"}`, "failed_precondition", nil, ""},
		{"unknown reply", `{"action":"consoletest/Everything","messages":[{"small":1,"more":[{}]}]}`, "", []any{object("small", 1.0, "more", []any{object()})}, ">request <response"},
	} {
		for _, form := range []string{"binary", "json"} {
			t.Run(test.name+" in "+form, func(t *testing.T) {
				s := &site{t, s.srv, s.chat, s.serving, s.console}
				events := s.call(strings.TrimSuffix(test.body, "}") + `,"form":"` + form + `"}`)
				end := events[len(events)-1].End
				if end.Code != test.code || (end.Message == "") != (test.code == "") || end.Millis <= 0 {
					t.Errorf("the end is %+v, want the code %q", end, test.code)
				}
				want := test.messages
				if test.name == "no message" {
					want = messages(events) // it has the time
				}
				if diff := cmp.Diff(want, messages(events)); diff != "" {
					t.Errorf("the replies (-want +got):\n%s", diff)
				}
				if got := kinds(events); test.packets != "" && got != test.packets && !interleaved(got, test.packets) {
					t.Errorf("the packets are %s, want %s", got, test.packets)
				}
				for _, e := range events {
					if e.Packet != nil && e.Packet.Form != form && test.name != "unknown reply" {
						t.Errorf("a packet of the %s form: %+v", e.Packet.Form, e.Packet)
					}
				}
			})
		}
	}
	for range 2 {
		if name := receive(t, s.chat.typed); name != "root" {
			t.Errorf("the one-way call came from %q", name)
		}
	}
	eventually(t, "the clients of the calls to go", func() bool { return s.srv.Count() == 0 })
}

// interleaved reports whether two lists of packets have the same ones in each direction:
// which of them crosses the other is left to chance.
func interleaved(a, b string) bool {
	for _, direction := range []string{">", "<"} {
		pick := func(list string) []string {
			return slices.DeleteFunc(strings.Fields(list), func(p string) bool { return !strings.HasPrefix(p, direction) || p == ">credit" || p == "<credit" })
		}
		if !slices.Equal(pick(a), pick(b)) {
			return false
		}
	}
	return true
}

// What is shown is what went over the wire, in both forms, without the token.
func TestPackets(t *testing.T) {
	s := newSite(t)
	for _, form := range []string{"binary", "json"} {
		events := s.call(`{"action":"chat.v1.ChatService/Send","messages":[{"text":"hello"}],"metadata":[["language","en"]],"form":"` + form + `"}`)
		end := events[len(events)-1].End
		if diff := cmp.Diff([][2]string{{"heard-in", "en"}}, end.Metadata); diff != "" {
			t.Errorf("the metadata of the reply: %s", diff)
		}
		request, response := events[0].Packet, events[1].Packet
		var packet struct {
			ID       int
			Action   string
			Data     any
			Token    string
			Metadata any
		}
		if err := json.Unmarshal([]byte(request.JSON), &packet); err != nil {
			t.Fatal(err)
		}
		if packet.ID == 0 || packet.Action != chatv1packetrpc.ChatServiceSendAction || packet.Token != "masked" ||
			!cmp.Equal(packet.Data, any(object("text", "hello"))) || !cmp.Equal(packet.Metadata, any(object("language", "en"))) {
			t.Errorf("the request is %s", request.JSON)
		}
		values := make(map[string]string)
		next := 0
		for _, row := range request.Binary {
			values[row.Field] = row.Value + " = " + row.Hex
			if row.Offset != next {
				t.Errorf("the field %s is at %d, want %d", row.Field, row.Offset, next)
			}
			next += len(strings.Fields(row.Hex))
		}
		if length := request.Binary[0]; form == "binary" && (fmt.Sprint(request.Size) != length.Value || next != request.Size+1) {
			t.Errorf("the packet has %d bytes, and its fields %d, with the length %s", request.Size, next, length.Value)
		}
		for field, want := range map[string]string{
			"text":    `"hello" = 0a 05 68 65 6c 6c 6f`,
			"data":    "chat.v1.SendRequest = 12 07",
			"call_id": "3 = 30 03",
		} {
			if values[field] != want {
				t.Errorf("in the %s form the field %s is %s, want %s", form, field, values[field], want)
			}
		}
		if token := values["token"]; !strings.HasPrefix(token, "masked = 22 ") || strings.Trim(strings.Fields(token)[4], "·") != "" {
			t.Errorf("the token is %s", token)
		}
		if response.Sent || response.Kind != "response" || !strings.Contains(response.JSON, `"number": 5`) {
			t.Errorf("the response is %+v", response)
		}
	}
}

// The dump names the values of every kind of field.
func TestDump(t *testing.T) {
	s := newSite(t)
	events := s.call(`{"action":"consoletest/Everything","messages":[{
		"flag":true,"small":-3,"large":"-4","real":1.5,"text":"a\"b","raw":"AQID","colour":"COLOUR_RED","perhaps":0,
		"words":["x"],"numbers":[-1,2],"ages":{"ada":36},"inside":{"flag":true},"code":"5","ratio":0.5,"fixed":-6,"when":"1970-01-01T00:00:01Z"}]}`)
	var got []string
	for _, row := range events[0].Packet.Binary {
		if row.Depth > 0 {
			got = append(got, strings.Repeat(".", row.Depth-1)+row.Field+" "+row.Value)
		}
	}
	slices.Sort(got)
	want := []string{
		"flag true", "small -3", "large -4", "real 1.5", `text "a\"b"`, "raw 3 bytes", "colour COLOUR_RED", "perhaps 0",
		`words "x"`, "numbers -1, 2", "ages consoletest.Everything.AgesEntry", `.key "ada"`, ".value 36",
		"inside consoletest.Everything", ".flag true", "code 5", "ratio 0.5", "fixed -6", "when google.protobuf.Timestamp", ".seconds 1",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fields (-want +got):\n%s", diff)
	}
}

func TestErrorDetails(t *testing.T) {
	s := newSite(t)
	events := s.call(`{"action":"chat.v1.ChatService/Send"}`)
	end := events[len(events)-1].End
	want := []map[string]any{object("@type", "type.googleapis.com/chat.v1.TextProblem", "maxLength", 1000.0)}
	if diff := cmp.Diff(want, end.Details); diff != "" || end.Outcome != "answered" || end.Message != "there is no text" {
		t.Errorf("the end is %+v: %s", end, diff)
	}
}

// Large messages travel in fragments, which are shown as far as there is room.
func TestLargeMessages(t *testing.T) {
	s := newSite(t)
	for _, form := range []string{"binary", "json"} {
		events := s.call(fmt.Sprintf(`{"action":"CorePing","messages":[{"text":%q}],"form":%q}`, strings.Repeat("x", 1<<20), form))
		reply, _ := messages(events)[0].(map[string]any)
		if text, _ := reply["text"].(string); len(text) != 1<<20 {
			t.Errorf("in the %s form the reply has %d bytes", form, len(text))
		}
		for _, e := range events {
			if e.Packet == nil {
				continue
			}
			shown := len(e.Packet.JSON)
			for _, row := range e.Packet.Binary {
				shown += len(row.Hex) + len(row.Value)
			}
			if shown > 70<<10 {
				t.Errorf("in the %s form %d bytes are shown of a packet", form, shown)
			}
		}
	}
	events := s.call(`{"action":"chat.v1.ChatService/History","messages":[{"limit":1000}]}`)
	packets, omitted := 0, 0
	for _, e := range events {
		if e.Packet != nil && e.Packet.Omitted {
			omitted++
		} else if e.Packet != nil {
			packets++
		}
	}
	if len(messages(events)) != 1000 || packets > 300 || omitted != 1 {
		t.Errorf("there are %d replies, %d packets and %d omissions", len(messages(events)), packets, omitted)
	}
}

func TestRefusedCalls(t *testing.T) {
	s := newSite(t)
	for _, test := range []struct {
		name, path, body string
		status           int
		text             string
	}{
		{"no JSON", "/api/calls", `{`, 400, "cannot be read"},
		{"unknown key", "/api/calls", `{"acton":"CorePing"}`, 400, "acton"},
		{"unknown action", "/api/calls", `{"action":"nothing"}`, 404, "nothing"},
		{"other message", "/api/calls", `{"action":"CorePing","messages":[{"txet":"x"}]}`, 400, "message 1 is no packetrpc.v1.PingRequest"},
		{"two messages", "/api/calls", `{"action":"CorePing","messages":[{},{}]}`, 400, "one message"},
		{"open", "/api/calls", `{"action":"CorePing","open":true}`, 400, "one message"},
		{"form", "/api/calls", `{"action":"CorePing","form":"xml"}`, 400, "xml"},
		{"deadline", "/api/calls", `{"action":"CorePing","timeout":-1}`, 400, "deadline"},
		{"metadata", "/api/calls", `{"action":"CorePing","metadata":[["a b","x"]]}`, 400, "a b"},
		{"too large", "/api/calls", `{"action":"CorePing","messages":[{"text":"` + strings.Repeat("x", 9<<20) + `"}]}`, 400, "cannot be read"},
		{"no such call", "/api/calls/x/messages", `{}`, 404, "no such call"},
		{"no such call to half-close", "/api/calls/x/half-close", `{}`, 404, "no such call"},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, body := s.do(s.request(http.MethodPost, test.path, test.body))
			if response.StatusCode != test.status || !strings.Contains(body, test.text) {
				t.Errorf("got %d %s, want %d and %q", response.StatusCode, body, test.status, test.text)
			}
		})
	}
	if s.srv.Stats().Connected != 0 {
		t.Error("the server was connected to")
	}
}

// openCall is a call that is under way.
type openCall struct {
	site     *site
	id       string
	lines    *bufio.Reader
	response *http.Response
	cancel   context.CancelFunc
}

// open opens a stream that more messages can be sent on.
func (s *site) open(action string) *openCall {
	s.t.Helper()
	r := s.request(http.MethodPost, "/api/calls", `{"action":"`+action+`","open":true}`)
	ctx, cancel := context.WithCancel(r.Context())
	s.t.Cleanup(cancel)
	response, err := s.console.Client().Do(r.WithContext(ctx))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { response.Body.Close() })
	o := &openCall{site: s, lines: bufio.NewReader(response.Body), response: response, cancel: cancel}
	if response.StatusCode == http.StatusOK {
		o.id = o.next(func(e event) bool { return e.Call != "" }).Call
	}
	return o
}

// next returns the next event that is wanted.
func (o *openCall) next(wanted func(event) bool) event {
	o.site.t.Helper()
	for {
		line, err := o.lines.ReadString('\n')
		if err != nil {
			o.site.t.Fatalf("reading events: %v", err)
		}
		if e := parseEvent(o.site.t, line); wanted(e) {
			return e
		}
	}
}

// post sends to the call and returns the status of the answer.
func (o *openCall) post(what, body string, as ...string) int {
	o.site.t.Helper()
	r := o.site.request(http.MethodPost, "/api/calls/"+o.id+"/"+what, body)
	for _, name := range as {
		r.SetBasicAuth(name, "of "+name)
	}
	response, _ := o.site.do(r)
	return response.StatusCode
}

func TestOpenStream(t *testing.T) {
	s := newSiteWith(t, []console.Option{console.WithRole("")}, server.WithAuthenticator(passwords))
	talk := s.open(chatv1packetrpc.ChatServiceTalkAction)
	for _, line := range []string{"one", "two"} {
		if status := talk.post("messages", `{"messages":[{"text":"`+line+`"}]}`); status != 204 {
			t.Fatalf("sending is answered by %d", status)
		}
		reply := talk.next(func(e event) bool { return e.Message != nil })
		if diff := cmp.Diff(any(object("text", "you said "+line)), reply.Message); diff != "" {
			t.Error(diff)
		}
	}
	if status := talk.post("messages", `{"messages":[{"txet":"x"}]}`); status != 400 {
		t.Errorf("another message is answered by %d", status)
	}
	if status := talk.post("messages", `{"messages":[{"text":"x"}]}`, "ada"); status != 404 {
		t.Errorf("a message of another user is answered by %d", status)
	}
	if status := talk.post("half-close", `{}`); status != 204 {
		t.Errorf("half-closing is answered by %d", status)
	}
	if end := talk.next(func(e event) bool { return e.End != nil }); end.End.Code != "" {
		t.Errorf("the end is %+v", end.End)
	}
	if rest, err := io.ReadAll(talk.lines); len(rest) > 0 || err != nil {
		t.Errorf("after the end there is %s, %v", rest, err)
	}
	if status := talk.post("messages", `{"messages":[{}]}`); status != 404 {
		t.Errorf("a message after the end is answered by %d", status)
	}
}

// A call ends when nobody listens to it any more.
func TestCallsEndWithTheirRequest(t *testing.T) {
	s := newSite(t)
	call := s.open(chatv1packetrpc.ChatServiceImportAction)
	eventually(t, "the call to be under way", func() bool { return s.srv.Stats().Calls == 1 })
	call.cancel()
	eventually(t, "no call to be under way", func() bool { return s.srv.Stats().Calls == 0 && s.srv.Count() == 0 })
}

func TestCallsAtOnceAreBounded(t *testing.T) {
	s := newSite(t)
	var calls []*openCall
	for range 64 {
		calls = append(calls, s.open(chatv1packetrpc.ChatServiceImportAction))
	}
	if one := s.open(chatv1packetrpc.ChatServiceImportAction); one.response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more is answered by %d", one.response.StatusCode)
	}
	for _, call := range calls {
		call.cancel()
	}
	eventually(t, "them to end", func() bool { return s.srv.Count() == 0 })
}

// Calls are made by the user, who has the roles that they have everywhere, and from the
// browser's address.
func TestCallsAreTheUsers(t *testing.T) {
	s := newSiteWith(t, []console.Option{console.WithRole("")}, server.WithAuthenticator(passwords))
	as := func(name, action string) event {
		r := s.request(http.MethodPost, "/api/calls", `{"action":"`+action+`"}`)
		r.SetBasicAuth(name, "of "+name)
		_, body := s.do(r)
		for line := range strings.Lines(body) {
			if e := parseEvent(t, line); e.Message != nil || e.End != nil {
				return e
			}
		}
		t.Fatalf("%s calls %s: %s", name, action, body)
		return event{}
	}
	info, _ := as("root", "CoreInfo").Message.(map[string]any)
	who, _ := info["client"].(map[string]any)
	address, _ := info["address"].(string)
	if who["name"] != "root" || !cmp.Equal(info["roles"], any([]any{"admin", "auditor"})) || !strings.HasPrefix(address, "127.0.0.1:") {
		t.Errorf("the caller is %v", info)
	}
	if e := as("ada", "CoreBroadcast"); e.End == nil || e.End.Code != "permission_denied" {
		t.Errorf("without the role: %+v", e)
	}
}

// A one-way call that is refused is told to have failed, though nothing answers those
// that are not.
func TestRefusedOneWayCall(t *testing.T) {
	s := newSite(t)
	for _, form := range []string{"binary", "json"} {
		events := s.call(`{"action":"consoletest/Guarded","form":"` + form + `"}`)
		if end := events[len(events)-1].End; end.Code != "permission_denied" {
			t.Errorf("in the %s form the end is %+v", form, end)
		}
	}
}

// A server that encrypts is called inside of TLS, where sealed actions can be called too.
func TestEncryptedServer(t *testing.T) {
	key := testKey()
	s := newSite(t, server.WithKey(key))
	s.dial("ada", client.WithServerKey(seal.PinKey(&key.PublicKey)))
	if now := s.state(""); len(now.Clients) != 1 || !now.Clients[0].Encrypted {
		t.Errorf("the clients are %+v", now.Clients)
	}
	for _, form := range []string{"binary", "json"} {
		events := s.call(`{"action":"chat.v1.ChatService/Send","messages":[{"text":"hello"}],"form":"` + form + `"}`)
		if diff := cmp.Diff([]any{object("number", 5.0)}, messages(events)); diff != "" || kinds(events) != ">request <response" {
			t.Errorf("the packets are %s, the replies %s", kinds(events), diff)
		}
		events = s.call(`{"action":"chat.v1.ChatService/Whisper","messages":[{"text":"a secret"}],"form":"` + form + `"}`)
		if end := events[len(events)-1].End; end.Code != "" {
			t.Errorf("the sealed call: %+v", end)
		}
		if request := events[0].Packet; !strings.Contains(request.JSON, `"sealed": true`) || strings.Contains(request.JSON, "a secret") || len(request.Binary) < 5 {
			t.Errorf("the sealed request is %+v", request)
		}
	}
}

// testKey makes a key once for all tests, as that takes long.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		panic(err)
	}
	return key
})
