package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
)

const (
	// completionTimeout is for how long somebody at a shell waits for what a server tells.
	completionTimeout = 2 * time.Second
	// completionFlag is the last argument when a shell asks for completions.
	completionFlag = "--generate-shell-completion"
)

// configureCompletion shows the command that prints completion scripts, which the library
// brings along, in the help.
func configureCompletion(command *cli.Command) {
	command.Hidden = false
	command.Usage = "print a script by which bash, zsh or fish complete commands, and the actions of a server"
	command.Description = "   source <(packetrpc completion bash)   # in .bashrc\n" +
		"   source <(packetrpc completion zsh)    # in .zshrc\n" +
		"   packetrpc completion fish > ~/.config/fish/completions/packetrpc.fish\n\n" +
		"Once the address has been typed, actions, services and clients are completed from that server,\n" +
		"which has to answer within " + completionTimeout.String() + "."
	command.Action = overview
}

// A candidate is what an argument may be completed to.
type candidate struct{ text, about string }

// candidates returns what an argument may be.
type candidates func(ctx context.Context, r *remote) ([]candidate, error)

// complete returns what completes a command that connects: its flags, and each argument
// behind the address from what the server has to offer. A server that does not answer, or
// does not tell, has nothing to offer.
func complete(arguments ...candidates) cli.ShellCompleteFunc {
	return func(ctx context.Context, command *cli.Command) {
		args := command.Args().Slice()
		if len(args) > 0 && strings.HasPrefix(args[len(args)-1], "-") {
			cli.DefaultCompleteWithFlags(ctx, command)
			return
		}
		_, args = splitAddress(args)
		if len(args) >= len(arguments) || command.Bool("password-prompt") {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		r, _, err := connect(ctx, command, 0, len(arguments))
		if err != nil {
			return
		}
		defer r.close()
		found, _ := arguments[len(args)](ctx, r)
		for _, c := range found {
			fmt.Fprintf(r.out, "%s:%s\n", c.text, c.about)
		}
	}
}

// completeActions offers the actions that the server handles.
func completeActions(ctx context.Context, r *remote) ([]candidate, error) {
	actions, err := handled(ctx, r)
	return actionCandidates(actions), err
}

// completePushes offers the actions that the server may push.
func completePushes(ctx context.Context, r *remote) ([]candidate, error) {
	actions, err := pushes(ctx, r)
	return actionCandidates(actions), err
}

func actionCandidates(actions []action) (found []candidate) {
	for _, a := range actions {
		found = append(found, candidate{a.Action, a.Type})
	}
	return found
}

// completeServices offers the services that the server handles.
func completeServices(ctx context.Context, r *remote) ([]candidate, error) {
	answer, err := r.core.Health(ctx, &packetrpcv1.HealthRequest{})
	var found []candidate
	for _, service := range answer.GetServices() {
		found = append(found, candidate{service.GetService(), "service"})
	}
	return found, err
}

// completeNames offers services and actions.
func completeNames(ctx context.Context, r *remote) ([]candidate, error) {
	services, _ := completeServices(ctx, r)
	actions, err := completeActions(ctx, r)
	return append(services, actions...), err
}

// completeClients offers the ids of the server's clients.
func completeClients(ctx context.Context, r *remote) ([]candidate, error) {
	answer, err := r.core.ListClients(ctx, &packetrpcv1.ListClientsRequest{})
	var found []candidate
	for _, client := range answer.GetClients() {
		if client.GetId() != r.client.ID() {
			found = append(found, candidate{client.GetId(), client.GetName()})
		}
	}
	return found, err
}

// joinWords puts the arguments together again when a shell asks for completions: bash takes
// them apart at colons and equals signs, which are in addresses and flags.
func joinWords(args []string) []string {
	if len(args) == 0 || args[len(args)-1] != completionFlag {
		return args
	}
	isBreak := func(word string) bool { return word != "" && strings.Trim(word, ":=") == "" }
	last := len(args) - 1
	joined := slices.Clone(args[:1])
	for i, word := range args[1:last] {
		before := args[i] // of args[1:], so it is the word before
		if i > 0 && (isBreak(word) || isBreak(before)) {
			joined[len(joined)-1] += word
			continue
		}
		joined = append(joined, word)
	}
	return append(joined, args[last])
}
