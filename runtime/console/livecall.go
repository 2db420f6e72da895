package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// liveCall is a call that a user makes, over a connection of its own.
type liveCall struct {
	server   *server.Server
	user     *user
	method   *packetrpc.Method
	form     packet.Form
	request  callRequest
	messages []proto.Message

	life   context.Context // the request's; nobody takes events after it
	events chan event

	opened  chan struct{} // closed when stream is set
	stream  packetrpc.Stream
	sending sync.Mutex // held by who sends
}

// run makes the call and tells of it by events, the last of which is its end.
func (c *liveCall) run(id string) {
	ctx, info := packetrpc.WithCallInfo(c.life)
	if c.request.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.request.Timeout*float64(time.Second)))
		defer cancel()
	}
	for _, pair := range c.request.Metadata {
		ctx = packetrpc.WithMetadata(ctx, pair[0], pair[1])
	}
	if c.request.Open {
		c.tell(event{Call: id})
	}
	began := time.Now()
	err := c.make(ctx)
	end := outcomeOf(err, info)
	end.Millis = float64(time.Since(began).Microseconds()) / 1000
	c.tell(event{End: end})
}

// tell hands an event to whoever writes them down.
func (c *liveCall) tell(e event) {
	select {
	case c.events <- e:
	case <-c.life.Done():
	}
}

// write writes events down until the call is done.
func (c *liveCall) write(w http.ResponseWriter, done <-chan struct{}) error {
	lines, flusher := json.NewEncoder(w), http.NewResponseController(w)
	for {
		select {
		case e := <-c.events:
			if err := lines.Encode(e); err != nil {
				return err
			}
			if err := flusher.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return err
			}
		case <-done:
			return nil
		}
	}
}

// make makes the call over a connection that ends with it.
func (c *liveCall) make(ctx context.Context) error {
	t := newTap(c.method, c.form, func(view packetView) { c.tell(event{Packet: &view}) })
	conn, err := dial(ctx, c.server, c.user, t)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch spec := c.method.Spec; spec.Type {
	case packetrpc.Unary:
		response := c.newResponse()
		if err := conn.CallUnary(ctx, spec, c.messages[0], response); err != nil {
			return err
		}
		return c.tellMessage(response)
	case packetrpc.OneWay:
		if err := conn.CallOneWay(ctx, spec, c.messages[0]); err != nil {
			return err
		}
		return c.awaitRefusal(ctx, conn, t)
	}
	return c.makeStream(ctx, conn)
}

// awaitRefusal waits until the server must have refused a one-way call, if it does.
func (c *liveCall) awaitRefusal(ctx context.Context, conn *client.Client, t *tap) error {
	core := packetrpcv1packetrpc.NewCoreServiceClient(conn)
	if _, err := core.Ping(ctx, &packetrpcv1.PingRequest{}); err != nil {
		return err
	}
	return t.refused()
}

// makeStream makes a streaming call. It sends and receives at once, since the server may
// wait for either.
func (c *liveCall) makeStream(ctx context.Context, conn *client.Client) error {
	var request proto.Message
	if c.method.Spec.Type == packetrpc.ServerStream {
		request = c.messages[0]
	}
	stream, err := conn.OpenStream(ctx, c.method.Spec, request)
	if err != nil {
		return err
	}
	c.sending.Lock() // so that the first messages are the first
	c.stream = stream
	close(c.opened)
	var sender sync.WaitGroup
	sender.Go(func() {
		defer c.sending.Unlock()
		if request == nil {
			_ = c.sendNow(c.messages, !c.request.Open) // receiving tells why it fails
		}
	})
	err = c.receive(stream)
	stream.Close()
	sender.Wait()
	return err
}

// receive tells of the replies of a stream until it ends.
func (c *liveCall) receive(stream packetrpc.Stream) error {
	for {
		response := c.newResponse()
		switch err := stream.Receive(response); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := c.tellMessage(response); err != nil {
			return err
		}
	}
}

// send sends messages, and says that they are the last, once the stream is open. When
// the call has ended it fails.
func (c *liveCall) send(ctx context.Context, messages []proto.Message, last bool) error {
	select {
	case <-c.opened:
	case <-c.life.Done():
		return packetrpc.Errorf(packetrpc.CodeNotFound, "the call has ended")
	case <-ctx.Done():
		return ctx.Err()
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.sendNow(messages, last); err != nil {
		return packetrpc.Errorf(packetrpc.CodeNotFound, "the call has ended: %w", err)
	}
	return nil
}

// sendNow sends messages. c.sending is held.
func (c *liveCall) sendNow(messages []proto.Message, last bool) error {
	for _, message := range messages {
		if err := c.stream.Send(message); err != nil {
			return err
		}
	}
	if last {
		return c.stream.CloseSend()
	}
	return nil
}

// newResponse returns an empty reply: one that takes any JSON value where its type is not
// known.
func (c *liveCall) newResponse() proto.Message {
	if response := newResponse(c.method.Spec); response != nil {
		return response
	}
	return new(structpb.Value)
}

func (c *liveCall) tellMessage(message proto.Message) error {
	text, err := protojson.MarshalOptions{Multiline: true}.Marshal(message)
	if err != nil {
		return packetrpc.Errorf(packetrpc.CodeInternal, "the reply has no JSON form: %w", err)
	}
	c.tell(event{Message: text})
	return nil
}

// outcomeOf returns how a call has ended.
func outcomeOf(err error, info *packetrpc.CallInfo) *outcome {
	end := &outcome{Details: []json.RawMessage{}, Metadata: [][2]string{}}
	for key, value := range info.Metadata.All() {
		end.Metadata = append(end.Metadata, [2]string{key, value})
	}
	if err == nil {
		return end
	}
	coded := packetrpc.AsError(err)
	end.Code, end.Message, end.Outcome = coded.Code.String(), coded.Message, coded.Outcome.String()
	for _, detail := range coded.Details {
		end.Details = append(end.Details, detailOf(detail))
	}
	return end
}

// detailOf returns an error's detail in its JSON form, or what type it has.
func detailOf(detail *anypb.Any) json.RawMessage {
	text, err := protojson.Marshal(detail)
	if err != nil {
		text, _ = json.Marshal(map[string]any{"@type": detail.GetTypeUrl(), "value": detail.GetValue()})
	}
	return text
}
