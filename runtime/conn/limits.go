package conn

import packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"

// Limits is what one side of a connection takes from the other. Each side tells
// its own in the handshake.
type Limits struct {
	// MaxMessageSize is the largest message in bytes.
	MaxMessageSize int
	// MaxOpenCalls is how many calls the other side may have open at once; those
	// beyond wait there. 0 is any number.
	MaxOpenCalls int
	// CallWindow is the credit in bytes that each call and the one-way lane begin
	// with; 0 is endless credit.
	CallWindow int
	// ConnectionWindow is the credit in bytes that the connection begins with; 0
	// is endless credit.
	ConnectionWindow int
	// MaxActionNumbers is how many action numbers the other side may define.
	MaxActionNumbers int
}

// DefaultLimits returns the limits of both sides unless options change them:
// messages of 4 MiB, 4,096 open calls, windows of 256 KiB for a call and 4 MiB
// for the connection, 1,024 action numbers.
func DefaultLimits() Limits {
	return Limits{
		MaxMessageSize:   4 << 20,
		MaxOpenCalls:     4096,
		CallWindow:       256 << 10,
		ConnectionWindow: 4 << 20,
		MaxActionNumbers: 1024,
	}
}

// Proto returns the limits as the handshake carries them.
func (l Limits) Proto() *packetrpcv1.Limits {
	return &packetrpcv1.Limits{
		MaxMessageSize:   uint64(l.MaxMessageSize),
		MaxOpenCalls:     uint32(l.MaxOpenCalls),
		CallWindow:       uint64(l.CallWindow),
		ConnectionWindow: uint64(l.ConnectionWindow),
		MaxActionNumbers: uint32(l.MaxActionNumbers),
	}
}

// LimitsFromProto returns the limits that the other side told. A message size of
// none, which a side without an opinion tells, is the default's.
func LimitsFromProto(told *packetrpcv1.Limits) Limits {
	limits := Limits{
		MaxMessageSize:   bounded(told.GetMaxMessageSize()),
		MaxOpenCalls:     int(told.GetMaxOpenCalls()),
		CallWindow:       bounded(told.GetCallWindow()),
		ConnectionWindow: bounded(told.GetConnectionWindow()),
		MaxActionNumbers: int(told.GetMaxActionNumbers()),
	}
	if limits.MaxMessageSize == 0 {
		limits.MaxMessageSize = DefaultLimits().MaxMessageSize
	}
	return limits
}

// maxWindow bounds what the other side may claim, so that sums of windows never
// overflow.
const maxWindow = 1 << 40

func bounded(n uint64) int { return int(min(n, maxWindow)) }
