package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/packetrpc/packetrpc/runtime/seal"
)

// newKeygenCommand returns the command that makes a pair of keys.
func newKeygenCommand() *cli.Command {
	return &cli.Command{
		Name:  "keygen",
		Usage: "make an RSA key that a server or a client is known by",
		Description: "Writes the private key to NAME, which stays with its owner, and the public key\n" +
			"to NAME.pub, and prints the fingerprint. Files that exist are left alone.",
		ArgsUsage: "NAME",
		Flags: []cli.Flag{
			&cli.IntFlag{
				Name:  "bits",
				Usage: fmt.Sprintf("size of the key, from %d to %d", seal.MinBits, seal.MaxBits),
				Value: seal.DefaultBits,
			},
		},
		Action: func(_ context.Context, command *cli.Command) error {
			if command.Args().Len() != 1 || command.Args().First() == "" {
				return usageErrorf("keygen takes one NAME, of the file for the private key: packetrpc keygen [--bits N] NAME")
			}
			return keygen(command, command.Args().First(), command.Int("bits"))
		},
	}
}

func keygen(command *cli.Command, name string, bits int) error {
	key, err := seal.GenerateKey(bits)
	if err != nil {
		return err
	}
	if err := seal.WriteKeyPair(name, key); err != nil {
		return err
	}
	out, fingerprint := newOutput(command), seal.Fingerprint(&key.PublicKey)
	if out.JSON {
		return out.Object(map[string]string{"private_key": name, "public_key": name + ".pub", "fingerprint": fingerprint})
	}
	_, err = fmt.Fprintf(out, "private key  %s\npublic key   %s.pub\nfingerprint  %s\n", name, name, fingerprint)
	return err
}
