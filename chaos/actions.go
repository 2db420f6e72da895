package main

import (
	"fmt"
	"hash/fnv"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// text is the message of every action. What it holds is words, the last of which may
// be there for its length only.
type text = wrapperspb.StringValue

// The actions that clients call.
var (
	effectSpec = action("Effect", packetrpc.Unary, packetrpc.IdempotencyUnknown)
	echoSpec   = action("Echo", packetrpc.Unary, packetrpc.Idempotent)
	lingerSpec = action("Linger", packetrpc.Unary, packetrpc.Idempotent)
	noteSpec   = action("Note", packetrpc.OneWay, packetrpc.IdempotencyUnknown)
	talkSpec   = action("Talk", packetrpc.BidiStreaming, packetrpc.IdempotencyUnknown)
)

// The actions that the server pushes.
var (
	directSpec = action("Direct", packetrpc.OneWay, packetrpc.IdempotencyUnknown)
	groupSpec  = action("Group", packetrpc.OneWay, packetrpc.IdempotencyUnknown)
	allSpec    = action("All", packetrpc.OneWay, packetrpc.IdempotencyUnknown)
)

func action(method string, kind packetrpc.CallType, idempotency packetrpc.Idempotency) *packetrpc.Spec {
	return &packetrpc.Spec{Action: "chaos.Chaos/" + method, Service: "chaos.Chaos", Method: method, Type: kind, Idempotency: idempotency}
}

// replyTo returns the reply to a request. It tells requests apart, and is as long.
func replyTo(request string) string {
	hash := fnv.New64a()
	hash.Write([]byte(request))
	return fmt.Sprintf("%x %s", hash.Sum64(), request)
}
