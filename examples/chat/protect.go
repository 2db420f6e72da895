package main

import (
	"errors"
	"flag"
	"os"
	"strings"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// protection names the files that say who may enter a room, and what its
// connections are encrypted by. The zero one is that of a room open to all.
type protection struct{ key, users, keys string }

func (p *protection) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&p.key, "key", "", "the server's private key: connections are encrypted")
	flags.StringVar(&p.users, "users", "", "a file of users: they need their passwords")
	flags.StringVar(&p.keys, "authorized-keys", "", "a file of keys: clients that have one need no password")
}

// open reports whether everybody may enter, by any name.
func (p *protection) open() bool { return p.users == "" && p.keys == "" }

// options returns what a server is protected by.
func (p *protection) options() ([]server.Option, error) {
	var options []server.Option
	if p.key != "" {
		key, err := seal.ReadPrivateKey(p.key)
		if err != nil {
			return nil, err
		}
		options = append(options, server.WithKey(key))
	}
	var known []session.Authenticator
	if p.keys != "" {
		keys, err := users.OpenKeys(p.keys)
		if err != nil {
			return nil, err
		}
		known = append(known, keys)
	}
	if p.users != "" {
		file, err := users.Open(p.users)
		if err != nil {
			return nil, err
		}
		known = append(known, file)
	}
	if known != nil {
		options = append(options, server.WithAuthenticator(users.Any(known...)))
	}
	return options, nil
}

// credentials is what a client shows a server, and by what it knows the server. The
// zero ones are those of a client of an open room.
type credentials struct{ serverKey, key, passwordFile string }

func (c *credentials) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&c.serverKey, "server-key", "", "the server's public key, a file of it or its fingerprint")
	flags.StringVar(&c.key, "key", "", "your private key")
	flags.StringVar(&c.passwordFile, "password-file", "", "a file whose first line is your password")
}

// options returns what a client dials with.
func (c *credentials) options(name string) ([]client.Option, error) {
	options := []client.Option{client.WithName(name)}
	if c.passwordFile != "" {
		text, err := os.ReadFile(c.passwordFile)
		if err != nil {
			return nil, err
		}
		password, _, _ := strings.Cut(string(text), "\n")
		options = append(options, client.WithPassword(name, password))
	}
	switch {
	case strings.HasPrefix(c.serverKey, "SHA256:"):
		options = append(options, client.WithServerKey(seal.PinFingerprint(c.serverKey)))
	case c.serverKey != "":
		options = append(options, client.WithServerKey(seal.PinKeyFile(c.serverKey)))
	case c.key != "":
		return nil, errors.New("--key is of use with --server-key only")
	}
	if c.key != "" {
		key, err := seal.ReadPrivateKey(c.key)
		if err != nil {
			return nil, err
		}
		options = append(options, client.WithKey(key))
	}
	return options, nil
}
