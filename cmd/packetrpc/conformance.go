package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/packetrpc/packetrpc/internal/conformance"
)

// newConformanceCommand returns the command that holds other implementations to the
// protocol.
func newConformanceCommand() *cli.Command {
	return &cli.Command{
		Name:  "conformance",
		Usage: "hold an implementation, in any language, to the protocol",
		Description: "Runs COMMAND once for each case, which it reads from its standard input, and plays the\n" +
			"other side of the connection. docs/conformance.md tells how COMMAND is written.",
		ArgsUsage: "-- COMMAND [ARGUMENT]…",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "role", Usage: "what COMMAND plays, `client or server`", Value: conformance.RoleClient},
			&cli.StringFlag{Name: "run", Usage: "run only cases whose names match `REGEXP`"},
			&cli.StringFlag{Name: "known-failing", Usage: "expect the cases that `FILE` names to fail, a line each"},
			&cli.DurationFlag{Name: "patience", Usage: "wait for `DURATION` for whatever COMMAND must do", Value: 10 * time.Second},
			&cli.IntFlag{Name: "parallel", Usage: "run `N` cases at once; 0 is one for each processor"},
			&cli.BoolFlag{Name: "list", Usage: "list all cases and what each demands, and run nothing"},
		},
		Action: conform,
	}
}

func conform(ctx context.Context, command *cli.Command) error {
	out := command.Root().Writer
	if command.Bool("list") {
		_, err := io.WriteString(out, conformance.List())
		return err
	}
	runner, err := newRunner(command)
	if err != nil {
		return err
	}
	known, err := readKnownFailing(command.String("known-failing"))
	if err != nil {
		return err
	}
	summary := conformance.Summary{KnownFailing: known}
	err = runner.Run(ctx, func(result conformance.Result) {
		verdict := summary.Add(result)
		if command.Bool("json") {
			printJSON(out, result, verdict)
		} else {
			printResult(out, result, verdict)
		}
	})
	if err != nil {
		return err
	}
	if !command.Bool("json") {
		fmt.Fprintln(out, summary.String())
	}
	return summary.Err()
}

// newRunner makes a runner of the flags and arguments.
func newRunner(command *cli.Command) (*conformance.Runner, error) {
	runner := &conformance.Runner{
		Command:  command.Args().Slice(),
		Role:     command.String("role"),
		Patience: command.Duration("patience"),
		Parallel: command.Int("parallel"),
	}
	if len(runner.Command) == 0 {
		return nil, usageErrorf("conformance takes a command: packetrpc conformance [--role client|server] -- COMMAND")
	}
	if !slices.Contains([]string{conformance.RoleClient, conformance.RoleServer}, runner.Role) {
		return nil, usageErrorf("--role is client or server, not %q", runner.Role)
	}
	if pattern := command.String("run"); pattern != "" {
		var err error
		if runner.Select, err = regexp.Compile(pattern); err != nil {
			return nil, usageErrorf("--run: %w", err)
		}
	}
	return runner, nil
}

// readKnownFailing reads the names in a file, a line each; # begins a comment.
func readKnownFailing(path string) (names []string, err error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), "#")
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names, lines.Err()
}

// printResult prints what somebody has to look at.
func printResult(out io.Writer, result conformance.Result, verdict conformance.Verdict) {
	switch verdict {
	case conformance.Passed, conformance.Undeclared:
		return
	case conformance.FailedAsKnown:
		fmt.Fprintf(out, "known   %s\n", result.Case.Name)
		return
	case conformance.PassedAgainstKnown:
		fmt.Fprintf(out, "PASSED  %s, which is known as failing: take it off the list\n", result.Case.Name)
		return
	}
	fmt.Fprintf(out, "FAILED  %s: %s (section %s)\n", result.Case.Name, result.Case.Demands, result.Case.Section)
	fmt.Fprintf(out, "        %s\n", strings.ReplaceAll(result.Err.Error(), "\n", "\n        "))
	for _, line := range result.Journal {
		fmt.Fprintf(out, "          %s\n", line)
	}
}

func printJSON(out io.Writer, result conformance.Result, verdict conformance.Verdict) {
	line := struct {
		Case    string `json:"case"`
		Section string `json:"section"`
		Result  string `json:"result"`
		Error   string `json:"error,omitempty"`
	}{Case: result.Case.Name, Section: result.Case.Section, Result: verdict.String()}
	if result.Err != nil {
		line.Error = result.Err.Error()
	}
	json.NewEncoder(out).Encode(line)
}
