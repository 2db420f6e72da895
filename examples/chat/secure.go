package main

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// keyring is a folder with what the secure demonstration needs; `make run-secure`
// fills one. The server has a key; ada has one that the server knows, and the role
// "admin"; bob has one that it does not know, and a password.
type keyring string

func (k keyring) file(name string) string { return filepath.Join(string(k), name) }

// protection is the server's.
func (k keyring) protection() *protection {
	return &protection{key: k.file("server"), users: k.file("users"), keys: k.file("authorized_keys")}
}

// ada shows her key, and knows the server's by a file.
func (k keyring) ada() *credentials {
	return &credentials{serverKey: k.file("server.pub"), key: k.file("ada")}
}

// bob shows his password, and knows the server's key by its fingerprint.
func (k keyring) bob() (*credentials, error) {
	key, err := seal.ReadPublicKey(k.file("server.pub"))
	if err != nil {
		return nil, err
	}
	return &credentials{serverKey: seal.Fingerprint(key), key: k.file("bob"), passwordFile: k.file("bob.password")}, nil
}

// secureScenes are those that show the protection.
func (d *demo) secureScenes() []scene {
	return []scene{
		{"Who does not belong here does not get in.", d.strangers},
		{"A role: bob may not throw ada out, as he is no admin.", d.roles},
		{"A sealed action: ada whispers to bob.", d.whisper},
	}
}

// strangers shows who is refused, and by whom.
func (d *demo) strangers(ctx context.Context) error {
	pin := client.WithServerKey(seal.PinKeyFile(d.keyring.file("server.pub")))
	for _, stranger := range []struct {
		who     string
		address string
		options []client.Option
	}{
		{"eve, who does not encrypt", d.address, []client.Option{client.WithName("eve")}},
		{"eve, who guesses bob's password", d.address, []client.Option{pin, client.WithPassword("bob", "a guess")}},
		{"eve, who says that she is ada", d.address, []client.Option{pin, client.WithName("ada")}},
	} {
		conn, err := client.Dial(ctx, stranger.address, stranger.options...)
		if err == nil {
			conn.Close()
			return fmt.Errorf("%s got in", stranger.who)
		}
		d.say("%s: %v", stranger.who, err)
	}
	return d.impostor(ctx, pin, client.WithPassword("bob", "what the impostor would like to hear"))
}

// impostor lets a client meet a server that has another key than it expects.
func (d *demo) impostor(ctx context.Context, options ...client.Option) error {
	key, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- server.New(server.WithKey(key)).Serve(serving, listener) }()
	conn, err := client.Dial(ctx, listener.Addr().String(), options...)
	if err == nil {
		conn.Close()
		err = errors.New("a client trusted an impostor")
	} else {
		d.say("a client that meets another server refuses it: %s", withoutKeys(err, &key.PublicKey, listener.Addr()))
		err = nil
	}
	stop()
	return errors.Join(err, <-served)
}

// withoutKeys returns an error's text without what is another each time.
func withoutKeys(err error, key *rsa.PublicKey, address net.Addr) string {
	return strings.NewReplacer(seal.Fingerprint(key), "SHA256:…", address.String(), "ADDRESS").Replace(err.Error())
}

// roles shows that a role is demanded.
func (d *demo) roles(ctx context.Context) error {
	request := &packetrpcv1.DisconnectRequest{Id: d.ada.conn.ID(), Reason: "bob wants it"}
	_, err := packetrpcv1packetrpc.NewCoreServiceClient(d.bob.conn).Disconnect(ctx, request)
	if packetrpc.CodeOf(err) != packetrpc.CodePermissionDenied {
		return fmt.Errorf("got the error %v, want permission_denied", err)
	}
	d.say("bob is told: %v", err)
	info, err := packetrpcv1packetrpc.NewCoreServiceClient(d.ada.conn).Info(ctx, &packetrpcv1.InfoRequest{})
	if err != nil {
		return err
	}
	d.say("the server knows ada by her key: %s, roles %v, encrypted: %t", info.GetClient().GetName(), info.GetRoles(), info.GetEncrypted())
	return nil
}

// whisper is a unary call whose data is sealed, and leads to a push that is, too.
func (d *demo) whisper(ctx context.Context) error {
	if _, err := d.ada.chat.Whisper(ctx, &chatv1.WhisperRequest{To: "bob", Text: "the cake is in the cellar"}); err != nil {
		return err
	}
	if err := d.bob.hears(ctx, "ada whispers: the cake is in the cellar"); err != nil {
		return err
	}
	d.say("bob alone hears: ada whispers: the cake is in the cellar")
	return nil
}
