// Command chaos puts packetrpc to the test, and afterwards holds what everybody has seen
// against what packetrpc promises. Servers and clients are processes of their own.
//
//	chaos run -span 2m -seed 1 -clients 8
//
// Clients make calls and get pushes over a network that breaks, from a server that is
// killed.
//
//	chaos rolling -rounds 5
//
// Three servers are restarted in turn under load: no idempotent call may fail, and no
// shutdown take longer than its grace period and a little.
//
//	chaos attack -report report.md
//
// Some of 10,000 clients read nothing or send garbage, and then 5,000 connections have no
// handshake: how long the healthy ones wait meanwhile is held against how long they wait
// in quiet. It needs Linux, where attackers have addresses of their own.
//
// All end with the status 1 when something was not as it should be. The first two name
// the folder with the history.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func command(arguments []string) error {
	if len(arguments) == 0 {
		return errUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch name, rest := arguments[0], arguments[1:]; name {
	case "run":
		return runCommand(ctx, rest)
	case "rolling":
		return rollingCommand(ctx, rest)
	case "attack":
		return attackCommand(ctx, rest)
	case "serve": // what run and rolling start
		return serve(rest)
	case "attacked": // these are what attack starts
		return serveAttacked(rest)
	case "attackers":
		return serveAttackers(rest)
	}
	return errUsage
}

var errUsage = errors.New("say: chaos run, chaos rolling or chaos attack; each tells more by -help")

func runCommand(ctx context.Context, arguments []string) error {
	var p plan
	flags := flag.NewFlagSet("chaos run", flag.ExitOnError)
	flags.DurationVar(&p.span, "span", 2*time.Minute, "for how long calls are made and faults are injected")
	flags.Uint64Var(&p.seed, "seed", uint64(time.Now().UnixNano()), "draws the faults; the default is another one each time")
	flags.IntVar(&p.clients, "clients", 8, "`number` of clients")
	flags.IntVar(&p.callers, "callers", 2, "`number` of callers of each unary action in each client")
	flags.DurationVar(&p.every, "every", 200*time.Millisecond, "the time between faults, on average")
	flags.StringVar(&p.folder, "folder", "", "where the history is written; the default is a new temporary folder")
	faults := flags.String("faults", "", "comma-separated `list` of the faults to inject; the default is all")
	_ = flags.Parse(arguments) // which ends the process on errors
	var err error
	if p.faults, err = parseFaults(*faults); err != nil {
		return err
	}
	return p.run(ctx, os.Stdout)
}

func rollingCommand(ctx context.Context, arguments []string) error {
	r := rolling{servers: 3}
	flags := flag.NewFlagSet("chaos rolling", flag.ExitOnError)
	flags.IntVar(&r.rounds, "rounds", 5, "how often each of the servers is restarted")
	flags.IntVar(&r.clients, "clients", 12, "`number` of clients")
	flags.IntVar(&r.callers, "callers", 2, "`number` of callers of each unary action in each client")
	flags.DurationVar(&r.grace, "grace", time.Second, "for how long a shutdown lets calls run")
	flags.DurationVar(&r.slack, "slack", 100*time.Millisecond, "by how much a shutdown may exceed that")
	flags.DurationVar(&r.pause, "pause", time.Second, "the time between restarts")
	flags.StringVar(&r.folder, "folder", "", "where the history is written; the default is a new temporary folder")
	_ = flags.Parse(arguments) // which ends the process on errors
	return r.run(ctx, os.Stdout)
}

func attackCommand(ctx context.Context, arguments []string) error {
	a := attack{command: repeated(arguments), limits: usualLimits()}
	flags := flag.NewFlagSet("chaos attack", flag.ExitOnError)
	flags.IntVar(&a.connections, "connections", 10_000, "`number` of connections, of which 1 % freeze and 1 % send garbage; 0 leaves that out")
	flags.IntVar(&a.rate, "rate", 1000, "`number` of calls a second, over all connections")
	flags.DurationVar(&a.every, "every", 5*time.Second, "the time between broadcasts to all")
	flags.IntVar(&a.halfOpen, "half-open", 5000, "`number` of connections without a handshake; 0 leaves that out")
	flags.IntVar(&a.rounds, "rounds", 3, "`number` of quiet rounds, and of attacked ones")
	flags.DurationVar(&a.span, "span", 20*time.Second, "how long a round is; those of connects are half as long")
	flags.Float64Var(&a.ratio, "ratio", 2, "how many times as long as in quiet rounds the p99 may be in attacked ones; 0 is any")
	flags.IntVar(&a.memory, "memory", 2048, "how many `MiB` the server may take; 0 is any number")
	flags.StringVar(&a.report, "report", "", "`file` that a report in Markdown is written to")
	_ = flags.Parse(arguments) // which ends the process on errors
	return a.run(ctx, os.Stdout)
}

// repeated returns the command that repeats an attack, without the file of its report,
// which is a matter of this machine.
func repeated(arguments []string) string {
	var words []string
	for i := 0; i < len(arguments); i++ {
		if arguments[i] == "-report" {
			i++
			continue
		}
		words = append(words, arguments[i])
	}
	if words == nil {
		return "make attack"
	}
	return "make attack ATTACKFLAGS='" + strings.Join(words, " ") + "'"
}
