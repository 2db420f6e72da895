package packet_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Whoever prints a packet to find a fault prints neither its token nor its data.
func TestPacketsShowNoTokens(t *testing.T) {
	p := packet.Packet{Action: "chat/Say", Token: "sesame", Data: []byte("password"), CallID: 7}
	var shown []string
	for _, value := range []any{p, &p, []packet.Packet{p}, []*packet.Packet{&p}, struct{ P packet.Packet }{p}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, string(text))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("packet", "p", p, "pointer", &p)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("packet", "p", p, "pointer", &p)
	for _, s := range append(shown, log.String()) {
		for _, secret := range []string{"sesame", "password", fmt.Sprintf("%x", "sesame")} {
			if strings.Contains(s, secret) {
				t.Errorf("%q shows %q", s, secret)
			}
		}
	}
	for want, p := range map[string]packet.Packet{
		`request "chat/Say", call 7, 8 bytes`:          p,
		`message "", call 3, 0 bytes`:                  {Kind: packet.KindMessage, CallID: 3},
		`request "number 5", call 9, 0 bytes`:          {ActionNumber: 5, CallID: 9},
		`error "", call 1, 0 bytes, not_found: nobody`: {Kind: packet.KindError, CallID: 1, Status: packetrpc.CodeNotFound, Message: "nobody"},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
