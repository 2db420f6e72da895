package server_test

import (
	"slices"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestClients(t *testing.T) {
	began := time.Now()
	srv := server.New()
	h := holdEcho(srv)
	address := listen(t, srv)
	ada, bob := dial(t, address, client.WithName("ada")), dial(t, address, client.WithName("bob"), client.WithJSON())
	old := dialRaw(t, address)
	old.shake()
	carol := dialRaw(t, address)
	carol.write(`{"action":"handShake","data":{"version":1,"username":"carol","resumable":true}}`)
	carol.read()

	answered := make(chan error, 1)
	go func() {
		_, err := echo(within(t), ada, "x")
		answered <- err
	}()
	receive(t, h.begun)
	carol.Close()
	eventually(t, "carol to be away", func() bool { return srv.Clients()[3].Away })

	type seen struct {
		name, form string
		away       bool
		calls      int
	}
	var got []seen
	for _, c := range srv.Clients() {
		got = append(got, seen{c.Peer.Identity().Name, c.Form, c.Away, c.Calls})
		if c.Encrypted || c.Received == 0 || c.Sent == 0 || c.Connected.Before(began) || c.Connected.After(time.Now()) {
			t.Errorf("%s is %+v", c.Peer.Identity().Name, c)
		}
	}
	want := []seen{{"ada", "binary", false, 1}, {"bob", "json", false, 0}, {"demo", "plain", false, 0}, {"carol", "json", true, 0}}
	if !slices.Equal(got, want) {
		t.Errorf("the clients are %+v, want %+v", got, want)
	}
	if first := srv.Clients()[0].Peer; first.ID() != ada.ID() || bob.ID() == "" {
		t.Errorf("the first client is %s, want %s", first.ID(), ada.ID())
	}

	close(h.letGo)
	if err := receive(t, answered); err != nil {
		t.Error(err)
	}
	eventually(t, "no call under way", func() bool { return srv.Clients()[0].Calls == 0 })
}

func TestEncryptedClients(t *testing.T) {
	k := testKeys()
	srv := server.New(server.WithKey(k.server))
	dial(t, listen(t, srv), client.WithServerKey(seal.PinKey(&k.server.PublicKey)))
	if clients := srv.Clients(); len(clients) != 1 || !clients[0].Encrypted {
		t.Errorf("the clients are %+v", clients)
	}
}

func TestMethods(t *testing.T) {
	srv := server.New()
	upper(srv)
	var actions []string
	for method := range srv.Methods() {
		actions = append(actions, method.Spec.Action)
	}
	if !slices.IsSorted(actions) || !slices.Contains(actions, echoSpec.Action) || !slices.Contains(actions, "CorePing") {
		t.Errorf("the actions are %v", actions)
	}
}
