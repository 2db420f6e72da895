module github.com/packetrpc/packetrpc/chaos

go 1.25.0

replace github.com/packetrpc/packetrpc => ../

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0
	github.com/packetrpc/packetrpc v0.0.0-00010101000000-000000000000
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/go-jose/go-jose/v4 v4.1.8 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
