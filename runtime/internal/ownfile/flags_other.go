//go:build !unix

package ownfile

const openFlags = 0
