package users_test

import (
	"context"
	"fmt"
	"net"
	"os"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// A server that takes encrypted connections of the users in a file, and a client
// that knows it by the fingerprint of its key.
func Example() {
	fingerprint, leave, err := enterServersFolder()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer leave()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener) }()

	if err := whoAmI(ctx, listener.Addr().String(), fingerprint); err != nil {
		fmt.Println(err)
	}
	stop()
	fmt.Println(<-served)
	// Output:
	// ada [admin] encrypted: true
	// <nil>
}

// serve serves those who are in users.txt. A program of its own sets the address
// by server.WithAddress and calls srv.ListenAndServe(ctx).
func serve(ctx context.Context, listener net.Listener) error {
	key, err := seal.ReadPrivateKey("server.key")
	if err != nil {
		return err
	}
	people, err := users.Open("users.txt")
	if err != nil {
		return err
	}
	srv := server.New(server.WithKey(key), server.WithAuthenticator(people))
	return srv.Serve(ctx, listener)
}

// whoAmI prints how the server at an address sees the client.
func whoAmI(ctx context.Context, address, fingerprint string) error {
	pin := seal.PinFingerprint(fingerprint) // "SHA256:…", as packetrpc keygen prints it
	conn, err := client.Dial(ctx, address, client.WithServerKey(pin), client.WithPassword("ada", "correct horse"))
	if err != nil {
		return err
	}
	defer conn.Close()
	info, err := packetrpcv1packetrpc.NewCoreServiceClient(conn).Info(ctx, &packetrpcv1.InfoRequest{})
	if err != nil {
		return err
	}
	fmt.Println(info.GetClient().GetName(), info.GetRoles(), "encrypted:", info.GetEncrypted())
	return nil
}

// enterServersFolder makes a folder with the files that `packetrpc keygen
// server.key` and `packetrpc users add --role admin users.txt ada` make, and goes
// there.
func enterServersFolder() (fingerprint string, leave func(), err error) {
	before, err := os.Getwd()
	if err != nil {
		return "", nil, err
	}
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		return "", nil, err
	}
	leave = func() {
		os.Chdir(before)
		os.RemoveAll(folder)
	}
	if err := os.Chdir(folder); err != nil {
		leave()
		return "", nil, err
	}
	key, err := seal.GenerateKey(seal.MinBits) // smaller than keygen's, to be quick
	if err == nil {
		err = seal.WriteKeyPair("server.key", key)
	}
	if err == nil {
		err = users.Edit(context.Background(), "users.txt", func(table *users.Table) error {
			return table.Add("ada", "correct horse", "admin")
		})
	}
	if err != nil {
		leave()
		return "", nil, err
	}
	return seal.Fingerprint(&key.PublicKey), leave, nil
}
