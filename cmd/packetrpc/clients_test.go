package main_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// guest is a client in the room, and what it hears.
type guest struct {
	chatv1packetrpc.UnimplementedChatEventsHandler
	*client.Client
	heard chan string
}

func (g *guest) Joined(_ context.Context, request *chatv1.JoinedRequest) error {
	g.heard <- request.GetName()
	return nil
}

// hears checks what the guest hears next.
func (g *guest) hears(t *testing.T, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case got := <-g.heard:
		if got != want {
			t.Errorf("the guest heard %q, want %q", got, want)
		}
	case <-ctx.Done():
		t.Errorf("the guest did not hear %q", want)
	}
}

// serveAGuest serves a room with a guest, who is in the group lobby. "root" is an admin.
func serveAGuest(t *testing.T, options ...server.Option) (address string, g *guest) {
	t.Helper()
	address, _ = serve(t, append(options, server.WithRoles("root", "admin"), server.WithConnected(func(peer packetrpc.Peer) {
		if peer.Identity().Name == "ada" {
			peer.Join("lobby")
		}
	}))...)
	g = &guest{heard: make(chan string, 10)}
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, g)
	var err error
	if g.Client, err = client.Dial(t.Context(), address, client.WithName("ada"), client.WithHandlers(handlers), client.WithoutReconnect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return address, g
}

func TestClients(t *testing.T) {
	address, g := serveAGuest(t)
	got := run(t, "", "clients", address)
	if want := regexp.MustCompile(`^` + g.ID() + `  ada  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n$`); got.status != 0 || !want.MatchString(got.out) {
		t.Errorf("got %+v, want %s", got, want)
	}
	got = run(t, "", "clients", address, "--json", "--group", "lobby")
	var listed struct{ ID, Name, Connected string }
	if err := json.Unmarshal([]byte(got.out), &listed); err != nil || listed.ID != g.ID() || listed.Name != "ada" || listed.Connected == "" {
		t.Errorf("got %+v, %v", got, err)
	}
	check(t, address, []step{
		{"nobody is in the group", []string{"clients", "--group", "attic"}, "", 0, "", ""},
		{"too much", []string{"clients", "ada"}, "", 2, "", "`packetrpc clients` takes the arguments [ADDR]"},
	})
	closed, _ := serve(t, server.WithClientListClosed())
	check(t, closed, []step{
		{"closed", []string{"clients"}, "", 71, "", "packetrpc: permission_denied: "},
		{"closed, as JSON", []string{"clients", "--json"}, "", 71, "", `{"code":"permission_denied","message":"`},
	})
}

func TestPush(t *testing.T) {
	for name, options := range map[string][]server.Option{
		"with reflection":    nil,
		"without reflection": {server.WithoutReflection()},
	} {
		t.Run(name, func(t *testing.T) {
			address, g := serveAGuest(t, options...)
			const joined = "chat.v1.ChatEvents/Joined"
			check(t, address, []step{
				{"send", []string{"send", g.ID(), joined, `{"name":"Bob"}`, "--user", "root"}, "", 0, "", ""},
				{"send the input", []string{"send", g.ID(), joined, "-", "--user", "root"}, `{"name":"Eve"}`, 0, "", ""},
				{"send nothing", []string{"send", g.ID(), joined, "--user", "root"}, "", 0, "", ""},
				{"to nobody", []string{"send", "nobody", joined, "--user", "root"}, "", 69, "", `packetrpc: not_found: no client has the id "nobody"`},
				{"without the role", []string{"send", g.ID(), joined}, "", 71, "", "packetrpc: permission_denied: "},
				{"no action", []string{"send", g.ID()}, "", 2, "", "takes the arguments [ADDR] ID ACTION [JSON|@FILE|-]"},
				{"no JSON", []string{"send", g.ID(), joined, "Bob", "--user", "root"}, "", 2, "", "no "},
				{"broadcast", []string{"broadcast", joined, `{"name":"Bob"}`, "--user", "root"}, "", 0, "queued for 2, refused by 0\n", ""},
				{"to a group", []string{"broadcast", joined, `{"name":"Eve"}`, "--user", "root", "--group", "lobby", "--json"}, "", 0, `{"queued":1,"refused":0}` + "\n", ""},
				{"to an empty group", []string{"broadcast", joined, "--user", "root", "--group", "attic"}, "", 0, "queued for 0, refused by 0\n", ""},
				{"broadcast without the role", []string{"broadcast", joined, "--json"}, "", 71, "", `{"code":"permission_denied"`},
			})
			for _, want := range []string{"Bob", "Eve", "", "Bob", "Eve"} {
				g.hears(t, want)
			}
		})
	}
}

// What the server tells is looked at before anything is pushed.
func TestPushIsChecked(t *testing.T) {
	address, g := serveAGuest(t)
	check(t, address, []step{
		{"a short name", []string{"send", g.ID(), "Joined", `{"name":"Bob"}`, "--user", "root"}, "", 0, "", ""},
		{"not one-way", []string{"broadcast", "Status", "--user", "root"}, "", 2, "", "chat.v1.ChatEvents/Status is unary, and only one-way actions can be pushed"},
		{"an unknown field", []string{"broadcast", "Joined", `{"who":"Bob"}`, "--user", "root"}, "", 2, "", `unknown field "who"` + "\nwanted is {\"name\":\"\"}"},
		{"unknown", []string{"broadcast", "Jioned", "--user", "root"}, "", 2, "", "the nearest is chat.v1.ChatEvents/Joined"},
	})
	g.hears(t, "Bob")
}

func TestDisconnect(t *testing.T) {
	address, g := serveAGuest(t)
	check(t, address, []step{
		{"without the role", []string{"disconnect", g.ID()}, "", 71, "", "packetrpc: permission_denied: "},
		{"nobody", []string{"disconnect", "nobody", "--user", "root"}, "", 69, "", "packetrpc: not_found: "},
		{"no id", []string{"disconnect", "--user", "root"}, "", 2, "", "takes the arguments [ADDR] ID [REASON]"},
		{"somebody", []string{"disconnect", g.ID(), "it is late", "--user", "root"}, "", 0, "", ""},
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-g.Done():
		if !strings.Contains(g.Err().Error(), "it is late") {
			t.Errorf("the guest is told %v", g.Err())
		}
	case <-ctx.Done():
		t.Error("the guest is still connected")
	}
}
