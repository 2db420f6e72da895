package plan

import (
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fileComments returns the comments of all declarations of a file as
// [packetrpc.Spec.Comments] holds them; "" is none.
func fileComments(in *protogen.File) string {
	c := make(comments)
	for _, service := range in.Services {
		c.add(service.Desc, service.Comments)
		for _, rpc := range service.Methods {
			c.add(rpc.Desc, rpc.Comments)
		}
	}
	for _, message := range in.Messages {
		c.addMessage(message)
	}
	for _, enum := range in.Enums {
		c.addEnum(enum)
	}
	if len(c) == 0 {
		return ""
	}
	text, err := json.MarshalIndent(c, "", "\t") // sorted by name, so that the order of declarations makes no difference
	if err != nil {
		panic(err) // strings are always encoded
	}
	return strings.ReplaceAll(string(text), "`", `\u0060`) // for Go's raw strings
}

// comments are the texts of comments by the full names of what they are about.
type comments map[protoreflect.FullName]string

// add keeps the comment above a declaration, or else the one behind it.
func (c comments) add(about protoreflect.Descriptor, set protogen.CommentSet) {
	text := commentText(set.Leading)
	if text == "" {
		text = commentText(set.Trailing)
	}
	if text == "" {
		return
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, " ") // which follows "//"
	}
	c[about.FullName()] = strings.Join(lines, "\n")
}

func (c comments) addMessage(message *protogen.Message) {
	if message.Desc.IsMapEntry() {
		return
	}
	c.add(message.Desc, message.Comments)
	for _, field := range message.Fields {
		c.add(field.Desc, field.Comments)
	}
	for _, oneof := range message.Oneofs {
		if !oneof.Desc.IsSynthetic() {
			c.add(oneof.Desc, oneof.Comments)
		}
	}
	for _, nested := range message.Messages {
		c.addMessage(nested)
	}
	for _, enum := range message.Enums {
		c.addEnum(enum)
	}
}

func (c comments) addEnum(enum *protogen.Enum) {
	c.add(enum.Desc, enum.Comments)
	for _, value := range enum.Values {
		c.add(value.Desc, value.Comments)
	}
}
