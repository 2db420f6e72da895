package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/packetrpc/packetrpc/runtime/console"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// runWithConsole serves a room, and the web console at an address, until the context or
// either of them ends.
func runWithConsole(ctx context.Context, address string, options []server.Option, out io.Writer) error {
	c := console.New()
	srv := newServer(append(c.Options(), options...)...)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the console is at http://%s\n", listener.Addr())
	pages := &http.Server{Handler: c.Handler(srv), ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		defer stop()
		served <- pages.Serve(listener)
	}()
	defer context.AfterFunc(ctx, func() { pages.Close() })() // so that its calls do not hold up the room's end
	err = serveRoom(ctx, srv, out)
	pages.Close()
	if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, failed)
	}
	return err
}
