// Package api holds the .proto file that users' own .proto files import, for
// programs that hand it out.
package api

import _ "embed"

// OptionsPath is the path by which .proto files import the options.
const OptionsPath = "packetrpc/v1/options.proto"

// Options is the text of that file.
//
//go:embed packetrpc/v1/options.proto
var Options []byte
