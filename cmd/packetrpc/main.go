// Command packetrpc is what servers and clients of packetrpc are set up with at
// the command line.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/urfave/cli/v3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := newCommand().Run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "packetrpc:", err)
		os.Exit(1)
	}
}

// newCommand returns the command with all its subcommands.
func newCommand() *cli.Command {
	return &cli.Command{
		Name:  "packetrpc",
		Usage: "set up servers and clients of packetrpc",
		Commands: []*cli.Command{
			newConformanceCommand(),
			newKeygenCommand(),
			newUsersCommand(),
		},
	}
}
