package main

import (
	"bytes"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// What the run prints, but for what differs from run to run.
const want = `level=DEBUG msg="packetrpc: call" action=chat.v1.ChatEvents/Status type=unary direction=outgoing client=ID name=ada address=ADDRESS duration=TIME sent_messages=1 sent_bytes=0 received_messages=1 received_bytes=6
level=DEBUG msg="packetrpc: call" action=chat.v1.ChatService/Who type=unary direction=incoming client=ID name=ada address=ADDRESS duration=TIME sent_messages=1 sent_bytes=13 received_messages=1 received_bytes=0

{
  "ready": true,
  "services": [
    {
      "service": "chat.v1.ChatService",
      "ready": true
    }
  ]
}

packetrpc_server_sessions_active 1
packetrpc_server_sessions_away 0
packetrpc_server_sessions_resumed_total 0
packetrpc_server_sessions_slow_total 0
packetrpc_server_sessions_started_total 1
rpc_server_call_duration_seconds_count{rpc_method="chat.v1.ChatEvents/Status",rpc_status_code="ok",rpc_system_name="packetrpc"} 1
rpc_server_call_duration_seconds_count{rpc_method="chat.v1.ChatService/Who",rpc_status_code="ok",rpc_system_name="packetrpc"} 1

trace ID
  client chat.v1.ChatService/Who
    server chat.v1.ChatService/Who
      client chat.v1.ChatEvents/Status
        server chat.v1.ChatEvents/Status
`

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	got := out.String()
	for _, change := range []struct{ pattern, by string }{
		{`(?m)^time=\S+ `, ""},
		{`client=\w+`, "client=ID"},
		{`address=\S+`, "address=ADDRESS"},
		{`duration=\S+`, "duration=TIME"},
		{`trace \w+`, "trace ID"},
		{`(?m) +\+\S+ for \S+$`, ""},
		{`(?m)^ +\| .*\n`, ""}, // attributes
	} {
		got = regexp.MustCompile(change.pattern).ReplaceAllString(got, change.by)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The code in the documents is this program's.
func TestDocument(t *testing.T) {
	document, err := os.ReadFile("../../../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(document, -1)
	if len(blocks) == 0 {
		t.Fatal("the document shows no code")
	}
	for _, block := range blocks {
		if !bytes.Contains(program, block[1]) {
			t.Errorf("the program does not hold what the document shows:\n%s", block[1])
		}
	}
}
