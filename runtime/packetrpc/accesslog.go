package packetrpc

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
)

// AccessLog returns an interceptor that logs a line for each call in either direction
// when it has ended: with the level debug when it has succeeded, error when its code is
// unknown, internal or data_loss, and warn when it has failed otherwise. What the
// messages say is not logged, but an error's text is.
//
// The line bears the action, its type and the direction, "incoming" or "outgoing"; of
// the other side its client id and name where it has them and its address; the duration,
// and how many messages, and bytes of them in the binary form, were sent and received;
// and of a failure the code and the error.
func AccessLog(logger *slog.Logger) Interceptor {
	return Observe(func(ctx context.Context, call *Call) (context.Context, Observer) {
		if !logger.Enabled(ctx, slog.LevelError) {
			return ctx, nil
		}
		return ctx, &accessLine{ctx: ctx, logger: logger, spec: call.Spec, peer: call.Peer, outgoing: call.Outgoing, began: time.Now()}
	})
}

// accessLine gathers what the line of one call says.
type accessLine struct {
	ctx      context.Context // handlers of slog look for traces in it
	logger   *slog.Logger
	spec     *Spec
	peer     Peer
	outgoing bool
	began    time.Time

	sent, received volume
}

// volume counts messages.
type volume struct{ messages, bytes atomic.Int64 }

func (v *volume) add(message proto.Message) {
	v.messages.Add(1)
	v.bytes.Add(int64(proto.Size(message)))
}

func (l *accessLine) Sent(message proto.Message)     { l.sent.add(message) }
func (l *accessLine) Received(message proto.Message) { l.received.add(message) }

func (l *accessLine) End(err error) {
	level := accessLevel(CodeOf(err))
	if !l.logger.Enabled(l.ctx, level) {
		return
	}
	direction := "incoming"
	if l.outgoing {
		direction = "outgoing"
	}
	attributes := make([]slog.Attr, 0, 13)
	attributes = append(attributes,
		slog.String("action", l.spec.Action), slog.String("type", l.spec.Type.String()), slog.String("direction", direction))
	if id := l.peer.ID(); id != "" {
		attributes = append(attributes, slog.String("client", id), slog.String("name", l.peer.Identity().Name))
	}
	attributes = append(attributes,
		slog.Any("address", l.peer.RemoteAddr()),
		slog.Duration("duration", time.Since(l.began)),
		slog.Int64("sent_messages", l.sent.messages.Load()), slog.Int64("sent_bytes", l.sent.bytes.Load()),
		slog.Int64("received_messages", l.received.messages.Load()), slog.Int64("received_bytes", l.received.bytes.Load()))
	if err != nil {
		attributes = append(attributes, slog.String("code", CodeOf(err).String()), slog.String("error", AsError(err).Message))
	}
	l.logger.LogAttrs(l.ctx, level, "packetrpc: call", attributes...)
}

// accessLevel returns the level of a call with a code; 0 is success.
func accessLevel(code Code) slog.Level {
	switch code {
	case 0:
		return slog.LevelDebug
	case CodeUnknown, CodeInternal, CodeDataLoss:
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}
