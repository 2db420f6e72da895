package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/packetrpc/packetrpc/runtime/schema"
)

// newDescribeCommand returns the command that shows how actions and messages are declared.
func newDescribeCommand() *cli.Command {
	return &cli.Command{
		Name:  "describe",
		Usage: "show how actions, services, messages and enums are declared",
		Description: connectHelp + "\n\nNAME is the name of an action, service, message or enum, or the end of it. Without, all\n" +
			"services are shown. With --proto no server is asked.",
		ArgsUsage:     "[ADDR] [NAME]",
		Flags:         append(connectFlags(), schemaFlags()...),
		Action:        describe,
		ShellComplete: complete(completeNames),
	}
}

func describe(ctx context.Context, command *cli.Command) error {
	known, err := protoSchema(ctx, command)
	if err != nil {
		return err
	}
	if known != nil {
		_, args := splitAddress(command.Args().Slice())
		return describeNames(newOutput(command), known, args)
	}
	return shortly(0, 1, func(ctx context.Context, r *remote, args []string) error {
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		known, err := r.schemaFor(ctx, name)
		if err != nil {
			return err
		}
		return describeNames(r.out, known, args)
	})(ctx, command)
}

// describeNames describes what is named, or all services.
func describeNames(out *output, known *schema.Schema, names []string) error {
	if len(names) > 0 {
		found, err := findDeclared(known, names[0])
		if err != nil {
			return err
		}
		return describeOne(out, found, known)
	}
	for i, service := range services(known) {
		if i > 0 && !out.JSON {
			fmt.Fprintln(out)
		}
		if err := describeOne(out, service, known); err != nil {
			return err
		}
	}
	return nil
}

// description is a line of the output of describe.
type description struct {
	Name        string          `json:"name"`
	Kind        string          `json:"kind"`
	Declaration string          `json:"declaration"`
	Template    json.RawMessage `json:"template,omitempty"` // of the message, or the request
}

// describeOne shows a declaration. Behind an rpc are its messages, and with each message
// that may have to be written there is a template.
func describeOne(out *output, declared protoreflect.Descriptor, known *schema.Schema) error {
	one := description{Name: string(declared.FullName()), Declaration: declaration(declared)}
	var request protoreflect.MessageDescriptor
	switch declared := declared.(type) {
	case protoreflect.MethodDescriptor:
		one.Kind, request = "action", declared.Input()
		one.Name = schema.SpecOf(declared).Action
		one.Declaration += "\n" + declaration(request)
		if declared.Output() != request {
			one.Declaration += "\n" + declaration(declared.Output())
		}
	case protoreflect.MessageDescriptor:
		one.Kind, request = "message", declared
	case protoreflect.EnumDescriptor:
		one.Kind = "enum"
	case protoreflect.ServiceDescriptor:
		one.Kind = "service"
	}
	if request != nil {
		var err error
		if one.Template, err = template(request, known.Types()); err != nil {
			return err
		}
	}
	return one.write(out)
}

func (d *description) write(out *output) error {
	if out.JSON {
		return out.Object(d)
	}
	fmt.Fprintf(out, "// %s\n\n%s", d.Name, d.Declaration)
	if d.Template == nil {
		return nil
	}
	var lines bytes.Buffer
	if err := json.Indent(&lines, d.Template, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n// as JSON\n%s\n", lines.String())
	return err
}

// findDeclared returns what has a name, or a name that ends so: an action, or else
// something that is declared beside actions.
func findDeclared(known *schema.Schema, name string) (protoreflect.Descriptor, error) {
	if exact, err := known.Find(name); err == nil {
		return enclosing(exact), nil
	}
	named := make(map[string]protoreflect.Descriptor)
	for _, one := range declared(known) {
		named[string(one.FullName())] = one
	}
	for _, action := range known.Actions() {
		named[action.Spec.Action] = action.Method
	}
	found, err := resolve("action, service, message or enum", name, slices.Sorted(maps.Keys(named)))
	return named[found], err
}

// enclosing returns what is declared on its own: instead of a field, its message.
func enclosing(of protoreflect.Descriptor) protoreflect.Descriptor {
	switch of.(type) {
	case protoreflect.FieldDescriptor, protoreflect.OneofDescriptor, protoreflect.EnumValueDescriptor:
		return enclosing(of.Parent())
	}
	return of
}

// services returns the services of a schema; the Core service is left out if there are
// others.
func services(known *schema.Schema) []protoreflect.Descriptor {
	var found []protoreflect.Descriptor
	for _, one := range declared(known) {
		if _, isService := one.(protoreflect.ServiceDescriptor); isService && !isCore(string(one.FullName())) {
			found = append(found, one)
		}
	}
	return found
}

// declared returns the services, messages and enums of the files that declare actions, and
// of those that they import.
func declared(known *schema.Schema) (all []protoreflect.Descriptor) {
	seen := make(map[string]bool)
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Services().Len() {
			all = append(all, file.Services().Get(i))
		}
		all = append(append(all, messagesIn(file)...), enumsIn(file)...)
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
	}
	for _, action := range known.Actions() {
		add(action.Method.ParentFile())
	}
	return all
}

// messagesIn returns the messages of a file or a message, and what is declared in them.
func messagesIn(parent interface {
	Messages() protoreflect.MessageDescriptors
}) (all []protoreflect.Descriptor) {
	for i := range parent.Messages().Len() {
		if message := parent.Messages().Get(i); !message.IsMapEntry() {
			all = append(all, message)
			all = append(append(all, messagesIn(message)...), enumsIn(message)...)
		}
	}
	return all
}

func enumsIn(parent interface {
	Enums() protoreflect.EnumDescriptors
}) (all []protoreflect.Descriptor) {
	for i := range parent.Enums().Len() {
		all = append(all, parent.Enums().Get(i))
	}
	return all
}
