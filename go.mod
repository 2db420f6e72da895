module github.com/packetrpc/packetrpc

go 1.25.0

require (
	github.com/google/go-cmp v0.7.0
	google.golang.org/protobuf v1.36.12
)
