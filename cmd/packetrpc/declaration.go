package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// declaration returns a service, message, enum or rpc as it stands in a .proto file, with
// its comments.
func declaration(of protoreflect.Descriptor) string {
	d := declarer{pkg: string(of.ParentFile().Package())}
	d.declare(of)
	return d.text.String()
}

// declarer writes declarations, as seen from a package.
type declarer struct {
	pkg    string
	text   strings.Builder
	indent int
}

func (d *declarer) line(format string, args ...any) {
	d.text.WriteString(strings.Repeat("  ", d.indent))
	fmt.Fprintf(&d.text, format, args...)
	d.text.WriteByte('\n')
}

// block writes what stands in braces.
func (d *declarer) block(head string, inside func()) {
	d.line("%s {", head)
	d.indent++
	empty := d.text.Len()
	inside()
	d.indent--
	if d.text.Len() > empty {
		d.line("}")
		return
	}
	text := strings.TrimSuffix(d.text.String(), "\n")
	d.text.Reset()
	d.text.WriteString(text + "}\n")
}

func (d *declarer) declare(of protoreflect.Descriptor) {
	d.comments(of)
	switch of := of.(type) {
	case protoreflect.ServiceDescriptor:
		d.block("service "+string(of.Name()), func() { d.service(of) })
	case protoreflect.MethodDescriptor:
		d.method(of)
	case protoreflect.MessageDescriptor:
		d.block("message "+string(of.Name()), func() { d.message(of) })
	case protoreflect.EnumDescriptor:
		d.block("enum "+string(of.Name()), func() { d.enum(of) })
	case protoreflect.OneofDescriptor:
		d.block("oneof "+string(of.Name()), func() { d.fields(of.Fields()) })
	case protoreflect.FieldDescriptor:
		d.line("%s%s %s = %d%s;", cardinality(of), d.typeOf(of), of.Name(), of.Number(), d.inBrackets(of))
	case protoreflect.EnumValueDescriptor:
		d.line("%s = %d%s;", of.Name(), of.Number(), d.inBrackets(of))
	}
}

// comments writes the comments that stand before a declaration, or behind it.
func (d *declarer) comments(about protoreflect.Descriptor) {
	at := about.ParentFile().SourceLocations().ByDescriptor(about)
	for _, text := range []string{at.LeadingComments, at.TrailingComments} {
		if text == "" {
			continue
		}
		for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
			d.line("%s", strings.TrimRight("// "+strings.TrimPrefix(line, " "), " "))
		}
	}
}

func (d *declarer) service(service protoreflect.ServiceDescriptor) {
	d.options(service)
	for i := range service.Methods().Len() {
		if i > 0 {
			d.text.WriteByte('\n')
		}
		d.declare(service.Methods().Get(i))
	}
}

func (d *declarer) method(method protoreflect.MethodDescriptor) {
	head := fmt.Sprintf("rpc %s(%s) returns (%s)", method.Name(),
		d.streamed(method.IsStreamingClient(), method.Input()), d.streamed(method.IsStreamingServer(), method.Output()))
	if len(d.optionsOf(method)) == 0 {
		d.line("%s;", head)
		return
	}
	d.block(head, func() { d.options(method) })
}

func (d *declarer) streamed(isStream bool, message protoreflect.MessageDescriptor) string {
	if isStream {
		return "stream " + d.short(message)
	}
	return d.short(message)
}

func (d *declarer) message(message protoreflect.MessageDescriptor) {
	d.options(message)
	for i := range message.Enums().Len() {
		d.declare(message.Enums().Get(i))
	}
	for i := range message.Messages().Len() {
		if nested := message.Messages().Get(i); !nested.IsMapEntry() {
			d.declare(nested)
		}
	}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		switch in := field.ContainingOneof(); {
		case in == nil || in.IsSynthetic():
			d.declare(field)
		case in.Fields().Get(0) == field:
			d.declare(in)
		}
	}
}

func (d *declarer) fields(fields protoreflect.FieldDescriptors) {
	for i := range fields.Len() {
		d.declare(fields.Get(i))
	}
}

func (d *declarer) enum(enum protoreflect.EnumDescriptor) {
	d.options(enum)
	for i := range enum.Values().Len() {
		d.declare(enum.Values().Get(i))
	}
}

func cardinality(field protoreflect.FieldDescriptor) string {
	switch {
	case field.IsMap():
		return ""
	case field.IsList():
		return "repeated "
	case field.Cardinality() == protoreflect.Required:
		return "required "
	case field.HasOptionalKeyword():
		return "optional "
	}
	return ""
}

// typeOf returns the type of a field, or of one of its elements.
func (d *declarer) typeOf(field protoreflect.FieldDescriptor) string {
	switch {
	case field.IsMap():
		return fmt.Sprintf("map<%s, %s>", field.MapKey().Kind(), d.typeOf(field.MapValue()))
	case field.Message() != nil:
		return d.short(field.Message())
	case field.Enum() != nil:
		return d.short(field.Enum())
	}
	return field.Kind().String()
}

// short returns the name that something has in the package.
func (d *declarer) short(of protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(of.FullName()), d.pkg+".")
}

// options writes the options of what is declared in braces.
func (d *declarer) options(of protoreflect.Descriptor) {
	for _, option := range d.optionsOf(of) {
		d.line("option %s;", option)
	}
}

// inBrackets returns the options, and the default, of a field or a value of an enum.
func (d *declarer) inBrackets(of protoreflect.Descriptor) string {
	options := d.optionsOf(of)
	if field, isField := of.(protoreflect.FieldDescriptor); isField && field.HasDefault() {
		options = append([]string{"default = " + d.optionText(field, field.Default())}, options...)
	}
	if len(options) == 0 {
		return ""
	}
	return " [" + strings.Join(options, ", ") + "]"
}

// optionsOf returns the options that are set, each as "name = value", in the order of
// their numbers.
func (d *declarer) optionsOf(of protoreflect.Descriptor) []string {
	if of.Options() == nil {
		return nil
	}
	return d.settings(of.Options().ProtoReflect(), " = ")
}

// settings returns the fields of a message of options that are set.
func (d *declarer) settings(message protoreflect.Message, is string) (settings []string) {
	var set []protoreflect.FieldDescriptor
	message.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, field)
		return true
	})
	sort.Slice(set, func(i, j int) bool { return set[i].Number() < set[j].Number() })
	for _, field := range set {
		name := string(field.Name())
		if field.IsExtension() {
			name = "(" + string(field.FullName()) + ")"
		}
		settings = append(settings, name+is+d.optionText(field, message.Get(field)))
	}
	return settings
}

// optionText returns the value of an option.
func (d *declarer) optionText(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	switch {
	case field.IsList():
		var elements []string
		for i := range value.List().Len() {
			elements = append(elements, d.scalarText(field, value.List().Get(i)))
		}
		return "[" + strings.Join(elements, ", ") + "]"
	case field.IsMap():
		return "{…}"
	}
	return d.scalarText(field, value)
}

func (d *declarer) scalarText(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return "{" + strings.Join(d.settings(value.Message(), ": "), ", ") + "}"
	case protoreflect.StringKind:
		return strconv.Quote(value.String())
	case protoreflect.BytesKind:
		return strconv.Quote(string(value.Bytes()))
	case protoreflect.EnumKind:
		if known := field.Enum().Values().ByNumber(value.Enum()); known != nil {
			return string(known.Name())
		}
		return strconv.Itoa(int(value.Enum()))
	}
	return fmt.Sprint(value.Interface())
}
