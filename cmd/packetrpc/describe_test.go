package main_test

import (
	"testing"

	"github.com/packetrpc/packetrpc/runtime/server"
)

const (
	declaredSend = `// chat.v1.ChatService/Send

// Send says something to everybody in the room.
rpc Send(SendRequest) returns (SendResponse);

// SendRequest is the request of Send.
message SendRequest {
  // What to say.
  string text = 1;
}

// SendResponse is the reply of Send.
message SendResponse {
  // The message's place in the room.
  uint32 number = 1;
}

// as JSON
{
  "text": ""
}
`
	declaredPush = `// packetrpc.v1.Push

// Push is a one-way action with its message. The server must know the action's
// descriptor.
message Push {
`
	declaredShapes = `// shapes.v1.ShapeService

// ShapeService has all
// that can be declared.
service ShapeService {
  option (packetrpc.v1.service) = {requires: "artist \"a\""};
  rpc Draw(stream Shape) returns (stream Shape) {
    option deprecated = true;
    option (packetrpc.v1.method) = {action: "DRAW", timeout: {nanos: 500}};
  }
}
`
	declaredShape = `// shapes.v1.Shape

// Shape is a shape.
message Shape {
  option deprecated = true;
  enum Color {
    COLOR_UNSPECIFIED = 0;
    // as blood
    COLOR_RED = 1 [deprecated = true];
  }
  message Point {
    double x = 1;
  }
  // behind the field
  Shape.Color color = 1;
  map<int32, Shape.Point> points = 2;
  repeated Shape inside = 3 [deprecated = true];
  oneof outline {
    bool none = 4;
    Shape.Point center = 5;
  }
  repeated string tags = 6;
  google.protobuf.Value extra = 7;
  google.protobuf.Duration shown = 8;
  google.protobuf.Any any = 9;
  required bytes image = 10 [features = {field_presence: LEGACY_REQUIRED}];
  int64 size = 11 [default = 7];
}

// as JSON
{
  "color": "COLOR_UNSPECIFIED",
  "points": {
    "0": {
      "x": 0
    }
  },
  "inside": [],
  "none": false,
  "tags": [
    ""
  ],
  "extra": null,
  "shown": "0s",
  "any": {},
  "image": "",
  "size": "7"
}
`
)

func TestDescribe(t *testing.T) {
	address, _ := serve(t)
	check(t, address, []step{
		{"an action", []string{"describe", "chat.v1.ChatService/Send"}, "", 0, declaredSend, ""},
		{"a short name", []string{"describe", "Send"}, "", 0, declaredSend, ""},
		{"services", []string{"describe"}, "", 0, "// chat.v1.ChatService\n\n// ChatService is a room to talk in. The server handles it.\nservice ChatService {\n  // Send says…", ""},
		{"an rpc", []string{"describe", "chat.v1.ChatService.Send"}, "", 0, declaredSend, ""},
		{"a field's message", []string{"describe", "chat.v1.SendRequest.text", "--json"}, "", 0,
			`{"name":"chat.v1.SendRequest","kind":"message","declaration":"// SendRequest is the request of Send.\nmessage SendRequest {\n  // What to say.\n  string text = 1;\n}\n","template":{"text":""}}` + "\n", ""},
		{"of protobuf", []string{"describe", "Timestamp"}, "", 0, "// google.protobuf.Timestamp\n…", ""},
		{"of the Core", []string{"describe", "packetrpc.v1.Push"}, "", 0, declaredPush + "…", ""},
		{"unknown", []string{"describe", "ChatServices"}, "", 2, "", `there is no action, service, message or enum "ChatServices"; the nearest is chat.v1.ChatService`},
	})
}

func TestDescribeWithoutReflection(t *testing.T) {
	address, _ := serve(t, server.WithoutReflection())
	check(t, address, []step{
		{"not told", []string{"describe"}, "", 76, "", "--proto FILE"},
		{"of the Core", []string{"describe", "packetrpc.v1.Push"}, "", 0, declaredPush + "…", ""},
	})
}

// With --proto nobody is asked.
func TestDescribeFiles(t *testing.T) {
	for _, s := range []step{
		{"all", []string{"describe", "--proto", "testdata/shapes.proto"}, "", 0, declaredShapes, ""},
		{"a message", []string{"describe", "--proto", "testdata/shapes.proto", "Shape"}, "", 0, declaredShape, ""},
		{"an action", []string{"describe", "--proto", "testdata/shapes.proto", "DRAW"}, "", 0, "// DRAW\n\nrpc Draw(stream Shape)…", ""},
		{"an enum", []string{"describe", "--proto", "testdata/shapes.proto", "Color", "--json"}, "", 0,
			`{"name":"shapes.v1.Shape.Color","kind":"enum","declaration":"enum Color {\n  COLOR_UNSPECIFIED = 0;\n  // as blood\n  COLOR_RED = 1 [deprecated = true];\n}\n"}` + "\n", ""},
		{"nothing in it", []string{"describe", "--proto", "testdata/shapes.proto", "Nothing"}, "", 0, "// shapes.v1.Nothing\n\nmessage Nothing {}\n\n// as JSON\n{}\n", ""},
	} {
		t.Run(s.name, func(t *testing.T) { s.verify(t, run(t, s.input, s.args...)) })
	}
}
