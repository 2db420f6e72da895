package console

import (
	"net/http"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// catalogue is what the page needs to know of a server once: its actions, and what
// their messages are made of. It does not change.
type catalogue struct {
	services []string // that are handled, by full name
	methods  map[string]*packetrpc.Method
	comments schema.Comments

	// Actions is what the server handles, and Pushes the one-way actions that it may
	// push, which are declared beside those. Both are sorted by name.
	Actions []actionView `json:"actions"`
	Pushes  []actionView `json:"pushes"`
	// Messages and Enums are all that these refer to, by full name.
	Messages map[protoreflect.FullName]*messageView `json:"messages"`
	Enums    map[protoreflect.FullName]*enumView    `json:"enums"`
	// Bounds is where the buckets of durations begin, in milliseconds.
	Bounds []float64 `json:"bounds"`
}

type actionView struct {
	Name       string                `json:"name"`
	Type       string                `json:"type"`
	Request    protoreflect.FullName `json:"request"`
	Response   protoreflect.FullName `json:"response"` // "" is not known, or none
	Requires   string                `json:"requires"`
	Sealed     bool                  `json:"sealed"`
	Deprecated bool                  `json:"deprecated"`
	Comment    string                `json:"comment"`
}

type messageView struct {
	Comment string      `json:"comment"`
	Fields  []fieldView `json:"fields"`
}

// fieldView is a field for a form. Of a map it describes the values, and Key is the kind
// of the keys.
type fieldView struct {
	Name       string                `json:"name"`
	JSON       string                `json:"json"`
	Kind       string                `json:"kind"` // as in .proto files; "message" and "enum" for those
	Of         protoreflect.FullName `json:"of"`   // the message or enum
	Repeated   bool                  `json:"repeated"`
	Key        string                `json:"key"`
	Oneof      string                `json:"oneof"`
	Optional   bool                  `json:"optional"` // a scalar that may be unset
	Required   bool                  `json:"required"`
	Deprecated bool                  `json:"deprecated"`
	Comment    string                `json:"comment"`
}

type enumView struct {
	Comment string      `json:"comment"`
	Values  []valueView `json:"values"`
}

type valueView struct {
	Name    string `json:"name"`
	Comment string `json:"comment"`
}

// actions answers with the catalogue.
func (p *pages) actions(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, p.catalogue())
}

// describe makes the catalogue of a server.
func describe(srv *server.Server) *catalogue {
	c := &catalogue{
		methods:  make(map[string]*packetrpc.Method),
		comments: make(schema.Comments),
		Pushes:   []actionView{},
		Messages: make(map[protoreflect.FullName]*messageView),
		Enums:    make(map[protoreflect.FullName]*enumView),
		Bounds:   bucketBounds(),
	}
	seen := make(map[string]bool)
	for method := range srv.Methods() {
		c.methods[method.Spec.Action] = method
		c.comments.Add(method.Spec.Comments)
		if service := method.Spec.Service; service != "" && !seen[service] {
			seen[service] = true
			c.services = append(c.services, service)
		}
	}
	linked := schema.Linked()
	for method := range srv.Methods() {
		c.addAction(method, linked)
	}
	c.addPushes(linked)
	return c
}

func (c *catalogue) addAction(method *packetrpc.Method, linked *schema.Schema) {
	view := c.viewOf(method.Spec)
	if declared := linked.Lookup(method.Spec.Action); declared != nil {
		view.Deprecated = declared.Method.Options().(*descriptorpb.MethodOptions).GetDeprecated()
	}
	request := method.NewRequest().ProtoReflect().Descriptor()
	view.Request = request.FullName()
	c.addMessage(request)
	if response := newResponse(method.Spec); response != nil {
		c.addMessage(response.ProtoReflect().Descriptor())
	} else {
		view.Response = ""
	}
	c.Actions = append(c.Actions, view)
}

// addPushes adds what the server may push: CoreSend and CoreBroadcast take one-way actions
// by the descriptors that are linked into the program.
func (c *catalogue) addPushes(linked *schema.Schema) {
	beside := make(map[string]bool)
	for _, service := range linked.ServicesBeside(c.services) {
		beside[service] = true
	}
	for _, action := range linked.Actions() {
		if action.Spec.Type != packetrpc.OneWay || !beside[action.Spec.Service] || len(action.Rivals) > 0 {
			continue
		}
		c.Pushes = append(c.Pushes, c.viewOf(action.Spec))
		c.addMessage(action.Method.Input())
	}
}

func (c *catalogue) viewOf(spec *packetrpc.Spec) actionView {
	return actionView{
		Name:     spec.Action,
		Type:     spec.Type.String(),
		Request:  spec.Request,
		Response: spec.Response,
		Requires: spec.Requires,
		Sealed:   spec.Sealed,
		Comment:  c.comments[protoreflect.FullName(spec.Service).Append(protoreflect.Name(spec.Method))],
	}
}

// newResponse returns an empty reply of an action, or nil if there is none, or none whose
// type is linked into the program.
func newResponse(spec *packetrpc.Spec) proto.Message {
	if spec.Type == packetrpc.OneWay {
		return nil
	}
	known, err := protoregistry.GlobalTypes.FindMessageByName(spec.Response)
	if err != nil {
		return nil
	}
	return known.New().Interface()
}

// addMessage adds a message with all that it refers to.
func (c *catalogue) addMessage(message protoreflect.MessageDescriptor) {
	if c.Messages[message.FullName()] != nil {
		return
	}
	view := &messageView{Comment: c.comments[message.FullName()], Fields: []fieldView{}}
	c.Messages[message.FullName()] = view
	for i := range message.Fields().Len() {
		view.Fields = append(view.Fields, c.viewOfField(message.Fields().Get(i)))
	}
}

func (c *catalogue) viewOfField(field protoreflect.FieldDescriptor) fieldView {
	view := fieldView{
		Name:       string(field.Name()),
		JSON:       field.JSONName(),
		Repeated:   field.IsList(),
		Optional:   field.HasPresence() && field.Message() == nil,
		Required:   field.Cardinality() == protoreflect.Required,
		Deprecated: field.Options().(*descriptorpb.FieldOptions).GetDeprecated(),
		Comment:    c.comments[field.FullName()],
	}
	if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		view.Oneof, view.Optional = string(oneof.Name()), false
	}
	if field.IsMap() {
		view.Key = field.MapKey().Kind().String()
		field = field.MapValue()
	}
	view.Kind = field.Kind().String()
	switch {
	case field.Message() != nil:
		view.Kind, view.Of = protoreflect.MessageKind.String(), field.Message().FullName()
		c.addMessage(field.Message())
	case field.Enum() != nil:
		view.Of = field.Enum().FullName()
		c.addEnum(field.Enum())
	}
	return view
}

func (c *catalogue) addEnum(enum protoreflect.EnumDescriptor) {
	if c.Enums[enum.FullName()] != nil {
		return
	}
	view := &enumView{Comment: c.comments[enum.FullName()], Values: []valueView{}}
	c.Enums[enum.FullName()] = view
	for i := range enum.Values().Len() {
		value := enum.Values().Get(i)
		view.Values = append(view.Values, valueView{string(value.Name()), c.comments[value.FullName()]})
	}
}
