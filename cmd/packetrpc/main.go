// Command packetrpc is what servers and clients of packetrpc are set up with, looked at
// and called at the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/urfave/cli/v3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the program, whatever it waits for
	command := newCommand()
	err := command.Run(ctx, joinWords(os.Args))
	if err != nil {
		newOutput(command).Error(err)
	}
	os.Exit(exitStatus(err))
}

// newCommand returns the command with all its subcommands.
func newCommand() *cli.Command {
	command := &cli.Command{
		Name:        "packetrpc",
		Usage:       "set up, look at and call servers of packetrpc",
		Description: "Every command has --json, which prints an object in a line for each thing, and\nerrors as objects to the standard error.\n\n" + exitCodes,
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "write for programs: JSON, a line for each thing"}},
		Action:      overview,
		Version:     builtVersion(),

		ExitErrHandler:                  func(context.Context, *cli.Command, error) {}, // main prints errors and exits
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: configureCompletion,

		Commands: []*cli.Command{
			newBenchCommand(),
			newBroadcastCommand(),
			newCallCommand(),
			newClientsCommand(),
			newConformanceCommand(),
			newDescribeCommand(),
			newDisconnectCommand(),
			newHealthCommand(),
			newKeygenCommand(),
			newListCommand(),
			newNewCommand(),
			newPingCommand(),
			newSendCommand(),
			newTapCommand(),
			newUsersCommand(),
		},
	}
	command.Walk(func(each *cli.Command) error {
		each.OnUsageError = refuseUsage
		each.HideHelpCommand = len(each.Commands) == 0 // "help" may be an argument
		return nil
	})
	return command
}

// builtVersion returns the version that the program was installed as, or what the go
// command calls one that was built in a checkout.
func builtVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// overview is the action of a command that has commands below it: it shows what there is.
func overview(_ context.Context, command *cli.Command) error {
	if command.Args().Present() {
		return usageErrorf("there is no command `%s %s`: `%[1]s help` lists all", command.FullName(), command.Args().First())
	}
	return cli.ShowSubcommandHelp(command)
}
