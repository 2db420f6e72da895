package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
)

// newClientsCommand returns the command that lists a server's clients.
func newClientsCommand() *cli.Command {
	return &cli.Command{
		Name:        "clients",
		Usage:       "list the clients of a server: their public ids, names, and since when they are connected",
		Description: connectHelp + "\n\nThe client that this command is itself is left out.",
		ArgsUsage:   "[ADDR]",
		Flags:       append([]cli.Flag{&cli.StringFlag{Name: "group", Usage: "list only the members of `GROUP`"}}, connectFlags()...),
		Action:      shortly(0, 0, listClients),
	}
}

func listClients(ctx context.Context, r *remote, _ []string) error {
	answer, err := r.core.ListClients(ctx, &packetrpcv1.ListClientsRequest{Group: r.flags.String("group")})
	if err != nil {
		return callError(err, nil)
	}
	columns := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	for _, client := range answer.GetClients() {
		connected := client.GetConnected().AsTime()
		switch {
		case client.GetId() == r.client.ID():
		case r.out.JSON:
			r.out.Object(listedClient{client.GetId(), client.GetName(), connected})
		default:
			fmt.Fprintf(columns, "%s\t%s\t%s\n", client.GetId(), client.GetName(), connected.Local().Format(time.DateTime))
		}
	}
	return columns.Flush()
}

// listedClient is a line of the output of clients.
type listedClient struct {
	ID        string    `json:"id"`
	Name      string    `json:"name,omitempty"`
	Connected time.Time `json:"connected"`
}
