package main

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// wellKnown is the package of the messages that protobuf brings along, which JSON writes
// in ways of their own.
const wellKnown = "google.protobuf"

// template returns the JSON of a message whose fields are all there and empty, in a line.
// Lists and maps have one element, and of a oneof there is the first field.
func template(message protoreflect.MessageDescriptor, types typeResolver) (json.RawMessage, error) {
	empty := dynamicpb.NewMessage(message)
	fill(empty, map[protoreflect.FullName]bool{})
	text, err := protojson.MarshalOptions{EmitUnpopulated: true, AllowPartial: true, Resolver: types}.Marshal(empty)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	err = json.Compact(&line, text)
	return line.Bytes(), err
}

// fill sets the fields of a message. inside are the messages that it is in: those are not
// filled again, as there would be no end.
func fill(message protoreflect.Message, inside map[protoreflect.FullName]bool) {
	name := message.Descriptor().FullName()
	if name.Parent() == wellKnown {
		if value, isValue := message.Interface().(*dynamicpb.Message); isValue && name == "google.protobuf.Value" {
			value.Set(message.Descriptor().Fields().ByName("null_value"), protoreflect.ValueOfEnum(structpb.NullValue_NULL_VALUE.Number()))
		}
		return
	}
	inside[name] = true
	defer delete(inside, name)
	for i := range message.Descriptor().Fields().Len() {
		field := message.Descriptor().Fields().Get(i)
		if in := field.ContainingOneof(); in != nil && in.Fields().Get(0) != field {
			continue
		}
		fillField(message, field, inside)
	}
}

func fillField(message protoreflect.Message, field protoreflect.FieldDescriptor, inside map[protoreflect.FullName]bool) {
	element := field
	if field.IsMap() {
		element = field.MapValue()
	}
	if element.Message() != nil && inside[element.Message().FullName()] {
		return
	}
	switch {
	case field.IsList():
		list := message.Mutable(field).List()
		list.Append(filled(list.NewElement(), field, inside))
	case field.IsMap():
		entries := message.Mutable(field).Map()
		entries.Set(field.MapKey().Default().MapKey(), filled(entries.NewValue(), element, inside))
	case field.HasPresence():
		message.Set(field, filled(message.NewField(field), field, inside))
	}
}

// filled returns the value of a field, filled if it is a message.
func filled(value protoreflect.Value, field protoreflect.FieldDescriptor, inside map[protoreflect.FullName]bool) protoreflect.Value {
	if field.Message() != nil {
		fill(value.Message(), inside)
	}
	return value
}
