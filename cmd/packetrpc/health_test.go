package main_test

import (
	"errors"
	"testing"
)

func TestHealth(t *testing.T) {
	address, srv := serve(t)
	const both = "chat.v1.ChatService       ready\npacketrpc.v1.CoreService  ready\n"
	check(t, address, []step{
		{"all", []string{"health"}, "", 0, both, ""},
		{"one", []string{"health", "chat.v1.ChatService"}, "", 0, "chat.v1.ChatService  ready\n", ""},
		{"one, by the end of its name", []string{"health", "ChatService"}, "", 0, "chat.v1.ChatService  ready\n", ""},
		{"as JSON", []string{"health", "--json", "chat.v1.ChatService"}, "", 0, `{"service":"chat.v1.ChatService","ready":true}` + "\n", ""},
		{"unknown", []string{"health", "no.Service"}, "", 69, "", `packetrpc: not_found: service "no.Service" is not handled here`},
		{"unknown, as JSON", []string{"health", "no.Service", "--json"}, "", 69, "", `{"code":"not_found","message":"service \"no.Service\" is not handled here"}`},
		{"too much", []string{"health", "a", "b"}, "", 2, "", "`packetrpc health` takes the arguments [ADDR] [SERVICE]"},
	})
	srv.SetHealth("chat.v1.ChatService", errors.New("the room is being cleaned"))
	check(t, address, []step{
		{"not ready", []string{"health", "chat.v1.ChatService"}, "", 1, "chat.v1.ChatService  not ready: the room is being cleaned\n", "packetrpc: not ready"},
		{"not ready, as JSON", []string{"health", "chat.v1.ChatService", "--json"}, "", 1,
			`{"service":"chat.v1.ChatService","ready":false,"reason":"the room is being cleaned"}` + "\n", `{"code":"unknown","message":"not ready"}`},
	})
}
