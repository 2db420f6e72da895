package tap

import (
	"crypto/rsa"
	"encoding/json"

	"google.golang.org/protobuf/proto"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// answer takes the server's key out of its answer to the handshake. A client that knows
// the proxy by the proxy's own key takes another key there for an attack (PROTOCOL
// section 17), and would be right. Without one it sends the data of sealed actions as it
// sends other data, which a server with a key refuses.
type answer struct {
	opening  *opening
	own      *rsa.PublicKey
	splitter *packet.Splitter
	held     []byte // of a packet that is not whole
	over     bool   // there is nothing more to take out
}

// pass returns what to pass on when b has come. Nothing comes after the last b.
func (a *answer) pass(b []byte, last bool) (out []byte) {
	if a.over {
		return b
	}
	form, known := a.opening.known()
	if a.splitter == nil {
		a.splitter = packet.NewSplitter(form, packet.MaxBeforeHandshake)
	}
	a.held = append(a.held, b...)
	for known && !a.over {
		body, n, err := a.splitter.Next(a.held)
		if n == 0 && err == nil {
			break
		}
		if err != nil {
			a.over = true
			break
		}
		out = append(out, a.clean(form, body, a.held[:n])...)
		a.held = a.held[n:]
	}
	if a.over = a.over || last || !known; a.over {
		out = append(out, a.held...)
		a.held = nil
	}
	return out
}

// clean returns a packet, which was raw on the wire, without the server's key.
func (a *answer) clean(form packet.Form, body, raw []byte) []byte {
	var p packet.Packet
	if packet.Parse(form, &p, body) != nil || p.Kind != packet.KindResponse || p.Action != handshakeAction {
		return raw
	}
	a.over = true
	told := new(packetrpcv1.HandshakeResponse)
	if packet.UnmarshalMessage(form, p.Data, told) != nil || len(told.PublicKey) == 0 {
		return raw
	}
	if key, err := seal.ParsePublicKeyDER(told.PublicKey); err == nil && seal.SameKey(key, a.own) {
		return raw
	}
	var err error
	if p.Data, err = withoutKey(form, p.Data, told); err != nil {
		return raw
	}
	return packet.Append(form, nil, &p)
}

// withoutKey returns the data of an answer without the key, and with all else that it
// has, known or not.
func withoutKey(form packet.Form, data []byte, told *packetrpcv1.HandshakeResponse) ([]byte, error) {
	if form == packet.Binary {
		told.PublicKey = nil
		return proto.Marshal(told)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	delete(members, "publicKey")
	delete(members, "public_key")
	return json.Marshal(members)
}
