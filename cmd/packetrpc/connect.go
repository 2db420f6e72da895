package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

const (
	defaultPort    = "25565"
	defaultAddress = "127.0.0.1:" + defaultPort
	defaultTimeout = 10 * time.Second
)

// The environment variables that no flag stands for.
const (
	addressVariable  = "PACKETRPC_ADDRESS"
	passwordVariable = "PACKETRPC_PASSWORD"
)

// connectHelp is a part of the help of the commands that connect.
const connectHelp = "ADDR is host:port or unix:/path. When the first argument has no colon, it is that of\n" +
	"$" + addressVariable + ", or " + defaultAddress + ". A password also comes from\n$" + passwordVariable + "."

// connectFlags returns the flags that say how a server is reached, and as whom.
func connectFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "user", Usage: "connect as `NAME`"},
		&cli.StringFlag{Name: "password-file", Usage: "the password is the first line of `FILE`"},
		&cli.BoolFlag{Name: "password-prompt", Usage: "ask for the password"},
		&cli.BoolFlag{Name: "plaintext-password", Usage: "send the password beyond this machine even if others can read it"},
		&cli.StringFlag{Name: "key", Usage: "prove to have the private key in `FILE`"},
		&cli.StringFlag{Name: "server-key", Usage: "encrypt, to the server with this `KEY`: a fingerprint, or a file of its public key"},
		&cli.StringFlag{Name: "known-hosts", Usage: "encrypt, to the server whose key is in `FILE`, in the format of SSH"},
		&cli.BoolFlag{Name: "tls", Usage: "encrypt, to a server with a certificate of a CA"},
		&cli.StringFlag{Name: "tls-ca", Usage: "the same, of the CA in `FILE`"},
		&cli.StringFlag{Name: "seal-to", Usage: "do not encrypt, but seal the password and what is sealed to `KEY`"},
		&cli.BoolFlag{Name: "json-form", Usage: "write packets as JSON"},
		&cli.DurationFlag{Name: "timeout", Usage: "try for `DURATION` to connect, and to learn what there is to call", Value: defaultTimeout},
	}
	for _, flag := range flags {
		place(flag, "HOW TO CONNECT")
	}
	return flags
}

// place puts a flag into a category of the help, and lets it come from the environment:
// --server-key from PACKETRPC_SERVER_KEY.
func place(flag cli.Flag, category string) {
	variable := cli.EnvVars("PACKETRPC_" + strings.ToUpper(strings.ReplaceAll(flag.Names()[0], "-", "_")))
	switch flag := flag.(type) {
	case *cli.StringFlag:
		flag.Sources, flag.Category = variable, category
	case *cli.BoolFlag:
		flag.Sources, flag.Category = variable, category
	case *cli.DurationFlag:
		flag.Sources, flag.Category = variable, category
	case *cli.StringSliceFlag:
		flag.Sources, flag.Category = variable, category
	}
}

// target is a server, and how it is connected to.
type target struct {
	address string
	options []client.Option
	timeout time.Duration
	flags   *cli.Command
}

// newTarget reads the flags of connectFlags, and asks for the password if it must.
func newTarget(ctx context.Context, command *cli.Command, address string) (*target, error) {
	t := &target{address: address, timeout: command.Duration("timeout"), flags: command}
	t.options = []client.Option{client.WithoutReconnect()}
	if command.Bool("json-form") {
		t.options = append(t.options, client.WithJSON())
	}
	for _, read := range []func(context.Context, *cli.Command) ([]client.Option, error){userOptions, keyOptions, encryptionOptions} {
		options, err := read(ctx, command)
		if err != nil {
			return nil, err
		}
		t.options = append(t.options, options...)
	}
	return t, nil
}

// arguments takes the address off the arguments of a command, of which there must be from
// least to most behind it.
func arguments(command *cli.Command, least, most int) (address string, rest []string, err error) {
	address, rest = splitAddress(command.Args().Slice())
	switch first := command.Args().First(); {
	case isHost(first):
		return "", nil, usageErrorf("%s is a host without a port: an address is host:port, such as %s", first, net.JoinHostPort(first, defaultPort))
	case len(rest) < least || len(rest) > most:
		return "", nil, usageErrorf("`%s` takes the arguments %s", command.FullName(), command.ArgsUsage)
	}
	return address, rest, nil
}

// isHost reports whether an argument can only be meant as a host. Other names of hosts may
// be those of actions and services.
func isHost(arg string) bool { return arg == "localhost" || net.ParseIP(arg) != nil }

// splitAddress takes the address off the arguments.
func splitAddress(args []string) (address string, rest []string) {
	if len(args) > 0 && isAddress(args[0]) {
		return args[0], args[1:]
	}
	if address := os.Getenv(addressVariable); address != "" {
		return address, args
	}
	return defaultAddress, args
}

// isAddress reports whether an argument is meant as an address: it has a colon, and is no
// JSON.
func isAddress(arg string) bool {
	return strings.Contains(arg, ":") && !strings.ContainsAny(arg, "{\"")
}

// dial connects to the server. more are further options.
func (t *target) dial(ctx context.Context, more ...client.Option) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	dialled, err := client.Dial(ctx, t.address, append(t.options[:len(t.options):len(t.options)], more...)...)
	switch {
	case err == nil:
		return dialled, nil
	case packetrpc.CodeOf(err) == packetrpc.CodeInvalidArgument && !packetrpc.AsError(err).Remote():
		return nil, &exitError{error: err, status: exitUsage}
	}
	if packetrpc.CodeOf(err) == packetrpc.CodeUnauthenticated && packetrpc.AsError(err).Remote() && t.isAnonymous() {
		refused := *packetrpc.AsError(err)
		refused.Message += " (--user, with a password, or --key says who connects)"
		err = &refused
	}
	return nil, &exitError{error: err, status: exitConnect}
}

// isAnonymous reports whether nothing says who connects.
func (t *target) isAnonymous() bool {
	return t.flags.String("user") == "" && t.flags.String("key") == ""
}

// remote is a server that a command is connected to.
type remote struct {
	*target
	client *client.Client
	core   packetrpcv1packetrpc.CoreServiceClient
	out    *output
}

// connect connects to the server of a command. args are the arguments behind the address,
// of which there must be at least least and at most most.
func connect(ctx context.Context, command *cli.Command, least, most int) (r *remote, args []string, err error) {
	address, args, err := arguments(command, least, most)
	if err != nil {
		return nil, nil, err
	}
	t, err := newTarget(ctx, command, address)
	if err != nil {
		return nil, nil, err
	}
	dialled, err := t.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	core := packetrpcv1packetrpc.NewCoreServiceClient(dialled)
	return &remote{target: t, client: dialled, core: core, out: newOutput(command)}, args, nil
}

func (r *remote) close() { r.client.Close() }

// A task is what a command does with a server. args are the arguments behind the address.
type task func(ctx context.Context, r *remote, args []string) error

// connected returns the action of a command that connects, and takes from least to most
// arguments behind the address.
func connected(least, most int, do task) cli.ActionFunc {
	return func(ctx context.Context, command *cli.Command) error {
		r, args, err := connect(ctx, command, least, most)
		if err != nil {
			return err
		}
		defer r.close()
		return do(ctx, r, args)
	}
}

// shortly is connected for a task that is soon done: --timeout bounds it.
func shortly(least, most int, do task) cli.ActionFunc {
	return connected(least, most, func(ctx context.Context, r *remote, args []string) error {
		ctx, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		return do(ctx, r, args)
	})
}

// userOptions returns what says who connects.
func userOptions(ctx context.Context, command *cli.Command) ([]client.Option, error) {
	user := command.String("user")
	password, err := findPassword(ctx, command)
	switch {
	case err != nil:
		return nil, err
	case password != "" && user == "":
		return nil, usageErrorf("there is a password, but nobody whose it is: --user says who")
	}
	options := []client.Option{client.WithPassword(user, password)}
	if command.Bool("plaintext-password") {
		options = append(options, client.AllowPlaintextPassword())
	}
	return options, nil
}

// findPassword returns the password from wherever it comes; "" is none.
func findPassword(ctx context.Context, command *cli.Command) (string, error) {
	if path := command.String("password-file"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(string(text), "\n")
		return strings.TrimSuffix(line, "\r"), nil
	}
	if !command.Bool("password-prompt") {
		return os.Getenv(passwordVariable), nil
	}
	root := command.Root()
	file, isFile := root.Reader.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return "", usageErrorf("--password-prompt needs a terminal to ask at: --password-file and $%s do not", passwordVariable)
	}
	return readHidden(ctx, int(file.Fd()), root.ErrWriter, "Password: ")
}

// keyOptions returns what the client is known by, and by what it knows the server's key.
func keyOptions(_ context.Context, command *cli.Command) (options []client.Option, err error) {
	if path := command.String("key"); path != "" {
		key, err := seal.ReadPrivateKey(path)
		if err != nil {
			return nil, err
		}
		options = append(options, client.WithKey(key))
	}
	if key := command.String("server-key"); key != "" {
		options = append(options, client.WithServerKey(pinOf(key)))
	}
	if path := command.String("known-hosts"); path != "" {
		options = append(options, client.WithServerKey(seal.PinKnownHosts(path, nil)))
	}
	if key := command.String("seal-to"); key != "" {
		options = append(options, client.WithSealingTo(pinOf(key)))
	}
	return options, nil
}

// pinOf returns the pin of a fingerprint or of a file of a public key.
func pinOf(key string) seal.Pin {
	if strings.HasPrefix(key, "SHA256:") {
		return seal.PinFingerprint(key)
	}
	return seal.PinKeyFile(key)
}

// encryptionOptions returns what TLS with certificates of a CA is made with. It refuses
// flags that contradict each other.
func encryptionOptions(_ context.Context, command *cli.Command) ([]client.Option, error) {
	authority := command.String("tls-ca")
	withCA := command.Bool("tls") || authority != ""
	ways := 0
	for _, given := range []bool{withCA, command.String("server-key") != "", command.String("known-hosts") != "", command.String("seal-to") != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return nil, usageErrorf("--server-key, --known-hosts, --tls and --seal-to are ways to know the server: give one of them, in the environment too")
	case !withCA:
		return nil, nil
	}
	config := new(tls.Config)
	if authority != "" {
		certificates, err := os.ReadFile(authority)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(certificates) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", authority)
		}
	}
	return []client.Option{client.WithTLS(config)}, nil
}
