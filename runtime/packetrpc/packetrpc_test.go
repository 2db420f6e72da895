package packetrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

type text = wrapperspb.StringValue

func TestCodes(t *testing.T) {
	for code := packetrpc.CodeCanceled; code <= packetrpc.CodeUnauthenticated; code++ {
		if parsed, ok := packetrpc.ParseCode(code.String()); !ok || parsed != code {
			t.Errorf("%d: %s parses to %d, %v", code, code, parsed, ok)
		}
	}
	if got := packetrpc.Code(99).String(); got != "code_99" {
		t.Error(got)
	}
	for _, name := range []string{"", "ok", "code_99"} {
		if code, ok := packetrpc.ParseCode(name); ok {
			t.Errorf("%q parses to %v", name, code)
		}
	}
}

func TestCodeOf(t *testing.T) {
	coded := packetrpc.Errorf(packetrpc.CodeNotFound, "no %s", "room")
	for _, test := range []struct {
		err  error
		want packetrpc.Code
	}{
		{nil, 0},
		{coded, packetrpc.CodeNotFound},
		{fmt.Errorf("looking: %w", coded), packetrpc.CodeNotFound},
		{errors.Join(io.EOF, coded), packetrpc.CodeNotFound},
		{context.Canceled, packetrpc.CodeCanceled},
		{fmt.Errorf("waiting: %w", context.DeadlineExceeded), packetrpc.CodeDeadlineExceeded},
		{io.EOF, packetrpc.CodeUnknown},
	} {
		if got := packetrpc.CodeOf(test.err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
}

func TestError(t *testing.T) {
	err := packetrpc.Errorf(packetrpc.CodeUnavailable, "reading: %w", io.EOF)
	if err.Error() != "unavailable: reading: EOF" || !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if errors.Is(err, context.Canceled) {
		t.Error("unavailable is not canceled")
	}
	if !errors.Is(packetrpc.NewRemoteError(packetrpc.CodeDeadlineExceeded, "late", nil), context.DeadlineExceeded) {
		t.Error("a remote deadline_exceeded is not context.DeadlineExceeded")
	}
	if got := packetrpc.NewError(packetrpc.CodeAborted, nil).Error(); got != "aborted" {
		t.Error(got)
	}
	if err := err.AddDetail(wrapperspb.String("why")); err != nil {
		t.Fatal(err)
	}
	if detail, failure := err.Details[0].UnmarshalNew(); failure != nil || !proto.Equal(detail, wrapperspb.String("why")) {
		t.Error(detail, failure)
	}
}

func TestMetadata(t *testing.T) {
	ctx := packetrpc.WithMetadata(context.Background(), "Trace-ID", "1", "a", "x")
	more := packetrpc.WithMetadata(ctx, "a", "y")
	other := packetrpc.WithMetadata(ctx, "a", "z")
	for _, test := range []struct {
		ctx  context.Context
		want []string
	}{
		{ctx, []string{"x"}},
		{more, []string{"x", "y"}},
		{other, []string{"x", "z"}},
	} {
		metadata := packetrpc.OutgoingMetadata(test.ctx)
		if got := metadata.Values("A"); !slices.Equal(got, test.want) {
			t.Errorf("%v, want %v", got, test.want)
		}
		if metadata.Get("trace-id") != "1" || metadata.Get("none") != "" {
			t.Error(metadata)
		}
	}
	for _, bad := range [][]string{{"a"}, {"", "x"}, {"a b", "x"}, {"ä", "x"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q did not panic", bad)
				}
			}()
			packetrpc.WithMetadata(ctx, bad...)
		}()
	}
}

func TestHandlers(t *testing.T) {
	var handlers packetrpc.Handlers
	echo := func(_ context.Context, in *text) (*text, error) { return in, nil }
	for _, action := range []string{"b", "a", "b"} {
		packetrpc.HandleUnary(&handlers, &packetrpc.Spec{Action: action}, echo)
	}
	if err := handlers.Err(); packetrpc.CodeOf(err) != packetrpc.CodeAlreadyExists || err.Error() != "already_exists: registered more than once: b" {
		t.Error(err)
	}
	var actions []string
	for method := range handlers.All() {
		actions = append(actions, method.Spec.Action)
	}
	if !slices.Equal(actions, []string{"a", "b"}) {
		t.Error(actions)
	}
	if handlers.Lookup("a") == nil || handlers.Lookup("c") != nil {
		t.Error("lookup")
	}
	var none *packetrpc.Handlers
	if none.Lookup("a") != nil || none.Err() != nil {
		t.Error("a nil Handlers is not empty")
	}
}

func TestChain(t *testing.T) {
	var trace []string
	named := func(name string) packetrpc.Interceptor {
		return func(next packetrpc.Invoke) packetrpc.Invoke {
			return func(ctx context.Context, call *packetrpc.Call) error {
				trace = append(trace, name)
				defer func() { trace = append(trace, "/"+name) }()
				return next(ctx, call)
			}
		}
	}
	invoke := packetrpc.Chain(named("a"), named("b"))(func(context.Context, *packetrpc.Call) error { return nil })
	if err := invoke(context.Background(), new(packetrpc.Call)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(trace, []string{"a", "b", "/b", "/a"}) {
		t.Error(trace)
	}
	if packetrpc.Chain() != nil {
		t.Error("an empty chain is an interceptor")
	}
}

func TestOutsideOfHandlers(t *testing.T) {
	ctx := context.Background()
	packetrpc.SetMetadata(ctx, "key", "value")
	if packetrpc.PeerFrom(ctx) != nil || packetrpc.SpecFrom(ctx) != nil || packetrpc.MetadataFrom(ctx).Len() != 0 || packetrpc.CallInfoFrom(ctx) != nil {
		t.Error("a background context knows of a call")
	}
}
