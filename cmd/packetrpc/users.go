package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// newUsersCommand returns the command that edits files of users.
func newUsersCommand() *cli.Command {
	return &cli.Command{
		Name:  "users",
		Usage: "edit the file by which a server knows its users",
		Description: "FILE is a file of users, and NAME the name of one. Servers read the file anew when it\n" +
			"changes. A password is asked for at a terminal, twice; otherwise it is the first line of\n" +
			"the input:\n\n   packetrpc users add users.txt ada < password.txt",
		Action: overview,
		Commands: []*cli.Command{
			{
				Name:      "add",
				Usage:     "add a user, and make the file if there is none",
				ArgsUsage: "FILE NAME",
				Flags:     []cli.Flag{&cli.StringSliceFlag{Name: "role", Usage: "give the user `ROLE`; may be repeated"}},
				Action:    usersAction(2, 2, addUser),
			},
			{
				Name:      "remove",
				Usage:     "remove a user",
				ArgsUsage: "FILE NAME",
				Action:    usersAction(2, 2, removeUser),
			},
			{
				Name:      "list",
				Usage:     "list the users and their roles",
				ArgsUsage: "FILE",
				Action:    usersAction(1, 1, listUsers),
			},
			{
				Name:      "passwd",
				Usage:     "set another password",
				ArgsUsage: "FILE NAME",
				Action:    usersAction(2, 2, setPassword),
			},
			{
				Name:      "roles",
				Usage:     "set the roles of a user in place of those that it has",
				ArgsUsage: "FILE NAME [ROLE]…",
				Action:    usersAction(2, -1, setRoles),
			},
			{
				Name:      "authorize",
				Usage:     "add a client's public key, by which a server knows the user without a password",
				ArgsUsage: "KEYSFILE NAME PUBLICKEY",
				Flags:     []cli.Flag{&cli.StringSliceFlag{Name: "role", Usage: "give the user `ROLE`; may be repeated"}},
				Action:    usersAction(3, 3, authorizeKey),
			},
		},
	}
}

// usersAction returns an action that takes so many arguments; most is -1 where
// there may be any number.
func usersAction(least, most int, act cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if n := cmd.Args().Len(); n < least || most >= 0 && n > most {
			return usageErrorf("`%s` takes the arguments %s", cmd.FullName(), cmd.ArgsUsage)
		}
		err := act(ctx, cmd)
		if coded := (*packetrpc.Error)(nil); errors.As(err, &coded) {
			return errors.New(coded.Message) // the code is for programs
		}
		return err
	}
}

func addUser(ctx context.Context, cmd *cli.Command) error {
	path, name := cmd.Args().Get(0), cmd.Args().Get(1)
	// What will fail fails before a password is asked for.
	table, err := users.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it will be made
	case err != nil:
		return err
	case table.Has(name):
		return fmt.Errorf("%s has a user %q already: `packetrpc users passwd` sets another password", path, name)
	}
	password, err := readPassword(ctx, cmd.Root())
	if err != nil {
		return err
	}
	return users.Edit(ctx, path, func(table *users.Table) error {
		return table.Add(name, password, cmd.StringSlice("role")...)
	})
}

func removeUser(ctx context.Context, cmd *cli.Command) error {
	path, name := cmd.Args().Get(0), cmd.Args().Get(1)
	return editUser(ctx, path, name, func(table *users.Table) error { return table.Remove(name) })
}

func setPassword(ctx context.Context, cmd *cli.Command) error {
	path, name := cmd.Args().Get(0), cmd.Args().Get(1)
	if err := checkUser(path, name); err != nil {
		return err
	}
	password, err := readPassword(ctx, cmd.Root())
	if err != nil {
		return err
	}
	return editUser(ctx, path, name, func(table *users.Table) error { return table.SetPassword(name, password) })
}

func setRoles(ctx context.Context, cmd *cli.Command) error {
	path, name, roles := cmd.Args().Get(0), cmd.Args().Get(1), cmd.Args().Slice()[2:]
	return editUser(ctx, path, name, func(table *users.Table) error { return table.SetRoles(name, roles...) })
}

func authorizeKey(ctx context.Context, cmd *cli.Command) error {
	key, err := seal.ReadPublicKey(cmd.Args().Get(2))
	if err != nil {
		return err
	}
	return users.Authorize(ctx, cmd.Args().Get(0), cmd.Args().Get(1), key, cmd.StringSlice("role")...)
}

func listUsers(_ context.Context, cmd *cli.Command) error {
	table, err := users.Read(cmd.Args().First())
	if err != nil {
		return err
	}
	out := newOutput(cmd)
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, user := range table.Users() {
		if out.JSON {
			out.Object(map[string]any{"name": user.Name, "roles": append([]string{}, user.Roles...)})
			continue
		}
		fmt.Fprintf(columns, "%s\t%s\n", user.Name, strings.Join(user.Roles, ","))
	}
	return columns.Flush()
}

// editUser edits a file that must be there, unlike users.Edit.
func editUser(ctx context.Context, path, name string, change func(*users.Table) error) error {
	if err := checkUser(path, name); err != nil {
		return err
	}
	return users.Edit(ctx, path, change)
}

func checkUser(path, name string) error {
	table, err := users.Read(path)
	if err != nil {
		return err
	}
	if !table.Has(name) {
		return fmt.Errorf("%s has no user %q: `packetrpc users list` shows all, `packetrpc users add` adds one", path, name)
	}
	return nil
}

// readPassword asks for a new password at a terminal, or else takes the first line
// of the input.
func readPassword(ctx context.Context, root *cli.Command) (string, error) {
	if file, ok := root.Reader.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return askPassword(ctx, int(file.Fd()), root.ErrWriter)
	}
	// One byte more than a password may have, and the end of the line.
	input := bufio.NewReader(io.LimitReader(root.Reader, users.MaxPasswordSize+3))
	text, err := input.ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	password := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if password == "" {
		return "", errors.New("the password is empty: it is the first line of the input")
	}
	return password, nil
}

// askPassword asks for a password twice, without an echo.
func askPassword(ctx context.Context, terminal int, prompts io.Writer) (string, error) {
	password, err := readHidden(ctx, terminal, prompts, "Password: ")
	switch {
	case err != nil:
		return "", err
	case password == "":
		return "", errors.New("the password is empty")
	}
	again, err := readHidden(ctx, terminal, prompts, "Once more: ")
	switch {
	case err != nil:
		return "", err
	case again != password:
		return "", errors.New("the two passwords differ: nothing has been changed")
	}
	return password, nil
}

// readHidden reads a line from a terminal without an echo, until ctx ends. Then
// the reading itself goes on until the program does.
func readHidden(ctx context.Context, terminal int, prompts io.Writer, prompt string) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	fmt.Fprint(prompts, prompt)
	defer fmt.Fprintln(prompts)
	type reading struct {
		line []byte
		err  error
	}
	read := make(chan reading, 1)
	go func() {
		line, err := term.ReadPassword(terminal)
		read <- reading{line, err}
	}()
	select {
	case r := <-read:
		return string(r.line), r.err
	case <-ctx.Done():
		term.Restore(terminal, before)
		return "", errors.New("interrupted: nothing has been changed")
	}
}
