// Command chaos puts packetrpc to the test: clients make calls and get pushes over a
// network that breaks, from a server that is killed, and afterwards what everybody has
// seen is held against what packetrpc promises.
//
//	chaos run -span 2m -seed 1 -clients 8
//
// It ends with the status 1 when a promise was broken, and names the seed and the
// folder with the history.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func command(arguments []string) error {
	switch {
	case len(arguments) > 0 && arguments[0] == "serve":
		return serve(arguments[1:])
	case len(arguments) == 0 || arguments[0] != "run":
		return fmt.Errorf("say: chaos run [-span 2m] [-seed N] [-clients N]; chaos run -help tells more")
	}
	var p plan
	flags := flag.NewFlagSet("chaos run", flag.ExitOnError)
	flags.DurationVar(&p.span, "span", 2*time.Minute, "for how long calls are made and faults are injected")
	flags.Uint64Var(&p.seed, "seed", uint64(time.Now().UnixNano()), "draws the faults; the default is another one each time")
	flags.IntVar(&p.clients, "clients", 8, "`number` of clients")
	flags.IntVar(&p.callers, "callers", 2, "`number` of callers of each unary action in each client")
	flags.DurationVar(&p.every, "every", 200*time.Millisecond, "the time between faults, on average")
	flags.StringVar(&p.folder, "folder", "", "where the history is written; the default is a new temporary folder")
	faults := flags.String("faults", "", "comma-separated `list` of the faults to inject; the default is all")
	_ = flags.Parse(arguments[1:]) // which ends the process on errors
	var err error
	if p.faults, err = parseFaults(*faults); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return p.run(ctx, os.Stdout)
}
