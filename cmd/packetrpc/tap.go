package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/packetrpc/packetrpc/internal/tap"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// defaultTapAddress is where a tap listens: beside the default address of servers.
const defaultTapAddress = "127.0.0.1:25566"

// newTapCommand returns the command that shows what passes between clients and a server.
func newTapCommand() *cli.Command {
	return &cli.Command{
		Name:  "tap",
		Usage: "stand between clients and a server, and show the packets that pass",
		Description: "Clients connect to the address of --listen in place of the server's. Tokens and passwords\n" +
			"are neither shown nor recorded. With --key the tap ends TLS on both sides: clients know it by\n" +
			"that key, and it knows the server by --server-key or --known-hosts. Clients' own keys cannot\n" +
			"be passed on. The other flags of how to connect are for asking the server what there is to\n" +
			"call. docs/tap.md tells more.\n\n" + connectHelp,
		ArgsUsage: "[ADDR]",
		Flags:     append(append(tapFlags(), tapConnectFlags()...), schemaFlags()...),
		Action:    tapTraffic,
	}
}

func tapFlags() []cli.Flag {
	const show, what = "WHAT TO SHOW", "HOW TO SHOW IT"
	return []cli.Flag{
		&cli.StringFlag{Name: "listen", Usage: "accept clients at `ADDRESS`", Value: defaultTapAddress},
		&cli.StringFlag{Name: "record", Usage: "write all that passes to `FILE` too, whatever is shown"},
		&cli.StringFlag{Name: "replay", Usage: "show what was recorded in `FILE`, and connect to nobody"},
		&cli.BoolFlag{Name: "allow-plaintext", Usage: "pass on what is not encrypted beyond this machine too"},

		&cli.StringFlag{Name: "action", Category: show, Usage: "only actions that fit `GLOB`, such as \"chat.*\""},
		&cli.IntSliceFlag{Name: "connection", Category: show, Usage: "only connection `N`; may be repeated"},
		&cli.StringFlag{Name: "status", Category: show, Usage: "only ends of calls that are `STATUS`: ok, error, or a code such as not_found"},
		&cli.DurationFlag{Name: "slower", Category: show, Usage: "only ends of calls that took at least `DURATION`"},
		&cli.StringSliceFlag{Name: "kind", Category: show, Usage: "only `KIND`, such as request; may be repeated"},

		&cli.BoolFlag{Name: "calls", Category: what, Usage: "a line for each call when it has ended"},
		&cli.BoolFlag{Name: "full", Category: what, Usage: "do not cut lines"},
		&cli.StringSliceFlag{Name: "hide", Category: what, Usage: "hide the values of fields and metadata of this `NAME` too; may be repeated"},
		&cli.BoolFlag{Name: "raw", Category: what, Usage: "show how data without a schema begins; secrets may be in it"},
	}
}

// tapConnectFlags returns the flags of how to connect, of which --key is another one here:
// it is not what a user has in the environment to be known by.
func tapConnectFlags() []cli.Flag {
	flags := connectFlags()
	for _, flag := range flags {
		if key, isText := flag.(*cli.StringFlag); isText && key.Name == "key" {
			key.Usage = "end TLS with the private key in `FILE`, which clients must know the tap by"
			key.Sources = cli.ValueSourceChain{}
		}
	}
	return flags
}

func tapTraffic(ctx context.Context, command *cli.Command) error {
	out := newOutput(command)
	fits, err := tapFilter(command).Compile()
	if err != nil {
		return usageErrorf("%s", packetrpc.AsError(err).Message)
	}
	if path := command.String("replay"); path != "" {
		if command.String("record") != "" || command.Args().Present() {
			return usageErrorf("--replay shows a file, and goes with neither an address nor --record")
		}
		return replay(ctx, path, out, tapView(command, out), fits)
	}
	address, _, err := arguments(command, 0, 0)
	if err != nil {
		return err
	}
	t, err := newTarget(ctx, command, address)
	if err != nil {
		return err
	}
	proxy, err := newProxy(ctx, command, t, out.Notes)
	if err != nil {
		return err
	}
	listener, err := tap.Listen(ctx, command.String("listen"))
	if err != nil {
		return &exitError{error: err, status: exitUsage}
	}
	defer listener.Close()
	fmt.Fprintf(out.Notes, "%s takes the place of %s; Ctrl+C ends it\n", listener.Addr(), t.address)
	if proxy.Key != nil {
		fmt.Fprintf(out.Notes, "its key, for clients to know it by, is %s\n", seal.Fingerprint(&proxy.Key.PublicKey))
	}
	return watch(command, out, func(show func(*tap.Event)) error { return proxy.Serve(ctx, listener, show) }, fits)
}

func tapFilter(command *cli.Command) tap.Filter {
	return tap.Filter{
		Action:      command.String("action"),
		Connections: command.IntSlice("connection"),
		Status:      command.String("status"),
		Slower:      command.Duration("slower"),
		Kinds:       command.StringSlice("kind"),
	}
}

// tapView returns the view for whatever the output is.
func tapView(command *cli.Command, out *output) tap.View {
	view := tap.View{Calls: command.Bool("calls"), Full: command.Bool("full"), JSON: out.JSON}
	file, isFile := out.Writer.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return view
	}
	view.Color = os.Getenv("NO_COLOR") == ""
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		view.Width = width
	}
	return view
}

// newProxy returns the proxy before a server. That the server does not tell what there is to
// call is noted, and no reason to see nothing.
func newProxy(ctx context.Context, command *cli.Command, t *target, notes io.Writer) (*tap.Proxy, error) {
	proxy := &tap.Proxy{
		Server:         t.address,
		AllowPlaintext: command.Bool("allow-plaintext"),
		Decoding:       tap.Decoding{Hide: command.StringSlice("hide"), Raw: command.Bool("raw")},
	}
	if path := command.String("key"); path != "" {
		var err error
		if proxy.Key, err = seal.ReadPrivateKey(path); err != nil {
			return nil, err
		}
		if proxy.ServerTLS, err = tapPin(command, t.address); err != nil {
			return nil, err
		}
	}
	known, err := tapSchema(ctx, t)
	var exit *exitError
	if errors.As(err, &exit) && exit.status == exitUsage {
		return nil, err
	}
	if err != nil {
		fmt.Fprintf(notes, "data in the binary form is shown without names: %v\n", err)
	}
	proxy.Schema = known
	return proxy, nil
}

// tapPin returns how the tap knows a server that encrypts.
func tapPin(command *cli.Command, address string) (*tls.Config, error) {
	switch key, path := command.String("server-key"), command.String("known-hosts"); {
	case key != "":
		return seal.ClientTLS(pinOf(key), address, nil)
	case path != "":
		return seal.ClientTLS(seal.PinKnownHosts(path, nil), address, nil)
	}
	return nil, usageErrorf("a tap with --key must know the server by --server-key or --known-hosts")
}

// tapSchema returns what there is to call. The server is not asked where --proto tells it.
func tapSchema(ctx context.Context, t *target) (*schema.Schema, error) {
	if known, err := protoSchema(ctx, t.flags); known != nil || err != nil {
		return known, err
	}
	server, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	return t.schema(ctx, server)
}

// watch prints, and records, what is served to show, until that ends.
func watch(command *cli.Command, out *output, serve func(show func(*tap.Event)) error, fits func(*tap.Event) bool) (err error) {
	show := func(*tap.Event) {}
	if path := command.String("record"); path != "" {
		file, err := newRecording(path, out.Notes)
		if err != nil {
			return err
		}
		defer func() { err = cmp.Or(err, file.close()) }()
		show = file.record
	}
	printer := tap.NewPrinter(out, tapView(command, out))
	err = serve(func(e *tap.Event) {
		show(e)
		if fits(e) {
			printer.Print(e)
		}
	})
	return errors.Join(err, printer.Close())
}

// recording is a file that is being recorded to.
type recording struct {
	file     *os.File
	recorder *tap.Recorder
	notes    io.Writer
	err      error
}

// newRecording makes the file. One that exists is left alone.
func newRecording(path string, notes io.Writer) (*recording, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	recorder, err := tap.NewRecorder(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &recording{file: file, recorder: recorder, notes: notes}, nil
}

// record writes an event. When that fails, the rest is shown, and not recorded.
func (r *recording) record(e *tap.Event) {
	if r.err != nil {
		return
	}
	if r.err = r.recorder.Record(e); r.err != nil {
		fmt.Fprintf(r.notes, "nothing more is recorded: %v\n", r.err)
	}
}

func (r *recording) close() error { return cmp.Or(r.err, r.file.Close()) }

// replay prints what was recorded.
func replay(ctx context.Context, path string, out io.Writer, view tap.View, fits func(*tap.Event) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	err = tap.Replay(file, func(e *tap.Event) error {
		if ctx.Err() != nil || !fits(e) {
			return ctx.Err()
		}
		_, err := out.Write(view.Line(e))
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
