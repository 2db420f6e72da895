package packet_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

func TestAppendJSON(t *testing.T) {
	p := full()
	p.Action = "SEND"
	p.More, p.MessageSize = true, 1000
	for _, test := range []struct {
		name string
		p    *packet.Packet
		want string
	}{
		{"empty", &packet.Packet{}, `{"data":{}}`},
		{"one-way", &packet.Packet{Kind: packet.KindOneWay}, `{"kind":"one-way","data":{}}`},
		{"message", &packet.Packet{Kind: packet.KindMessage, CallID: 1}, `{"id":1,"kind":"message","data":{}}`},
		{"response", &packet.Packet{Kind: packet.KindResponse, CallID: 1}, `{"id":1,"kind":"response","data":{}}`},
		{"ping", &packet.Packet{Kind: packet.KindPing}, `{"kind":"ping"}`},
		{"pong", &packet.Packet{Kind: packet.KindPong, Data: []byte("1")}, `{"kind":"pong","data":1}`},
		{"unknown kind", &packet.Packet{Kind: 99}, `{"kind":"kind_99"}`},
		{
			"old program",
			&packet.Packet{Action: "PACKETNAME", Data: []byte(`{"example":1}`), Created: 1712345678_900000, Token: "t"},
			`{"action":"PACKETNAME","data":{"example":1},"packet-created":1712345678.9,"token":"t"}`,
		},
		{
			"full", p,
			`{"id":9007199254740991,"kind":"error","number":300,"action":"SEND","status":"not_found",` +
				`"message":"no such room","reason":"going down","retry-after":1.5,"may-have-run":true,` +
				`"details":[{"type":"google.protobuf.Empty","value":""},{"type":"some.Type","value":"AQID/w=="}],` +
				`"timeout":5.000001,"credit":1048576,"sequence":7,"acknowledged":6,"sealed":true,` +
				`"metadata":{"a":"1","b":["2","\n3"]},"data":{"text":"hello"},` +
				`"packet-created":1712345678.900001,"token":"0123456789abcdef"}`,
		},
		{
			"escapes", &packet.Packet{Kind: packet.KindClose, Reason: "\"\\/\b\t\n\r\x00\x1f\x7f€\u2028<"},
			`{"kind":"close","reason":"\"\\/\u0008\t\n\r\u0000\u001f` + "\x7f€\u2028<" + `"}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := string(packet.AppendJSON([]byte("x"), test.p))
			if diff := cmp.Diff("x"+test.want+"\n", got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseJSON(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       packet.Packet
	}{
		{"empty", `{}`, packet.Packet{}},
		{"white space", " \t\r\n{ \"id\" : 1 , \"action\" : \"a\" } \n", packet.Packet{CallID: 1, Action: "a"}},
		{
			"old program", `{"action": "PACKETNAME", "data": {"example": 1}, "packet-created": 1712345678.9, "token": null}`,
			packet.Packet{Action: "PACKETNAME", Data: []byte(`{"example": 1}`), Created: 1712345678_900000},
		},
		{"escapes", `{"\u0061ction":"\"\\\/\b\f\n\r\t\u20ac\ud83d\ude00\ud83d"}`, packet.Packet{Action: "\"\\/\b\f\n\r\t€😀\ufffd"}},
		{"data of any type", `{"data":null}`, packet.Packet{Data: []byte("null")}},
		{"unknown keys", `{"x":[{"y":[]},-1.5e+3,true,false,null],"Action":1,"":2}`, packet.Packet{}},
		{"kinds", `{"kind":"half-close"}`, packet.Packet{Kind: packet.KindHalfClose}},
		{"unknown kind", `{"kind":"HALF-CLOSE"}`, packet.Packet{Kind: packet.KindUnknown}},
		{"kind 0 is no name", `{"kind":""}`, packet.Packet{Kind: packet.KindUnknown}},
		{"status", `{"status":"data_loss"}`, packet.Packet{Status: packetrpc.CodeDataLoss}},
		{"unknown status", `{"status":"data loss"}`, packet.Packet{Status: packetrpc.CodeUnknown}},
		{"whole numbers", `{"id":1.0,"credit":12e2,"sequence":-0,"acknowledged":9007199254740991,"number":4294967295}`,
			packet.Packet{CallID: 1, Credit: 1200, Acknowledged: 1<<53 - 1, ActionNumber: 1<<32 - 1}},
		{"booleans", `{"sealed":true,"may-have-run":true,"more":false}`, packet.Packet{Sealed: true, MayHaveRun: true}},
		{"durations", `{"timeout":0.0000001,"retry-after":1e300}`,
			packet.Packet{Timeout: time.Microsecond, RetryAfter: math.MaxInt64}},
		{"metadata", `{"metadata":{"b":["2","3"],"a":"1","c":[]}}`, packet.Packet{Metadata: metadata("b", "2", "b", "3", "a", "1")}},
		{"details", `{"details":[{"value":"AQ==","type":"a.B"},{"value":"AQ","x":1},{"type":null}]}`, packet.Packet{Details: []*anypb.Any{
			{TypeUrl: "type.googleapis.com/a.B", Value: []byte{1}}, {Value: []byte{1}}, {},
		}}},
		{
			"null is nothing", `{"action":null,"packet-created":null,"token":null,"kind":null,"id":null,"more":null,"number":null,` +
				`"timeout":null,"metadata":null,"status":null,"message":null,"details":null,"credit":null,"reason":null,` +
				`"sequence":null,"acknowledged":null,"retry-after":null,"may-have-run":null,"sealed":null}`, packet.Packet{},
		},
		{"deep", `{"data":` + nested(511) + `}`, packet.Packet{Data: []byte(nested(511))}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := *full()
			if err := packet.ParseJSON(&got, []byte(test.text)); err != nil {
				t.Fatal(err)
			}
			if test.want.Kind == 0 {
				test.want.Kind = packet.KindRequest
			}
			if diff := cmp.Diff(test.want, got, compare); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func TestParseJSONCreated(t *testing.T) {
	for text, want := range map[string]int64{
		"0":                                     0,
		"-0.0":                                  0,
		"1":                                     1e6,
		"1712345678.9":                          1712345678_900000,
		"1712345678.1234567":                    1712345678_123457,
		"1712345678.1234564":                    1712345678_123456,
		"1712345678.12345649999":                1712345678_123456,
		"1712345678.1234565":                    1712345678_123457,
		"1.7123456789e9":                        1712345678_900000,
		"17123456789E-1":                        1712345678_900000,
		"0.0000000000000000000000000000001e+31": 1e6,
		"10000000000000000000000000000000e-31":  1e6,
		"9223372036854.775807":                  math.MaxInt64,
		"9223372036854.77580690":                math.MaxInt64,
		"1e-400":                                0,
		"1e-99999999999999999999":               0,
		"0e99999999999999999999":                0,
		"4.99999999999999999999999999e-7":       0,
		"5e-7":                                  1,
	} {
		var p packet.Packet
		if err := packet.ParseJSON(&p, fmt.Appendf(nil, `{"packet-created":%s}`, text)); err != nil {
			t.Error(err)
		}
		if p.Created != want {
			t.Errorf("%s s are %d µs, want %d", text, p.Created, want)
		}
	}
}

func TestParseJSONRefuses(t *testing.T) {
	many := strings.Builder{}
	for i := range 100 {
		fmt.Fprintf(&many, `"k%d":0,`, i)
	}
	for _, test := range []struct{ name, text, want string }{
		{"key twice", `{"action":"a","action":"b","id":7}`, `key "action": occurs twice`},
		{"null counts", `{"action":null,"action":"b","id":7}`, `key "action": occurs twice`},
		{"unknown key twice", `{"x":1,"\u0078":2,"id":7}`, `key "x": occurs twice`},
		{"among many", `{` + many.String() + `"k3":1,"id":7}`, `key "k3": occurs twice`},
		{"late among many", `{` + many.String() + `"k77":1,"id":7}`, `key "k77": occurs twice`},
		{"long key twice", `{"` + strings.Repeat("x", 99) + `":1,"` + strings.Repeat("x", 99) + `":1,"id":7}`,
			`key "` + strings.Repeat("x", 64) + `…": occurs twice`},
		{"action", `{"action":1,"id":7}`, `key "action": not a string`},
		{"token", `{"token":{},"id":7}`, `key "token": not a string`},
		{"message", `{"message":[],"id":7}`, `key "message": not a string`},
		{"reason", `{"reason":true,"id":7}`, `key "reason": not a string`},
		{"kind", `{"kind":1,"id":7}`, `key "kind": not a string`},
		{"status", `{"status":5,"id":7}`, `key "status": not a string`},
		{"created", `{"packet-created":"1","id":7}`, `key "packet-created": not a number`},
		{"negative created", `{"packet-created":-0.1,"id":7}`, `key "packet-created": negative`},
		{"huge created", `{"packet-created":9223372036854.775808,"id":7}`, `key "packet-created": out of range`},
		{"endless created", `{"packet-created":1e400,"id":7}`, `key "packet-created": out of range`},
		{"timeout", `{"timeout":"5s","id":7}`, `key "timeout": not a number`},
		{"negative timeout", `{"timeout":-1,"id":7}`, `key "timeout": negative`},
		{"retry after", `{"retry-after":false,"id":7}`, `key "retry-after": not a number`},
		{"number of no kind", `{"credit":"1","id":7}`, `key "credit": not a number`},
		{"fraction", `{"credit":1.5,"id":7}`, `key "credit": not a whole number from 0 to 2^53-1`},
		{"tiny fraction", `{"credit":1e-99,"id":7}`, `key "credit": not a whole number from 0 to 2^53-1`},
		{"negative", `{"sequence":-1,"id":7}`, `key "sequence": not a whole number from 0 to 2^53-1`},
		{"2^53", `{"acknowledged":9007199254740992,"id":7}`, `key "acknowledged": not a whole number from 0 to 2^53-1`},
		{"number", `{"number":4294967296,"id":7}`, `key "number": not a whole number from 0 to 4294967295`},
		{"sealed", `{"sealed":1,"id":7}`, `key "sealed": neither true nor false`},
		{"may have run", `{"may-have-run":"true","id":7}`, `key "may-have-run": neither true nor false`},
		{"more", `{"more":true,"id":7}`, `key "more": messages are not split in the JSON form`},
		{"more of no kind", `{"more":1,"id":7}`, `key "more": neither true nor false`},
		{"metadata", `{"metadata":[],"id":7}`, `key "metadata": not an object`},
		{"metadata key", `{"metadata":{"A":"1"},"id":7}`, `key "metadata": "A" is not a key: keys are lower-case letters, digits, '-', '_' and '.'`},
		{"metadata twice", `{"metadata":{"a":"1","a":"2"},"id":7}`, `key "metadata": key "a": occurs twice`},
		{"metadata value", `{"metadata":{"a":1},"id":7}`, `key "metadata": key "a": neither a string nor an array of strings`},
		{"metadata values", `{"metadata":{"a":["1",null]},"id":7}`, `key "metadata": key "a": neither a string nor an array of strings`},
		{"details", `{"details":{},"id":7}`, `key "details": not an array`},
		{"detail", `{"details":[1],"id":7}`, `key "details": not an array of objects`},
		{"detail twice", `{"details":[{"type":"a","type":"a"}],"id":7}`, `key "details": key "type": occurs twice`},
		{"detail type", `{"details":[{"type":1}],"id":7}`, `key "details": key "type": not a string`},
		{"detail value", `{"details":[{"value":"*"}],"id":7}`, `key "details": key "value": not base64`},
		{"UTF-8", "{\"x\":\"\xff\",\"id\":7}", `not UTF-8`},
		{"UTF-8 comes first", "{\"x\":\"\xff\",\"id\":7", `not UTF-8`},
		{"the first error counts", `{"action":1,"token":1,"id":7,}`, `key "action": not a string`},

		{"ends", `{"id":7`, `not JSON at byte 7: ',' or '}' wanted, the text ends`},
		{"key ends", `{"id":7,"`, `not JSON at byte 9: '"' wanted, the text ends`},
		{"no key", `{"id":7,}`, `not JSON at byte 8: a key wanted, found '}'`},
		{"no colon", `{"id":7,"x"}`, `not JSON at byte 11: ':' wanted, found '}'`},
		{"no value", `{"id":7,"x":}`, `not JSON at byte 12: a value wanted, found '}'`},
		{"no comma", `{"id":7 "x":1}`, `not JSON at byte 8: ',' or '}' wanted, found '"'`},
		{"no comma in array", `{"id":7,"x":[1 2]}`, `not JSON at byte 15: ',' or ']' wanted, found '2'`},
		{"comma in array", `{"id":7,"x":[1,]}`, `not JSON at byte 15: a value wanted, found ']'`},
		{"no object inside", `{"id":7,"x":{1}}`, `not JSON at byte 13: a key wanted, found '1'`},
		{"control character", "{\"id\":7,\"x\":\"\n\"}", `not JSON at byte 13: a string without control characters wanted, found '\n'`},
		{"escape", `{"id":7,"x":"\x"}`, `not JSON at byte 14: an escape wanted, found 'x'`},
		{"escape ends", `{"id":7,"x":"\`, `not JSON at byte 14: an escape wanted, the text ends`},
		{"hexadecimal", `{"id":7,"x":"\u00G0"}`, `not JSON at byte 17: a hexadecimal digit wanted, found 'G'`},
		{"leading zero", `{"id":7,"x":01}`, `not JSON at byte 13: ',' or '}' wanted, found '1'`},
		{"minus", `{"id":7,"x":-}`, `not JSON at byte 13: a digit wanted, found '}'`},
		{"point", `{"id":7,"x":1.}`, `not JSON at byte 14: a digit wanted, found '}'`},
		{"exponent", `{"id":7,"x":1e+}`, `not JSON at byte 15: a digit wanted, found '}'`},
		{"literal", `{"id":7,"x":tru}`, `not JSON at byte 15: true wanted, found '}'`},
		{"NaN", `{"id":7,"x":NaN}`, `not JSON at byte 12: a value wanted, found 'N'`},
		{"null ends", `{"id":7,"x":nul`, `not JSON at byte 15: null wanted, the text ends`},
		{"garbage behind", `{"id":7} x`, `not JSON at byte 9: the end of the packet wanted, found 'x'`},
		{"deep array", `{"id":7,"x":` + nested(512) + `}`, `not JSON at byte 523: nested deeper than 512`},
		{"deep object", `{"id":7,"x":` + strings.Repeat(`{"":`, 512) + `}`, `not JSON at byte 2056: nested deeper than 512`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p packet.Packet
			err := packet.ParseJSON(&p, []byte(test.text))
			if err == nil || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
			if p.CallID != 7 {
				t.Errorf("call id %d, want 7", p.CallID)
			}
		})
	}
	for text, want := range map[string]string{
		"":           "not JSON at byte 0: a JSON object wanted, the text ends",
		"[]":         "not JSON at byte 0: a JSON object wanted, found '['",
		`{"id":"7"}`: `key "id": not a number`,
		`{"id":-}`:   `not JSON at byte 7: a digit wanted, found '}'`,
	} {
		err := packet.ParseJSON(new(packet.Packet), []byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%s: got error %v, want %s", text, err, want)
		}
	}
}

// Times are exact to the microsecond in both directions, which floats are not
// always.
func TestJSONSecondsAreExact(t *testing.T) {
	var got packet.Packet
	for micros := int64(1712345678_000000); micros < 1712345678_000000+1e6; micros += 37 {
		line := packet.AppendJSON(nil, &packet.Packet{Created: micros})
		if err := packet.ParseJSON(&got, line); err != nil || got.Created != micros {
			t.Fatalf("%s: %d, %v", line, got.Created, err)
		}
	}
}
