// Package users tells who a client is by a file of users, each with a name, the
// hash of a password, and roles, or by a file of the RSA keys that clients may
// have. Both files are read anew when they change.
package users
