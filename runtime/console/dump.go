package console

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
)

const (
	// maxRows is how many fields of a packet are shown.
	maxRows = 400
	// maxHex is how many bytes of a field are.
	maxHex = 64
	// maxValue is how many bytes of a text are.
	maxValue = 200
)

// row is a field of the binary form: where it is, its bytes in hexadecimal, and what they
// mean. Fields of messages inside follow their message's row, one deeper.
type row struct {
	Offset int    `json:"offset"`
	Depth  int    `json:"depth"`
	Hex    string `json:"hex"`
	Field  string `json:"field"`
	Value  string `json:"value"`
}

// dumper goes through a packet.
type dumper struct {
	packet protoreflect.MessageDescriptor
	data   protoreflect.MessageDescriptor // nil where it is not known
	rows   []row
}

// dump returns the fields of a packet in the binary form, behind its length. The message
// tells the type of the packet's data; nil is not known.
func dump(body []byte, message proto.Message) []row {
	d := dumper{packet: (&packetrpcv1.Packet{}).ProtoReflect().Descriptor()}
	if message != nil {
		d.data = message.ProtoReflect().Descriptor()
	}
	length := binary.AppendUvarint(nil, uint64(len(body)))
	d.add(row{Hex: hexOf(length), Field: "length", Value: strconv.Itoa(len(body))})
	d.message(body, d.packet, 0, len(length))
	return d.rows
}

// add appends a row and reports whether there is room for more.
func (d *dumper) add(r row) bool {
	switch {
	case len(d.rows) < maxRows:
		d.rows = append(d.rows, r)
	case len(d.rows) == maxRows:
		d.rows = append(d.rows, row{Offset: r.Offset, Field: "…", Value: "and more fields"})
	default:
		return false
	}
	return true
}

// message appends the fields of a message, which is at an offset of the packet.
func (d *dumper) message(b []byte, of protoreflect.MessageDescriptor, depth, offset int) {
	for len(b) > 0 {
		number, wire, tag := protowire.ConsumeTag(b)
		size := -1
		if tag > 0 {
			size = protowire.ConsumeFieldValue(number, wire, b[tag:])
		}
		if size < 0 { // and what it is nobody knows, so that nothing of it is shown
			d.add(row{Offset: offset, Depth: depth, Field: "?", Value: sizeOf(b) + " that are no field"})
			return
		}
		size += tag
		if !d.field(b[:size], b[tag:size], wire, fieldOf(of, number), number, depth, offset) {
			return
		}
		b, offset = b[size:], offset+size
	}
}

// fieldOf returns the field with a number, or nil.
func fieldOf(message protoreflect.MessageDescriptor, number protowire.Number) protoreflect.FieldDescriptor {
	if message == nil {
		return nil
	}
	return message.Fields().ByNumber(number)
}

// field appends a field: whole with its tag, and its value without.
func (d *dumper) field(whole, value []byte, wire protowire.Type, field protoreflect.FieldDescriptor, number protowire.Number, depth, offset int) bool {
	if field == nil {
		return d.add(row{offset, depth, hexOf(whole), fmt.Sprintf("field %d", number), plainValue(value, wire)})
	}
	name := string(field.Name())
	if wire != protowire.BytesType {
		return d.add(row{offset, depth, hexOf(whole), name, d.scalar(field, value, wire)})
	}
	content, _ := protowire.ConsumeBytes(value)
	head := whole[:len(whole)-len(content)]
	inside := field.Message()
	if field.Parent() == d.packet {
		switch name {
		case "token":
			return d.add(row{offset, depth, hexOf(head) + strings.Repeat(" ··", len(content)), name, masked})
		case "data":
			inside = d.data
		}
	}
	if inside == nil {
		return d.add(row{offset, depth, hexOf(whole), name, bytesValue(field, content)})
	}
	more := d.add(row{offset, depth, hexOf(head), name, string(inside.FullName())})
	d.message(content, inside, depth+1, offset+len(head))
	return more
}

// scalar returns what a value means that is not delimited by its length.
func (d *dumper) scalar(field protoreflect.FieldDescriptor, value []byte, wire protowire.Type) string {
	text, ok := number(field, value, wire)
	if !ok {
		return plainValue(value, wire)
	}
	if field.Parent() == d.packet && field.Name() == "created" {
		micros, _ := protowire.ConsumeFixed64(value)
		text = time.UnixMicro(int64(micros)).UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	return text
}

// number returns what a number means by the kind of its field. It is false where the
// kind is encoded otherwise.
func number(field protoreflect.FieldDescriptor, value []byte, wire protowire.Type) (string, bool) {
	switch wire {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		return varint(field, v)
	case protowire.Fixed32Type:
		v, _ := protowire.ConsumeFixed32(value)
		switch field.Kind() {
		case protoreflect.FloatKind:
			return strconv.FormatFloat(float64(math.Float32frombits(v)), 'g', -1, 32), true
		case protoreflect.Sfixed32Kind:
			return strconv.FormatInt(int64(int32(v)), 10), true
		case protoreflect.Fixed32Kind:
			return strconv.FormatUint(uint64(v), 10), true
		}
	case protowire.Fixed64Type:
		v, _ := protowire.ConsumeFixed64(value)
		switch field.Kind() {
		case protoreflect.DoubleKind:
			return strconv.FormatFloat(math.Float64frombits(v), 'g', -1, 64), true
		case protoreflect.Sfixed64Kind:
			return strconv.FormatInt(int64(v), 10), true
		case protoreflect.Fixed64Kind:
			return strconv.FormatUint(v, 10), true
		}
	}
	return "", false
}

func varint(field protoreflect.FieldDescriptor, v uint64) (string, bool) {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return strconv.FormatBool(v != 0), true
	case protoreflect.EnumKind:
		if value := field.Enum().Values().ByNumber(protoreflect.EnumNumber(int32(v))); value != nil {
			return string(value.Name()), true
		}
		return strconv.FormatInt(int64(int32(v)), 10), true
	case protoreflect.Int32Kind:
		return strconv.FormatInt(int64(int32(v)), 10), true
	case protoreflect.Int64Kind:
		return strconv.FormatInt(int64(v), 10), true
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return strconv.FormatInt(protowire.DecodeZigZag(v), 10), true
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return strconv.FormatUint(v, 10), true
	}
	return "", false
}

// bytesValue returns what a value means that is delimited by its length and is no
// message.
func bytesValue(field protoreflect.FieldDescriptor, content []byte) string {
	switch field.Kind() {
	case protoreflect.StringKind:
		return quoted(content)
	case protoreflect.BytesKind:
		return sizeOf(content)
	}
	return packed(field, content)
}

// packed returns the numbers of a packed list.
func packed(field protoreflect.FieldDescriptor, content []byte) string {
	wire := protowire.VarintType
	switch field.Kind() {
	case protoreflect.FloatKind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		wire = protowire.Fixed32Type
	case protoreflect.DoubleKind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		wire = protowire.Fixed64Type
	}
	var list []string
	for rest := content; len(rest) > 0; {
		size := protowire.ConsumeFieldValue(1, wire, rest)
		if size < 0 || len(list) == maxHex {
			list = append(list, "…")
			break
		}
		text, ok := number(field, rest[:size], wire)
		if !ok {
			return sizeOf(content)
		}
		list, rest = append(list, text), rest[size:]
	}
	return strings.Join(list, ", ")
}

// plainValue returns what can be said of a value whose field is not known.
func plainValue(value []byte, wire protowire.Type) string {
	if wire == protowire.VarintType {
		v, _ := protowire.ConsumeVarint(value)
		return strconv.FormatUint(v, 10)
	}
	if wire == protowire.BytesType {
		value, _ = protowire.ConsumeBytes(value)
	}
	return sizeOf(value)
}

func quoted(content []byte) string { return strconv.Quote(shortened(string(content), maxValue)) }

func sizeOf(content []byte) string {
	if len(content) == 1 {
		return "1 byte"
	}
	return strconv.Itoa(len(content)) + " bytes"
}

// hexOf returns bytes in hexadecimal, as many as are shown.
func hexOf(b []byte) string {
	var text strings.Builder
	for i := range min(len(b), maxHex) {
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(hex.EncodeToString(b[i : i+1]))
	}
	if len(b) > maxHex {
		fmt.Fprintf(&text, " … %d more", len(b)-maxHex)
	}
	return text.String()
}
