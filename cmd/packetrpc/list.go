package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// newListCommand returns the command that lists a server's actions.
func newListCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the actions that a server handles, or with --pushes those that it may push",
		Description: connectHelp + "\n\nSERVICE is the full name of a service, or the end of it. Servers list what they handle even\n" +
			"if they do not tell more about it; --pushes needs that, or --proto.",
		ArgsUsage: "[ADDR] [SERVICE]",
		Flags: append(append([]cli.Flag{
			&cli.BoolFlag{Name: "pushes", Usage: "list the one-way actions that `packetrpc send` and `broadcast` can push"},
		}, connectFlags()...), schemaFlags()...),
		Action:        shortly(0, 1, list),
		ShellComplete: complete(completeServices),
	}
}

func list(ctx context.Context, r *remote, args []string) error {
	service := ""
	if len(args) > 0 {
		service = args[0]
	}
	find := handled
	if r.flags.Bool("pushes") {
		find = pushes
	}
	actions, err := find(ctx, r)
	if err != nil {
		return err
	}
	actions = slices.DeleteFunc(actions, func(a action) bool { return !isNameOf(a.Service, service) })
	if len(actions) == 0 && service != "" {
		return fmt.Errorf("%s has no actions of a service %q", r.address, service)
	}
	return printActions(r.out, actions)
}

// action is an action as it is listed.
type action struct {
	Action   string `json:"action"`
	Service  string `json:"service,omitempty"`
	Type     string `json:"type"`
	Request  string `json:"request"`
	Response string `json:"response,omitempty"`
	Requires string `json:"requires,omitempty"`
}

// handled returns what the server handles, the Core actions last.
func handled(ctx context.Context, r *remote) ([]action, error) {
	told, err := r.core.ListActions(ctx, &packetrpcv1.ListActionsRequest{})
	if err != nil {
		return nil, callError(err, nil)
	}
	known, err := r.schema(ctx, r.client)
	if err != nil && !isNotTold(err) { // without, services are told from the names
		return nil, err
	}
	actions := make([]action, len(told.GetActions()))
	for i, a := range told.GetActions() {
		actions[i] = action{a.GetName(), serviceOf(a.GetName(), known), a.GetType(), a.GetRequest(), a.GetResponse(), a.GetRequires()}
	}
	slices.SortStableFunc(actions, coreLast)
	return actions, nil
}

// coreLast orders Core actions behind others.
func coreLast(a, b action) int {
	switch {
	case isCore(a.Action) == isCore(b.Action):
		return 0
	case isCore(a.Action):
		return 1
	}
	return -1
}

// pushes returns the one-way actions that the server does not handle, so that they are for
// its clients.
func pushes(ctx context.Context, r *remote) ([]action, error) {
	known, err := r.schema(ctx, r.client)
	if err != nil {
		return nil, err
	}
	mine, err := handled(ctx, r)
	if err != nil {
		return nil, err
	}
	var found []action
	for _, a := range known.Actions() {
		isMine := slices.ContainsFunc(mine, func(m action) bool { return m.Action == a.Spec.Action })
		if spec := a.Spec; !isMine && spec.Type == packetrpc.OneWay {
			found = append(found, action{spec.Action, spec.Service, spec.Type.String(), string(spec.Request), "", ""})
		}
	}
	return found, nil
}

func printActions(out *output, actions []action) error {
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, a := range actions {
		if out.JSON {
			out.Object(a)
			continue
		}
		line := a.Action + "\t" + a.Type
		if a.Requires != "" {
			line += "\trequires " + a.Requires
		}
		fmt.Fprintln(columns, line)
	}
	return columns.Flush()
}
