// Command chat is a chat room: a server, a client to type into, and a
// demonstration of both. Copy from it.
//
//	go run ./examples/chat server
//	go run ./examples/chat client --name ada
//	go run ./examples/chat demo
//
// Servers that only known users may enter, and whose connections are encrypted, are
// shown by `make run-secure`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/packetrpc/packetrpc/runtime/server"
)

const usage = `usage:
  chat server [--listen ADDRESS] [--key FILE] [--users FILE] [--authorized-keys FILE]
              [--console ADDRESS]
  chat client [--server ADDRESS] --name NAME [--server-key KEY] [--key FILE] [--password-file FILE]
  chat demo [--secure FOLDER]

An ADDRESS is HOST:PORT, or unix:PATH for a Unix socket. A KEY is a file or
a fingerprint. See ` + "`packetrpc keygen` and `packetrpc users`" + ` for the files.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// usageError is a command line that cannot be carried out. Its text says what
// can be.
type usageError string

func (e usageError) Error() string { return string(e) + "\n" + strings.TrimSpace(usage) }

// run carries out a command line.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return usageError("no command")
	}
	command, args := args[0], args[1:]
	flags := flag.NewFlagSet("chat "+command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run's caller prints the error
	var runCommand func() error
	switch command {
	case "server":
		listen := flags.String("listen", server.DefaultAddress, "where to listen")
		page := flags.String("console", "", "where to serve the web console, HOST:PORT; none is not at all")
		protected := new(protection)
		protected.addFlags(flags)
		runCommand = func() error { return runServer(ctx, *listen, *page, protected, out) }
	case "client":
		address := flags.String("server", server.DefaultAddress, "where the server is")
		name := flags.String("name", "", "what others see")
		shown := new(credentials)
		shown.addFlags(flags)
		runCommand = func() error { return runClient(ctx, *address, *name, shown, in, out) }
	case "demo":
		folder := flags.String("secure", "", "a folder with keys and users: the conversation is encrypted")
		runCommand = func() error { return runDemo(ctx, keyring(*folder), out) }
	case "help", "-h", "--help":
		_, err := io.WriteString(out, usage)
		return err
	default:
		return usageError(fmt.Sprintf("there is no command %q", command))
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, usage)
		return err
	case err != nil:
		return usageError(err.Error())
	case flags.NArg() > 0:
		return usageError(fmt.Sprintf("unexpected argument %q", flags.Arg(0)))
	}
	return runCommand()
}
