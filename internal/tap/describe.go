package tap

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// The actions before and of the handshake, which no service declares.
const (
	handshakeAction = "handShake"
	challengeAction = "CoreChallenge"
)

// corePrefix is what the names of the actions begin with that the program itself knows.
const corePrefix = "Core"

// maxShown is the number of bytes that data as JSON may have to be shown.
const maxShown = 1 << 20

// describer makes JSON of messages. It belongs to one goroutine.
type describer struct {
	known *schema.Schema // nil for none
	core  *schema.Schema
	raw   bool
	vault *vault
	// vaults are those of messages with fields that their schema says are secret.
	vaults map[protoreflect.FullName]*vault
}

func newDescriber(how Decoding) *describer {
	return &describer{
		known:  how.Schema,
		core:   schema.Linked(),
		raw:    how.Raw,
		vault:  newVault(how.Hide...),
		vaults: make(map[protoreflect.FullName]*vault),
	}
}

// action returns the action of a name, or nil.
func (d *describer) action(name string) *schema.Action {
	if d.known != nil {
		if action := d.known.Lookup(name); action != nil {
			return action
		}
	}
	if strings.HasPrefix(name, corePrefix) {
		return d.core.Lookup(name)
	}
	return nil
}

// content is a packet's data and how to look at it.
type content struct {
	form    packet.Form
	action  string
	reply   bool // from the callee
	sealed  bool
	data    []byte
	secrets *secrets
}

// carries reports whether a packet of a kind has a message in it. The request that opens
// a stream of requests, and the response that ends a stream of replies, have none.
func (d *describer) carries(c content, kind packet.Kind) bool {
	switch kind {
	case packet.KindMessage, packet.KindOneWay:
		return true
	case packet.KindRequest, packet.KindResponse:
	default:
		return false
	}
	action := d.action(c.action)
	if action == nil {
		return len(c.data) > 0 && !bytes.Equal(c.data, []byte("{}"))
	}
	streams := action.Method.IsStreamingClient()
	if c.reply {
		streams = action.Method.IsStreamingServer()
	}
	return !streams
}

// describe returns data as JSON without secrets, or nil and a note that says why there is
// none. There may be a note with JSON as well.
func (d *describer) describe(c content) (shown json.RawMessage, note string) {
	action := d.action(c.action)
	switch {
	case c.sealed:
		return nil, ""
	case c.action == handshakeAction || c.action == challengeAction:
		return d.handshake(c)
	case action != nil && action.Spec.Sealed:
		return nil, "the action is sealed: its data is not shown in clear either"
	case len(c.data) == 0:
		return json.RawMessage("{}"), ""
	case c.form == packet.JSON:
		shown, note = d.text(c, action)
	case action == nil:
		return nil, d.shape(c)
	default:
		shown, note = d.binary(c, action)
	}
	if len(shown) > maxShown {
		return nil, fmt.Sprintf("%d bytes of JSON are too many to show", len(shown))
	}
	return shown, note
}

// message returns an empty message of the kind that the content has.
func (c *content) message(action *schema.Action) proto.Message {
	if c.reply {
		return action.NewResponse()
	}
	return action.NewRequest()
}

// handshakeMessage returns an empty message of a handshake.
func (c *content) handshakeMessage() proto.Message {
	switch {
	case !c.reply:
		return new(packetrpcv1.HandshakeRequest)
	case c.action == challengeAction:
		return new(packetrpcv1.ChallengeResponse)
	default:
		return new(packetrpcv1.HandshakeResponse)
	}
}

// tokens returns those in the data of a handshake.
func (c *content) tokens() []string {
	message := c.handshakeMessage()
	if c.sealed || packet.UnmarshalMessage(c.form, c.data, message) != nil {
		return nil
	}
	switch m := message.(type) {
	case *packetrpcv1.HandshakeRequest:
		return []string{string(m.GetResumeToken())}
	case *packetrpcv1.HandshakeResponse:
		return []string{m.GetUuid(), m.GetRemoteToken()}
	}
	return nil
}

// handshake shows only what the handshake's schema has, since whatever else is there may
// be a secret in a wrong place.
func (d *describer) handshake(c content) (json.RawMessage, string) {
	message := c.handshakeMessage()
	if packet.UnmarshalMessage(c.form, c.data, message) != nil {
		return nil, "not a handshake, and not shown, as there may be a password in it"
	}
	text, err := packet.AppendMessage(packet.JSON, nil, message)
	if err != nil {
		return nil, "cannot be shown as JSON"
	}
	return d.clean(text, d.vault.with("uuid", "challenge"), c.secrets)
}

// text shows data of the JSON form as it is, apart from secrets.
func (d *describer) text(c content, action *schema.Action) (json.RawMessage, string) {
	if action == nil {
		return d.clean(c.data, d.vault, c.secrets)
	}
	message := c.message(action)
	shown, found, err := d.vaultIn(c.data, d.vaultOf(message), d.types(action)).redact(c.data, c.secrets)
	if err != nil {
		return nil, "not JSON"
	}
	if bytes.Equal(shown, []byte("null")) {
		return shown, "" // as good as an empty message
	}
	err = protojson.UnmarshalOptions{Resolver: d.types(action)}.Unmarshal(c.data, message)
	if err == nil {
		return shown, ""
	}
	note := "does not fit " + string(message.ProtoReflect().Descriptor().FullName())
	if !found { // the error may quote any value
		note += ": " + protoError(err)
	}
	return shown, note
}

func (d *describer) binary(c content, action *schema.Action) (json.RawMessage, string) {
	message := c.message(action)
	name := message.ProtoReflect().Descriptor().FullName()
	if err := proto.Unmarshal(c.data, message); err != nil {
		return nil, fmt.Sprintf("does not fit %s: %s", name, protoError(err))
	}
	text, err := protojson.MarshalOptions{Resolver: d.types(action)}.Marshal(message)
	if err != nil {
		return nil, fmt.Sprintf("%s cannot be shown as JSON: %s", name, protoError(err))
	}
	return d.clean(text, d.vaultIn(text, d.vaultOf(message), d.types(action)), c.secrets)
}

func (d *describer) clean(text []byte, vault *vault, secrets *secrets) (json.RawMessage, string) {
	shown, _, err := vault.redact(text, secrets)
	if err != nil {
		return nil, "not JSON"
	}
	return shown, ""
}

// protoTypes resolves the messages in google.protobuf.Any and extensions.
type protoTypes interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// types resolves what the messages of an action may have in them.
func (d *describer) types(action *schema.Action) protoTypes {
	if d.known != nil && d.known.Lookup(action.Spec.Action) == action {
		return d.known.Types()
	}
	return d.core.Types()
}

// vaultOf returns the vault for messages of a type.
func (d *describer) vaultOf(message proto.Message) *vault {
	descriptor := message.ProtoReflect().Descriptor()
	if known := d.vaults[descriptor.FullName()]; known != nil {
		return known
	}
	found := d.vault
	names := d.vault.redactedFields(descriptor)
	if descriptor.FullName() == "packetrpc.v1.SendRequest" || descriptor.FullName() == "packetrpc.v1.BroadcastRequest" {
		names = append(names, "message") // another action's message, in base64
	}
	if len(names) > 0 {
		found = d.vault.with(names...)
	}
	d.vaults[descriptor.FullName()] = found
	return found
}

// vaultIn returns the vault for JSON text in which there may be messages of any type. Those
// say in "@type" of which.
func (d *describer) vaultIn(text []byte, vault *vault, types protoTypes) *vault {
	const typeName = "@type"
	if !bytes.Contains(text, []byte(typeName)) {
		return vault
	}
	var visit func(value any)
	visit = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, element := range value {
				visit(element)
			}
		case map[string]any:
			url, _ := value[typeName].(string)
			if known, err := types.FindMessageByURL(url); err == nil {
				vault = vault.with(d.vault.redactedFields(known.Descriptor())...)
			}
			for _, member := range value {
				visit(member)
			}
		}
	}
	var whole any
	if json.Unmarshal(text, &whole) == nil {
		visit(whole)
	}
	return vault
}

// protoError returns the text of an error of package proto, which strews in spaces of
// another kind so that nobody relies on it.
func protoError(err error) string {
	return strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
}

// detail returns a detail of an error as JSON.
func (d *describer) detail(detail *anypb.Any, secrets *secrets) json.RawMessage {
	for _, types := range d.allTypes() {
		text, err := protojson.MarshalOptions{Resolver: types}.Marshal(detail)
		if err != nil {
			continue
		}
		if shown, _, err := d.vaultIn(text, d.vault, types).redact(text, secrets); err == nil && len(shown) <= maxShown {
			return shown
		}
	}
	text, _ := json.Marshal(map[string]any{ // neither can fail
		"@type": secrets.text(detail.GetTypeUrl()),
		"size":  len(detail.GetValue()),
	})
	return text
}

func (d *describer) allTypes() []protoTypes {
	if d.known == nil {
		return []protoTypes{d.core.Types()}
	}
	return []protoTypes{d.known.Types(), d.core.Types()}
}

// metadata returns metadata with the values of secret keys hidden.
func (d *describer) metadata(metadata packetrpc.Metadata, secrets *secrets) map[string][]string {
	if metadata.Len() == 0 {
		return nil
	}
	shown := make(map[string][]string)
	for key, value := range metadata.All() {
		if d.vault.secret(key) {
			value = hidden
		}
		key = secrets.text(key)
		shown[key] = append(shown[key], secrets.text(value))
	}
	return shown
}

// probe is the data of a ping or a pong.
func (d *describer) probe(c content) json.RawMessage {
	if len(c.data) == 0 {
		return nil
	}
	text := c.data
	if c.form == packet.Binary {
		if !utf8.Valid(c.data) {
			return nil
		}
		text, _ = json.Marshal(string(c.data)) // a string has a JSON form
	}
	shown, _, err := d.vault.redact(text, c.secrets)
	if err != nil {
		return nil
	}
	return shown
}

// shape says what can be said of data without a schema: the numbers of its fields with
// numbers and sizes. Texts may be secrets, so only those who have asked for it see how
// the bytes begin.
func (d *describer) shape(c content) string {
	note := "no schema: " + cmp.Or(fieldsOf(c.data), "no protobuf")
	if d.raw {
		const most = 16
		start := []byte(c.secrets.text(string(c.data)))
		more := ""
		if len(start) > most {
			start, more = start[:most], "…"
		}
		note += fmt.Sprintf("; begins with % x%s %q", start, more, start)
	}
	return note
}

// fieldsOf lists the fields of protobuf data, or returns "" if it is none.
func fieldsOf(data []byte) string {
	const most = 8
	var fields []string
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return ""
		}
		size := protowire.ConsumeFieldValue(number, typ, data[n:])
		if size < 0 {
			return ""
		}
		value := fmt.Sprintf("%d bytes", size)
		switch typ {
		case protowire.VarintType:
			v, _ := protowire.ConsumeVarint(data[n:])
			value = fmt.Sprint(v)
		case protowire.BytesType:
			b, _ := protowire.ConsumeBytes(data[n:])
			value = fmt.Sprintf("%d bytes", len(b))
		}
		fields = append(fields, fmt.Sprintf("%d: %s", number, value))
		data = data[n+size:]
	}
	if len(fields) > most {
		fields = append(fields[:most], "…")
	}
	return strings.Join(fields, ", ")
}
