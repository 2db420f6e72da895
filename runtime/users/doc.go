// Package users tells who a client is: by a file of users, each with a name, the
// hash of a password, and roles ([Open]), or by a file of the RSA keys that
// clients may have ([OpenKeys]). Both files are read anew when they change. It
// also edits files of users, as `packetrpc users` does ([Edit]).
//
// # The file of users
//
// A file of users is text in UTF-8 with one user a line:
//
//	# who may chat
//	ada:$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH:admin,mod
//	bob:$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH
//
// Empty lines and lines that begin with "#" say nothing. A name has at most
// [session.MaxNameSize] bytes; it holds no ":", no control characters and no byte order mark, does not
// begin with "#", and neither begins nor ends with white space. Names are compared
// byte by byte. A role is any text without control characters and the characters
// , : " and \, which neither begins nor ends with white space.
//
// The hash is that of argon2id (RFC 9106) as a PHC string, its base64 without
// padding. So that no file makes a server use gigabytes or minutes, m is at most
// 262144 (256 MiB), t at most 16 and p at most 8, and a salt has 8 to 64 bytes, a
// hash 16 to 64.
//
// A file of users that others than its owner can read or write is refused.
//
// # The file of keys
//
// A file of keys is like the authorized_keys of OpenSSH. The comment behind a key
// is the user's name, by the same rules as above, and the only option is roles:
//
//	roles="admin,mod" ssh-rsa AAAAB3… ada
//	ssh-rsa AAAAB3… bob
//
// Keys are RSA keys of 2048 to 8192 bits. No key may be there twice; a user may
// have several, each with roles of its own. A file of keys that others than its
// owner can write is refused.
//
// In both files a line has at most 4096 bytes, and a file 16 MiB. On Windows, who
// can read or write a file is not looked at.
package users
