package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// newHealthCommand returns the command that asks whether a server is ready.
func newHealthCommand() *cli.Command {
	return &cli.Command{
		Name:          "health",
		Usage:         "ask whether a server, or one of its services, is ready to be called",
		Description:   connectHelp + "\n\nSERVICE is the full name of a service, or the end of it. The program exits with 0 if it is\nready, and with 1 if it is not.",
		ArgsUsage:     "[ADDR] [SERVICE]",
		Flags:         connectFlags(),
		Action:        shortly(0, 1, askHealth),
		ShellComplete: complete(completeServices),
	}
}

func askHealth(ctx context.Context, r *remote, args []string) error {
	service := ""
	if len(args) > 0 {
		service = args[0]
	}
	answer, err := r.health(ctx, service)
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

// health asks for the health of a service, whose name may be the end of the full one, or of
// all.
func (r *remote) health(ctx context.Context, service string) (*packetrpcv1.HealthResponse, error) {
	answer, unknown := r.core.Health(ctx, &packetrpcv1.HealthRequest{Service: service})
	if packetrpc.CodeOf(unknown) != packetrpc.CodeNotFound {
		return answer, unknown
	}
	all, err := r.core.Health(ctx, &packetrpcv1.HealthRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, each := range all.GetServices() {
		names = append(names, each.GetService())
	}
	name, err := resolve("service", service, names)
	if err != nil {
		return nil, unknown
	}
	return r.core.Health(ctx, &packetrpcv1.HealthRequest{Service: name})
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
