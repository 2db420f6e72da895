package backcompat_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// asked is in all texts that scenarios make up, so that they are told from those
// that the runtime makes.
const asked = "as asked"

// A mask is something that may differ between what was recorded and what is sent
// today.
type mask struct {
	// number and key are those of the field; of the handshake's data behind "2." and
	// "data.".
	number, key string
	// hide returns what is compared in place of a value.
	hide func(value string) string
}

// masks is all that may differ in a packet. Beside it
//
//   - tokens and public ids are random: type names replaces them,
//   - credit is given when and in portions as the receiver likes (PROTOCOL section 8),
//     and one acknowledgement may serve for many pushes (section 20): type link sorts
//     them out. What was recorded as sent still must be sent, so credit must come
//     before it is needed, and the last acknowledgement must come.
//
// A field that a later version adds belongs here, with a hide that returns "".
func masks() []mask {
	clock := func(string) string { return "some time" }
	words := func(value string) string {
		if strings.Contains(value, asked) {
			return value
		}
		return "words of the runtime"
	}
	return []mask{
		{"3", "packet-created", clock}, // informative
		{"12", "message", words},       // for people
		{"15", "reason", words},
		{"2.9", "data.resumeRefused", words},
	}
}

// fields is a packet as its receiver finds it: its fields by number or key, with
// those of the handshake's data. An unknown field is a field like any other.
type fields map[string]string

// fieldsOf reads the fields of a packet's body. It asks nothing of package packet, which
// is what is put to the test.
func fieldsOf(form packet.Form, body []byte) (fields, error) {
	if form == packet.JSON {
		return jsonFields(body)
	}
	f, err := binaryFields("", body)
	if err != nil || f["1"] != handShake {
		return f, err
	}
	data, err := strconv.Unquote(f["2"])
	if err != nil {
		return f, nil
	}
	delete(f, "2")
	nested, err := binaryFields("2.", []byte(data))
	maps.Copy(f, nested)
	return f, err
}

// handShake is the handshake's action as a value of fields.
const handShake = `"handShake"`

func binaryFields(prefix string, message []byte) (fields, error) {
	f := make(fields)
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return f, protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, typ, message[n:])
		if size < 0 {
			return f, protowire.ParseError(size)
		}
		value := binaryValue(typ, message[n:n+size])
		key := prefix + strconv.Itoa(int(number))
		if before, repeated := f[key]; repeated {
			value = before + ", " + value
		}
		f[key] = value
		message = message[n+size:]
	}
	return f, nil
}

func binaryValue(typ protowire.Type, value []byte) string {
	switch typ {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		return strconv.FormatUint(v, 10)
	case protowire.Fixed64Type:
		v, _ := protowire.ConsumeFixed64(value)
		return fmt.Sprintf("%d (64 bits)", v)
	case protowire.BytesType:
		v, _ := protowire.ConsumeBytes(value)
		return strconv.Quote(string(v))
	}
	return fmt.Sprintf("% x (wire type %d)", value, typ)
}

func jsonFields(body []byte) (fields, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(body, &keys); err != nil {
		return nil, err
	}
	if string(keys["action"]) == handShake {
		var data map[string]json.RawMessage
		if json.Unmarshal(keys["data"], &data) == nil {
			delete(keys, "data")
			for key, value := range data {
				keys["data."+key] = value
			}
		}
	}
	f := make(fields)
	for key, value := range keys {
		f[key] = sortedJSON(value)
	}
	return f, nil
}

// sortedJSON writes a value so that the order of keys and white space do not matter.
func sortedJSON(value json.RawMessage) string {
	var v any
	decoder := json.NewDecoder(strings.NewReader(string(value)))
	decoder.UseNumber()
	if decoder.Decode(&v) != nil {
		return string(value)
	}
	text, _ := json.Marshal(v) // what was decoded can be encoded
	return string(text)
}

// hide applies the masks.
func (f fields) hide(form packet.Form) {
	for _, m := range masks() {
		key := m.key
		if form == packet.Binary {
			key = m.number
		}
		value, there := f[key]
		if !there {
			continue
		}
		if f[key] = m.hide(value); f[key] == "" {
			delete(f, key)
		}
	}
}

// difference tells which fields of two packets differ; "" is none.
func difference(form packet.Form, recorded, today []byte) string {
	want, err := fieldsOf(form, recorded)
	if err != nil {
		return fmt.Sprintf("the recorded packet cannot be read: %v", err)
	}
	got, err := fieldsOf(form, today)
	if err != nil {
		return fmt.Sprintf("%.200q cannot be read: %v", today, err)
	}
	want.hide(form)
	got.hide(form)
	union := maps.Clone(want)
	maps.Copy(union, got)
	var found []string
	for _, key := range slices.Sorted(maps.Keys(union)) {
		if was, is := want[key], got[key]; was != is {
			found = append(found, fmt.Sprintf("%s was %s and is %s", label(key), orNone(was), orNone(is)))
		}
	}
	return strings.Join(found, "; ")
}

func orNone(value string) string {
	if value == "" {
		return "not there"
	}
	return shorten(value)
}

// shorten cuts long values.
func shorten(value string) string {
	const most = 120
	if len(value) <= most {
		return value
	}
	return value[:most] + "…"
}

// label adds the name to the number of a field.
func label(key string) string {
	number, err := strconv.Atoi(key)
	if err != nil {
		return key
	}
	field := new(packetrpcv1.Packet).ProtoReflect().Descriptor().Fields().ByNumber(protoreflect.FieldNumber(number))
	if field == nil {
		return key
	}
	return key + " " + string(field.Name())
}

// explain writes the fields of a packet in the binary form for whoever reads a file of
// testdata.
func explain(body []byte) string {
	f, err := fieldsOf(packet.Binary, body)
	if err != nil {
		return err.Error()
	}
	if f["1"] == handShake {
		maps.DeleteFunc(f, func(key, _ string) bool { return strings.HasPrefix(key, "2.") })
		f["2"] = explainHandshake(body)
	}
	var words []string
	for _, key := range slices.SortedFunc(maps.Keys(f), byNumber) {
		value := f[key]
		if key == "2" && f["1"] != handShake {
			value = shorten(value)
		}
		words = append(words, label(key)+": "+value)
	}
	return strings.Join(words, ", ")
}

// explainHandshake writes the data of a handshake as JSON.
func explainHandshake(body []byte) string {
	var p packet.Packet
	var data proto.Message = new(packetrpcv1.HandshakeRequest)
	if packet.ParseBinary(&p, body); p.Kind != packet.KindRequest {
		data = new(packetrpcv1.HandshakeResponse)
	}
	if err := packet.UnmarshalMessage(packet.Binary, p.Data, data); err != nil {
		return err.Error()
	}
	text, err := packet.AppendMessage(packet.JSON, nil, data)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func byNumber(a, b string) int {
	first, _ := strconv.Atoi(a)
	second, _ := strconv.Atoi(b)
	return cmp.Compare(first, second)
}
