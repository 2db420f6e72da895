package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/packetrpc/packetrpc/internal/load"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// newBenchCommand returns the command that puts a server under load.
func newBenchCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "call an action over and over, and measure how the server answers",
		Description: "ACTION is the name of an action, or the end of it. The request is JSON, a file of it, or\n" +
			"with - the standard input; several JSON values are sent in turn. In a request with {{ in it, {{.N}} is the number\n" +
			"of the call, {{.Message}} that of the message in its stream, {{.UUID}} a random UUID and\n" +
			"{{.Random 100}} a number below 100.\n\n" +
			"Without --rate, each of the callers calls when its last call was answered: the closed loop.\n" +
			"With it, calls are due at that rate whatever becomes of the ones before, and latencies count\n" +
			"from when a call was due. Interrupt it to end it early, twice to end it at once.\n" +
			"docs/bench.md says more.\n\n" + connectHelp,
		ArgsUsage:     "[ADDR] ACTION [JSON|@FILE|-]",
		Flags:         slices.Concat(benchFlags(), connectFlags(), schemaFlags()),
		Action:        bench,
		ShellComplete: complete(completeActions),
		Commands: []*cli.Command{{
			Name:  "compare",
			Usage: "compare two runs that were saved with --save",
			Description: "Prints the medians of both runs, how much their intervals differ, and whether the difference\n" +
				"between the runs is more than that.",
			ArgsUsage: "A.json B.json",
			Action:    compareBenches,
		}},
	}
}

func benchFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "connections", Usage: "open `N` connections", Value: 1},
		&cli.IntFlag{Name: "concurrency", Usage: fmt.Sprintf("have at most `N` calls under way at once, over all connections; 0 is %d, or %d with --rate", load.DefaultCallers, load.DefaultInFlight)},
		&cli.FloatFlag{Name: "rate", Usage: "make `N` calls each second; 0 is as many as are answered"},
		&cli.DurationFlag{Name: "duration", Usage: "make calls for `DURATION`; 0 is 10s, or any time with --calls"},
		&cli.Int64Flag{Name: "calls", Usage: "make `N` calls; 0 is any number"},
		&cli.DurationFlag{Name: "warmup", Usage: "make calls for `DURATION` before any counts"},
		&cli.IntFlag{Name: "messages", Usage: "send `N` messages in a stream, or take N of the server's and leave; 0 is one, or all"},
		&cli.DurationFlag{Name: "deadline", Usage: "give each call `DURATION`; 0 is what the action declares"},
		&cli.GenericFlag{Name: "metadata", Aliases: []string{"m"}, Usage: "send `KEY=VALUE` beside each request; may be repeated", Value: new(metadata)},
		&cli.BoolFlag{Name: "retry", Usage: "repeat calls that the server wants to be made later, when it wants them"},
		&cli.StringFlag{Name: "save", Usage: "write the result to `FILE` as JSON, for `packetrpc bench compare`"},
		&cli.StringFlag{Name: "report", Usage: "write a page about it to `FILE`.html, or the chart of latencies to FILE.svg"},
	}
}

// bench makes the calls, and writes down what came of them.
func bench(ctx context.Context, command *cli.Command) error {
	l, r, err := newLoad(ctx, command)
	if err != nil {
		return err
	}
	report, err := newReport(command.String("report"))
	if err != nil {
		return err
	}
	files := []benchFile{{command.String("save"), writeSaved}, report}
	for _, file := range files {
		if err := file.make(); err != nil {
			return err
		}
	}
	bar := newBenchBar(r.out.Notes)
	l.Progress = bar.show
	result, err := l.Run(packetrpc.WithMetadata(ctx, *command.Generic("metadata").(*metadata)...))
	bar.clear()
	if err != nil {
		return usageUnlessExit(err)
	}
	result.Address, result.Command = r.address, commandLine(os.Args)
	for _, file := range files {
		if err := file.save(result); err != nil {
			return err
		}
	}
	if err := printBench(r.out, result); err != nil {
		return err
	}
	if result.OK == 0 {
		return errors.New("no call has succeeded")
	}
	return nil
}

// newLoad reads the flags, and asks the server what there is to call, over a connection
// that is closed before the load begins.
func newLoad(ctx context.Context, command *cli.Command) (*load.Load, *remote, error) {
	r, args, err := connect(ctx, command, 1, 2)
	if err != nil {
		return nil, nil, err
	}
	defer r.close()
	known, err := r.schemaFor(ctx, args[0])
	if err != nil {
		return nil, nil, err
	}
	action, err := findAction(known, args[0])
	if err != nil {
		return nil, nil, err
	}
	if err := r.refuseLost(ctx, action); err != nil {
		return nil, nil, err
	}
	text, err := readRequests(args[1:], command.Root().Reader)
	if err != nil {
		return nil, nil, err
	}
	requests, err := load.ParseRequests(known, action, text)
	if err != nil {
		return nil, nil, refuseRequest(err, action, known.Types())
	}
	pushes := client.WithHandlers(load.TakePushes(known))
	return &load.Load{
		Action:      action,
		Requests:    requests,
		Dial:        func(ctx context.Context) (*client.Client, error) { return r.dial(ctx, pushes) },
		Connections: command.Int("connections"),
		Callers:     command.Int("concurrency"),
		Rate:        command.Float("rate"),
		Calls:       command.Int64("calls"),
		Duration:    command.Duration("duration"),
		Warmup:      command.Duration("warmup"),
		Messages:    command.Int("messages"),
		Timeout:     command.Duration("deadline"),
		Retry:       command.Bool("retry"),
	}, r, nil
}

// readRequests returns what is in the source of an argument.
func readRequests(args []string, input io.Reader) ([]byte, error) {
	if len(args) == 0 {
		return nil, nil
	}
	source, err := openSource(args[0], input)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	return io.ReadAll(source)
}

// usageUnlessExit makes what is wrong with a load an error of the command line. Failed
// connections are one of their own already.
func usageUnlessExit(err error) error {
	if exit := (*exitError)(nil); errors.As(err, &exit) {
		return err
	}
	return usageErrorf("%s", packetrpc.AsError(err).Message)
}

// benchFile is a file that a result is written to; without a path it is none.
type benchFile struct {
	path  string
	write func(*load.Result, io.Writer) error
}

// newReport returns the file of a report, whose name tells its form.
func newReport(path string) (benchFile, error) {
	switch ending := filepath.Ext(path); {
	case path == "", ending == ".html":
		return benchFile{path, (*load.Result).WriteHTML}, nil
	case ending == ".svg":
		return benchFile{path, (*load.Result).WriteSVG}, nil
	}
	return benchFile{}, usageErrorf("--report takes a file whose name ends with .html or .svg, not %q", path)
}

// make makes the file if there is none, so that a long run does not end with a file that
// cannot be written.
func (f benchFile) make() error {
	if f.path == "" {
		return nil
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

func (f benchFile) save(result *load.Result) error {
	if f.path == "" {
		return nil
	}
	file, err := os.Create(f.path)
	if err != nil {
		return err
	}
	return errors.Join(f.write(result, file), file.Close())
}

func writeSaved(result *load.Result, to io.Writer) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

func printBench(out *output, result *load.Result) error {
	if out.JSON {
		return out.Object(result)
	}
	return result.WriteText(out)
}

// compareBenches compares two saved results.
func compareBenches(_ context.Context, command *cli.Command) error {
	args := command.Args().Slice()
	if len(args) != 2 {
		return usageErrorf("`%s` takes the arguments %s", command.FullName(), command.ArgsUsage)
	}
	var results [2]*load.Result
	for i, path := range args {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if results[i], err = load.ParseResult(text); err != nil {
			return usageErrorf("%s: %w", path, err)
		}
	}
	comparison := load.Compare(results[0], results[1])
	out := newOutput(command)
	if out.JSON {
		return out.Object(comparison)
	}
	return comparison.WriteText(out, args[0], args[1])
}

// commandLine returns how a command can be repeated in a shell. The values of metadata,
// which may be secrets, are left out of what others read.
func commandLine(args []string) string {
	words := []string{"packetrpc"}
	for i, arg := range args[1:] {
		name, value, joined := strings.Cut(arg, "=")
		switch {
		case isMetadataFlag(args[i]): // the word before
			arg = withoutValue(arg)
		case joined && isMetadataFlag(name):
			arg = name + "=" + withoutValue(value)
		}
		words = append(words, shellWord(arg))
	}
	return strings.Join(words, " ")
}

func isMetadataFlag(word string) bool {
	name := strings.TrimLeft(word, "-")
	return name != word && (name == "metadata" || name == "m")
}

// withoutValue returns KEY=VALUE without the value.
func withoutValue(pair string) string {
	key, _, _ := strings.Cut(pair, "=")
	return key + "=…"
}

// shellWord quotes an argument for a shell if it needs that.
func shellWord(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@=+,%", r)
	}
	if arg != "" && strings.TrimFunc(arg, plain) == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
