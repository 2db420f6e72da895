package main_test

import (
	"testing"

	"github.com/packetrpc/packetrpc/runtime/server"
)

const (
	chatProto = "../../examples/chat/proto/chat/v1/chat.proto"

	listedChat = `chat.v1.ChatService/History  server-stream
chat.v1.ChatService/Import   client-stream
chat.v1.ChatService/Send     unary
chat.v1.ChatService/Talk     bidi-stream
chat.v1.ChatService/Typing   one-way
chat.v1.ChatService/Whisper  unary
chat.v1.ChatService/Who      unary
`
	listedPushes = `chat.v1.ChatEvents/Joined     one-way
chat.v1.ChatEvents/Left       one-way
chat.v1.ChatEvents/Posted     one-way
chat.v1.ChatEvents/Typed      one-way
chat.v1.ChatEvents/Whispered  one-way
`
)

func TestList(t *testing.T) {
	address, _ := serve(t)
	check(t, address, []step{
		{"a service", []string{"list", "chat.v1.ChatService"}, "", 0, listedChat, ""},
		{"a short name", []string{"list", "ChatService"}, "", 0, listedChat, ""},
		{"all", []string{"list"}, "", 0, listedChat + "CoreBroadcast                unary  requires admin\n…", ""},
		{"as JSON", []string{"list", "ChatService", "--json"}, "", 0,
			`{"action":"chat.v1.ChatService/History","service":"chat.v1.ChatService","type":"server-stream","request":"chat.v1.HistoryRequest","response":"chat.v1.HistoryResponse"}` + "\n…", ""},
		{"pushes", []string{"list", "--pushes"}, "", 0, listedPushes, ""},
		{"no such service", []string{"list", "Service"}, "", 1, "", `has no actions of a service "Service"`},
		{"no such flag", []string{"list", "--all"}, "", 2, "", "packetrpc: flag provided but not defined: -all; see `packetrpc list --help`\n"},
	})
}

func TestListWithoutReflection(t *testing.T) {
	address, _ := serve(t, server.WithoutReflection())
	check(t, address, []step{
		{"a service", []string{"list", "ChatService"}, "", 0, listedChat, ""},
		{"pushes", []string{"list", "--pushes"}, "", 76, "",
			"does not tell what there is to call (--proto FILE does): unimplemented: reflection is switched off here (server.WithoutReflection)"},
		{"a wrong file", []string{"list", "--proto", "no.proto"}, "", 2, "", "--proto: "},
		{"pushes of a file", []string{"list", "--pushes", "--proto", chatProto}, "", 0, listedPushes, ""},
		{"a file by its folder", []string{"list", "--pushes", "--proto", chatProto, "--proto-path", "../../examples/chat/proto"}, "", 0, listedPushes, ""},
		{"no such file", []string{"list", "--pushes", "--proto", "no.proto"}, "", 2, "", "--proto: "},
		{"no .proto file", []string{"list", "--pushes", "--proto", "main.go"}, "", 2, "", "--proto: main.go:"},
	})
}
