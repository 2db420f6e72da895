package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
)

// newHealthCommand returns the command that asks whether a server is ready.
func newHealthCommand() *cli.Command {
	return &cli.Command{
		Name:          "health",
		Usage:         "ask whether a server, or one of its services, is ready to be called",
		Description:   connectHelp + "\n\nThe program exits with 0 if it is ready, and with 1 if it is not.",
		ArgsUsage:     "[ADDR] [SERVICE]",
		Flags:         connectFlags(),
		Action:        shortly(0, 1, askHealth),
		ShellComplete: complete(completeServices),
	}
}

func askHealth(ctx context.Context, r *remote, args []string) error {
	request := new(packetrpcv1.HealthRequest)
	if len(args) > 0 {
		request.Service = args[0]
	}
	answer, err := r.core.Health(ctx, request)
	if err != nil {
		return callError(err, nil)
	}
	columns := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	for _, service := range answer.GetServices() {
		if r.out.JSON {
			r.out.Object(serviceHealth{service.GetService(), service.GetReady(), service.GetReason()})
			continue
		}
		fmt.Fprintf(columns, "%s\t%s\n", service.GetService(), readiness(service))
	}
	columns.Flush()
	if !answer.GetReady() {
		return errors.New("not ready")
	}
	return nil
}

// serviceHealth is a line of the output of health.
type serviceHealth struct {
	Service string `json:"service"`
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason,omitempty"`
}

func readiness(service *packetrpcv1.ServiceHealth) string {
	if service.GetReady() {
		return "ready"
	}
	return "not ready: " + service.GetReason()
}
