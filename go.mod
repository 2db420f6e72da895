module github.com/packetrpc/packetrpc

go 1.25.0

require google.golang.org/protobuf v1.36.12

require github.com/dave/jennifer v1.7.1
