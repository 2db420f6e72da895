// Package seal is what RSA keys do for packetrpc. It reads and writes the keys
// themselves, tells by a [Pin] whether a server's key is the right one, makes the
// TLS identity of an encrypted connection from a key, and seals data to one, so
// that only who has the private half opens it.
package seal
