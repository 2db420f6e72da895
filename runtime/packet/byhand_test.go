package packet_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// A packet made by hand, with data that encoding/json makes an object of.
func ExampleCreate() {
	p, err := packet.Create("PACKETNAME", map[string]any{
		"example": "The data belonging to the packet",
		"data":    []int{1, 2, 3},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	p.Created = 1712345678_900000 // now, unless it is to be printed
	fmt.Printf("%s", p.Encode())
	// Output:
	// {"action":"PACKETNAME","data":{"data":[1,2,3],"example":"The data belonging to the packet"},"packet-created":1712345678.9,"token":null}
}

// The data may be a message of a .proto file.
func ExampleCreate_message() {
	p, err := packet.Create("handShake", &packetrpcv1.HandshakeRequest{Username: "demo", Password: "test"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Action, string(p.Data))
	// Output:
	// handShake {"username":"demo","password":"test"}
}

// A packet read by hand.
func ExampleDecode() {
	text := `{"action": "PACKETNAME", "data": {"example": "text", "data": 5}, "packet-created": 1712345678.9, "token": null}`
	p, err := packet.Decode([]byte(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	var data struct {
		Example string
		Data    int
	}
	if err := p.DataInto(&data); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Action, time.UnixMicro(p.Created).UTC(), data.Example, data.Data)
	// Output:
	// PACKETNAME 2024-04-05 19:34:38.9 +0000 UTC text 5
}

// The packets in bytes as they come from a connection; the last one is not there
// yet in full.
func ExampleSplitter() {
	unread := []byte(`{"action":"CorePing","data":{}} {"action":"SEND","da`)
	s := packet.NewSplitter(packet.JSON, 4<<20)
	for {
		body, n, err := s.Next(unread)
		if err != nil || n == 0 {
			break
		}
		unread = unread[n:]
		if body == nil {
			continue
		}
		var p packet.Packet
		fmt.Println(packet.ParseJSON(&p, body), p.Action)
	}
	fmt.Printf("%s\n", unread)
	// Output:
	// <nil> CorePing
	// {"action":"SEND","da
}

func TestCreate(t *testing.T) {
	before := time.Now().UnixMicro()
	for _, test := range []struct {
		data any
		want string
	}{
		{nil, `{}`},
		{map[string]int{"a": 1}, `{"a":1}`},
		{struct{ A string }{"€"}, `{"A":"€"}`},
		{json.RawMessage("{ \"a\" :\n[ ] }"), `{"a":[]}`},
		{(*packetrpcv1.Limits)(nil), `{}`},
	} {
		p, err := packet.Create("A", test.data)
		if err != nil {
			t.Fatal(err)
		}
		if p.Action != "A" || p.Kind != packet.KindRequest || p.Created < before || p.Created > time.Now().UnixMicro() {
			t.Errorf("%+v", p)
		}
		if diff := cmp.Diff(test.want, string(p.Data)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(p.Encode(), &keys); err != nil || len(keys) != 4 || string(keys["token"]) != "null" {
			t.Errorf("%s: %v", p.Encode(), err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	for _, test := range []struct {
		data any
		want string
	}{
		{5, `data of "A": "5" is not a JSON object`},
		{[]int{}, `data of "A": "[]" is not a JSON object`},
		{map[string]int(nil), `data of "A": "null" is not a JSON object`},
		{json.RawMessage(`{} {}`), `data of "A": json: error calling MarshalJSON for type json.RawMessage: invalid character '{' after top-level value`},
		{json.RawMessage(``), `data of "A": json: error calling MarshalJSON for type json.RawMessage: unexpected end of JSON input`},
		{func() {}, `data of "A": json: unsupported type: func()`},
	} {
		if p, err := packet.Create("A", test.data); err == nil || err.Error() != test.want {
			t.Errorf("got %v, %v, want error %s", p, err, test.want)
		}
	}
	if _, err := packet.Create("", nil); err == nil || err.Error() != "a request needs an action" {
		t.Errorf("no action: %v", err)
	}
	if _, err := packet.Create("A", &packetrpcv1.HandshakeRequest{Username: "\xff"}); err == nil {
		t.Error("a message that is not UTF-8: no error")
	}
}

func TestDecode(t *testing.T) {
	text := []byte(" {\"data\":{\"maxOpenCalls\":3},\"token\":\"t\"}\n")
	p, err := packet.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	var limits packetrpcv1.Limits
	if err := p.DataInto(&limits); err != nil || limits.GetMaxOpenCalls() != 3 || p.Token != "t" {
		t.Errorf("%v, %v, token %q", &limits, err, p.Token)
	}
	if got, want := string(p.Encode()), `{"data":{"maxOpenCalls":3},"token":"t"}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := packet.Decode([]byte(`{} {}`)); err == nil || !strings.Contains(err.Error(), "end of the packet") {
		t.Errorf("garbage behind: %v", err)
	}
	for _, data := range []string{``, `{}`} {
		got := struct{ A int }{1}
		if err := (&packet.Packet{Data: []byte(data)}).DataInto(&got); err != nil || got.A != 1 {
			t.Errorf("%q: %v, %v", data, got, err)
		}
	}
}
