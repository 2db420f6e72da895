// Command bench compares packetrpc with other frameworks on this machine, over
// loopback, and writes a report. See docs/benchmarks/README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/process"
	"github.com/packetrpc/packetrpc/bench/internal/report"
	"github.com/packetrpc/packetrpc/bench/internal/suite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is one of the three kinds of process: a server, the client of a job, or
// what the user started.
func run(ctx context.Context, arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == process.ServeCommand:
		return process.Serve(arguments[1], os.Stdin, os.Stdout)
	case len(arguments) == 1 && arguments[0] == suite.JobCommand:
		return suite.ServeJob(ctx, os.Stdin, os.Stdout)
	}
	return compare(ctx, arguments)
}

// compare runs the comparison and writes the report.
func compare(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	quick := flags.Bool("quick", false, "take the cells that say most, in minutes")
	security := flags.Bool("security", false, "take other cells: what encryption, sealing and passwords cost")
	cells := flags.String("cells", "", "take only cells whose names match this `pattern`")
	contenders := flags.String("contenders", "", "take only contenders whose names match this `pattern`")
	rounds := flags.Int("rounds", 0, "`number` of rounds, if not the usual one")
	span := flags.Duration("span", 0, "how long each job measures, if not as usual")
	list := flags.Bool("list", false, "list the cells and the contenders")
	render := flags.String("render", "", "measure nothing: write the report in this `folder` anew from the samples there")
	out := flags.String("out", "", "`folder` of the report; \"\" is docs/benchmarks, with -security the folder security in it, and with -quick bench/out")
	_ = flags.Parse(arguments) // which ends the process on errors
	if *render != "" {
		return writeAnew(*render)
	}

	plan := suite.Full()
	switch {
	case *security:
		plan = suite.Security()
	case *quick:
		plan = suite.Quick()
	}
	if *rounds > 0 {
		plan.Rounds = *rounds
	}
	if *span > 0 {
		plan.Span = *span
	}
	if err := plan.Select(*cells, *contenders); err != nil {
		return err
	}
	if *list {
		printPlan(plan)
		return nil
	}
	fmt.Printf("bench: this takes at most %v\n", plan.Estimate().Round(time.Second))
	began := time.Now()
	results, err := plan.Run(ctx, os.Stdout)
	if err != nil {
		return err
	}
	r := report.Report{
		Plan:    plan,
		Results: results,
		Machine: report.ThisMachine(ctx),
		Command: commandLine(arguments),
		Began:   began,
		Took:    time.Since(began),
	}
	folder := folderFor(*out, *quick, plan)
	if err := r.Save(folder); err != nil {
		return err
	}
	return write(r, folder)
}

// writeAnew writes the report of a run that has been saved.
func writeAnew(folder string) error {
	r, err := report.Read(folder)
	if err != nil {
		return err
	}
	return write(r, folder)
}

func write(r report.Report, folder string) error {
	if err := r.Write(folder); err != nil {
		return err
	}
	fmt.Println("bench: the report is", filepath.Join(folder, report.FileName))
	return nil
}

// folderFor returns where the report goes; the process runs in bench/.
func folderFor(out string, quick bool, plan suite.Plan) string {
	switch {
	case out != "":
		return out
	case quick:
		return "out"
	}
	return filepath.Join("..", "docs", "benchmarks", plan.Name)
}

// commandLine returns how this run can be repeated, without the folder of its
// report, which is a matter of this machine.
func commandLine(arguments []string) string {
	words := []string{"go run ."}
	for i := 0; i < len(arguments); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(arguments[i], "-"), "=")
		if name == "out" {
			if !joined {
				i++
			}
			continue
		}
		words = append(words, quoted(arguments[i]))
	}
	return "cd bench && " + strings.Join(words, " ")
}

// quoted returns an argument as a shell takes it.
func quoted(argument string) string {
	if strings.ContainsAny(argument, " |()*?[]\\$\"'^&;") {
		return "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'"
	}
	return argument
}

func printPlan(plan suite.Plan) {
	fmt.Printf("at most %v for these cells:\n", plan.Estimate().Round(time.Second))
	for _, cell := range plan.Cells {
		fmt.Println("  " + cell.Name)
	}
	fmt.Println("contenders:")
	for _, c := range plan.Contenders {
		fmt.Printf("  %s: %s\n", c.Name, c.About)
	}
}
