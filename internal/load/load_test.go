package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/internal/load"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/schema"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// service handles calls as the test says. Its times are those of the test's bubble, in
// which nothing but sleeping takes any.
type service struct {
	interopv1packetrpc.UnimplementedInteropServiceHandler
	unary func(context.Context, *interopv1.UnaryRequest) error // nil takes a millisecond

	mu   sync.Mutex
	seen []*interopv1.UnaryRequest
}

func (s *service) Unary(ctx context.Context, request *interopv1.UnaryRequest) (*interopv1.UnaryResponse, error) {
	s.mu.Lock()
	s.seen = append(s.seen, request)
	s.mu.Unlock()
	if s.unary != nil {
		if err := s.unary(ctx, request); err != nil {
			return nil, err
		}
	} else {
		time.Sleep(time.Millisecond)
	}
	return &interopv1.UnaryResponse{Body: make([]byte, request.GetResponseSize())}, nil
}

func (s *service) ServerStream(_ context.Context, request *interopv1.ServerStreamRequest, stream packetrpc.Sender[interopv1.ServerStreamResponse]) error {
	for _, size := range request.GetResponseSizes() {
		time.Sleep(time.Millisecond)
		if err := stream.Send(&interopv1.ServerStreamResponse{Body: make([]byte, size)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) ClientStream(_ context.Context, stream packetrpc.Receiver[interopv1.ClientStreamRequest]) (*interopv1.ClientStreamResponse, error) {
	received := 0
	for request, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		received += len(request.GetBody())
	}
	time.Sleep(time.Millisecond)
	return &interopv1.ClientStreamResponse{Received: uint32(received)}, nil
}

func (s *service) BidiStream(_ context.Context, stream packetrpc.BidiStream[interopv1.BidiStreamResponse, interopv1.BidiStreamRequest]) error {
	for {
		request, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if code := request.GetStatus().GetCode(); code != 0 {
			return packetrpc.Errorf(packetrpc.Code(code), "%s", request.GetStatus().GetMessage())
		}
		time.Sleep(time.Millisecond)
		if err := stream.Send(&interopv1.BidiStreamResponse{Received: uint32(len(request.GetBody()))}); err != nil {
			return err
		}
	}
}

// The actions of the service.
const (
	unary        = interopv1packetrpc.InteropServiceUnaryAction
	serverStream = interopv1packetrpc.InteropServiceServerStreamAction
	clientStream = interopv1packetrpc.InteropServiceClientStreamAction
	bidiStream   = interopv1packetrpc.InteropServiceBidiStreamAction
)

// aimed returns the load with an action and what it sends.
func aimed(t *testing.T, l load.Load, action, requests string) load.Load {
	t.Helper()
	known := schema.Linked()
	var err error
	if l.Action, err = known.Action(action); err != nil {
		t.Fatal(err)
	}
	if l.Requests, err = load.ParseRequests(known, l.Action, []byte(requests)); err != nil {
		t.Fatal(err)
	}
	return l
}

// run serves a handler, puts it under load and checks what must hold of every result.
func run(t *testing.T, handler *service, l load.Load, options ...client.Option) *load.Result {
	t.Helper()
	srv := server.New()
	interopv1packetrpc.RegisterInteropServiceHandler(srv, handler)
	listener := packetrpctest.Start(t, srv).Listener
	l.Dial = func(ctx context.Context) (*client.Client, error) {
		return client.Dial(ctx, "memory:0", append(options, client.WithDialer(listener.Dial))...)
	}
	result, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check(t, result)
	return result
}

// check holds the numbers of a result against each other.
func check(t *testing.T, r *load.Result) {
	t.Helper()
	if r.Latency.Count() != r.OK || r.Rate > 0 && r.Service.Count() != r.OK {
		t.Errorf("there are not as many latencies as calls: %+v", r)
	}
	var inSeries, errors int64
	for i, interval := range r.Series {
		inSeries += interval.OK + interval.Failed
		if i > 0 && interval.At != r.Series[i-1].At+r.Series[i-1].Span && interval.At-r.Series[i-1].At-r.Series[i-1].Span > 1e-9 {
			t.Errorf("interval %d begins at %v s: %+v", i, interval.At, r.Series[i-1])
		}
	}
	for _, failure := range r.Errors {
		errors += failure.Count
	}
	if inSeries != r.Calls() || errors != r.Failed {
		t.Errorf("%d calls in the series, %d errors, but %d calls, %d failed", inSeries, errors, r.Calls(), r.Failed)
	}
}

// about reports whether two durations are the same as far as a histogram tells.
func about(a, b time.Duration) bool { return (a - b).Abs() <= b/500 }

// While a server stalls for a second, a closed loop makes one call, and an open loop owes
// all those that were due.
func TestStall(t *testing.T) {
	stalling := func() *service {
		began := time.Now()
		return &service{unary: func(context.Context, *interopv1.UnaryRequest) error {
			if since := time.Since(began); since > 5*time.Second && since < 6*time.Second {
				time.Sleep(6*time.Second - since)
			}
			time.Sleep(time.Millisecond)
			return nil
		}}
	}
	t.Run("closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, stalling(), aimed(t, load.Load{Callers: 1, Duration: 10 * time.Second}, unary, ""))
			if !about(r.Latency.Percentile(99.9), time.Millisecond) || !about(r.Latency.Max(), time.Second) {
				t.Errorf("p99.9 is %v and the greatest %v; the stall counts once", r.Latency.Percentile(99.9), r.Latency.Max())
			}
			if r.OK < 8990 || r.OK > 9001 || r.Failed+r.Unfinished+r.Unsent+r.Late != 0 {
				t.Errorf("9 s of calls of 1 ms: %+v", r)
			}
		})
	})
	t.Run("open", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, stalling(), aimed(t, load.Load{Rate: 100, Callers: 10, Duration: 10 * time.Second}, unary, ""))
			// One in ten calls was due while the server stalled, at even distances.
			if !about(r.Latency.Percentile(89), time.Millisecond) {
				t.Errorf("p89 is %v", r.Latency.Percentile(89))
			}
			if p95 := r.Latency.Percentile(95); p95 < 490*time.Millisecond || p95 > 520*time.Millisecond {
				t.Errorf("p95 is %v", p95)
			}
			if p99 := r.Latency.Percentile(99); p99 < 890*time.Millisecond || p99 > 920*time.Millisecond {
				t.Errorf("p99 is %v", p99)
			}
			// Only those in flight have noticed for themselves.
			if p98 := r.Service.Percentile(98); p98 > 2*time.Millisecond {
				t.Errorf("p98 from when they were begun is %v", p98)
			}
			if r.OK != 1000 || r.Unsent != 0 || r.Late < 85 || r.Late > 95 {
				t.Errorf("of 1000 calls %d are ok, %d late, %d not sent", r.OK, r.Late, r.Unsent)
			}
		})
	})
}

// A rate that the server cannot serve: what cannot be sent is told, and no more calls are
// in flight than allowed.
func TestRateOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		handler := &service{unary: func(context.Context, *interopv1.UnaryRequest) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}}
		r := run(t, handler, aimed(t, load.Load{Rate: 2000, Callers: 10, Duration: 2 * time.Second}, unary, ""))
		if most != 10 {
			t.Errorf("%d calls were in flight at once, want 10", most)
		}
		if sum := r.Calls() + r.Unfinished + r.Unsent; sum != 4000 {
			t.Errorf("4000 calls were due, but %d are accounted for: %+v", sum, r)
		}
		if r.OK < 1990 || r.OK > 2010 {
			t.Errorf("%d calls were made, want about 2000", r.OK)
		}
		if !about(r.Service.Max(), 10*time.Millisecond) || r.Latency.Max() < 900*time.Millisecond {
			t.Errorf("the greatest latencies are %v and %v", r.Service.Max(), r.Latency.Max())
		}
	})
}

// A server that hangs keeps the load for a second after its time.
func TestHang(t *testing.T) {
	for name, l := range map[string]load.Load{
		"closed": {Callers: 3, Duration: 2 * time.Second},
		"open":   {Rate: 10, Callers: 3, Duration: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler := &service{unary: func(ctx context.Context, _ *interopv1.UnaryRequest) error {
					<-ctx.Done()
					return ctx.Err()
				}}
				began := time.Now()
				r := run(t, handler, aimed(t, l, unary, ""))
				if r.Unfinished != 3 || r.Calls() != 0 || r.Elapsed != 2 || r.Ended != load.EndedTime {
					t.Errorf("got %+v", r)
				}
				if l.Rate > 0 && r.Unsent != 17 {
					t.Errorf("%d of 20 calls were not sent, want 17", r.Unsent)
				}
				if took := time.Since(began); took > 3100*time.Millisecond {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestEnds(t *testing.T) {
	t.Run("the number of calls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			handler := &service{}
			r := run(t, handler, aimed(t, load.Load{Callers: 4, Calls: 10, Warmup: 5 * time.Millisecond}, unary, ""))
			if r.OK != 10 || r.Ended != load.EndedCalls || len(handler.seen) <= 10 {
				t.Errorf("%d calls, %d handled with those of the warm-up: %s", r.OK, len(handler.seen), r.Ended)
			}
		})
	})
	t.Run("the number of calls, open", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, &service{}, aimed(t, load.Load{Rate: 100, Calls: 10}, unary, ""))
			if r.OK != 10 || r.Ended != load.EndedCalls || r.Elapsed < 0.09 || r.Elapsed > 0.1 {
				t.Errorf("%d calls in %v s: %s", r.OK, r.Elapsed, r.Ended)
			}
		})
	})
	t.Run("the time, at a rate next to nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, &service{}, aimed(t, load.Load{Rate: 1e-12, Calls: 10, Duration: time.Second}, unary, ""))
			if r.OK != 1 || r.Unsent != 0 || r.Ended != load.EndedTime || r.Elapsed != 1 {
				t.Errorf("got %+v", r)
			}
		})
	})
	t.Run("the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := server.New()
			interopv1packetrpc.RegisterInteropServiceHandler(srv, &service{})
			listener := packetrpctest.Start(t, srv).Listener
			l := aimed(t, load.Load{Rate: 100}, unary, "")
			l.Dial = func(ctx context.Context) (*client.Client, error) {
				return client.Dial(ctx, "memory:0", client.WithDialer(listener.Dial))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			r, err := l.Run(ctx)
			if err != nil {
				t.Fatal(err)
			}
			check(t, r)
			if r.Ended != load.EndedInterrupted || r.OK != 300 || r.Unfinished+r.Unsent != 0 || r.Elapsed < 2.9 || r.Elapsed > 3 {
				t.Errorf("got %+v", r)
			}
		})
	})
	t.Run("the server goes for good", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			handler := &service{}
			srv := server.New()
			interopv1packetrpc.RegisterInteropServiceHandler(srv, handler)
			listener := packetrpctest.Start(t, srv).Listener
			l := aimed(t, load.Load{Callers: 2, Connections: 2}, unary, "")
			l.Dial = func(ctx context.Context) (*client.Client, error) {
				return client.Dial(ctx, "memory:0", client.WithDialer(listener.Dial), client.WithoutReconnect())
			}
			time.AfterFunc(time.Second, func() { srv.Shutdown(t.Context()) })
			r, err := l.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			check(t, r)
			// Each caller fails once, or twice if the server has refused a call as it began to go.
			if r.Ended != load.EndedConnections || r.OK < 900 || r.Failed == 0 || r.Failed > 2*int64(l.Callers) {
				t.Errorf("got %+v", r)
			}
		})
	})
}

func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := &service{unary: func(_ context.Context, request *interopv1.UnaryRequest) error {
			time.Sleep(time.Millisecond)
			if code := request.GetStatus().GetCode(); code != 0 {
				return packetrpc.Errorf(packetrpc.Code(code), "%s", request.GetStatus().GetMessage())
			}
			return nil
		}}
		requests := `{} {"status":{"code":5,"message":"no such room"}} {} {"status":{"code":9,"message":"closed"}} {"status":{"code":5,"message":"no such door"}}`
		r := run(t, handler, aimed(t, load.Load{Callers: 1, Calls: 50}, unary, requests))
		want := []load.Failure{
			{Code: "not_found", Count: 20, Samples: []string{"no such room", "no such door"}},
			{Code: "failed_precondition", Count: 10, Samples: []string{"closed"}},
		}
		if difference := cmp.Diff(want, r.Errors); difference != "" {
			t.Errorf("-want +got:\n%s", difference)
		}
		if r.OK != 20 || r.Failed != 30 {
			t.Errorf("%d ok, %d failed", r.OK, r.Failed)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, retry := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			handler := &service{unary: func(context.Context, *interopv1.UnaryRequest) error {
				time.Sleep(time.Millisecond)
				if n++; n%2 == 1 {
					return &packetrpc.Error{Code: packetrpc.CodeResourceExhausted, Message: "busy", RetryAfter: 20 * time.Millisecond}
				}
				return nil
			}}
			r := run(t, handler, aimed(t, load.Load{Callers: 1, Calls: 10, Retry: retry}, unary, ""))
			want := load.Result{OK: 5, Failed: 5}
			if retry {
				want = load.Result{OK: 10, Retries: 10}
			}
			if r.OK != want.OK || r.Failed != want.Failed || r.Retries != want.Retries {
				t.Errorf("retrying %v: %d ok, %d failed, %d retries", retry, r.OK, r.Failed, r.Retries)
			}
			if retry && !about(r.Latency.Min(), 22*time.Millisecond) {
				t.Errorf("a call with its repetition takes %v, want 22ms", r.Latency.Min())
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := &service{unary: func(ctx context.Context, _ *interopv1.UnaryRequest) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		r := run(t, handler, aimed(t, load.Load{Callers: 2, Calls: 10, Timeout: 100 * time.Millisecond}, unary, ""))
		if r.Failed != 10 || len(r.Errors) != 1 || r.Errors[0].Code != "deadline_exceeded" || r.Elapsed < 0.5 || r.Elapsed > 0.51 {
			t.Errorf("got %+v", r)
		}
	})
}

// Messages and their bytes are counted alike in both forms.
func TestCallTypes(t *testing.T) {
	for _, test := range []struct {
		name, action, requests string
		load                   load.Load
		sent, received         load.Traffic
	}{
		{"unary", unary, `{"responseSize":10}`, load.Load{}, load.Traffic{Messages: 6, Bytes: 12}, load.Traffic{Messages: 6, Bytes: 72}},
		{"empty replies", unary, `{}`, load.Load{}, load.Traffic{Messages: 6}, load.Traffic{Messages: 6}},
		{"download", serverStream, `{"responseSizes":[3,3,3]}`, load.Load{}, load.Traffic{Messages: 6, Bytes: 30}, load.Traffic{Messages: 18, Bytes: 90}},
		{"part of a download", serverStream, `{"responseSizes":[3,3,3]}`, load.Load{Messages: 2}, load.Traffic{Messages: 6, Bytes: 30}, load.Traffic{Messages: 12, Bytes: 60}},
		{"upload", clientStream, `{"body":"YWJj"}`, load.Load{Messages: 5}, load.Traffic{Messages: 30, Bytes: 150}, load.Traffic{Messages: 6, Bytes: 12}},
		{"upload of one", clientStream, `{"body":"YWJj"}`, load.Load{}, load.Traffic{Messages: 6, Bytes: 30}, load.Traffic{Messages: 6, Bytes: 12}},
		{"both ways", bidiStream, `{"body":"YWJj"}`, load.Load{Messages: 5}, load.Traffic{Messages: 30, Bytes: 150}, load.Traffic{Messages: 30, Bytes: 60}},
	} {
		for form, options := range map[string][]client.Option{"binary": nil, "JSON": {client.WithJSON()}} {
			t.Run(test.name+", "+form, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := test.load
					l.Calls, l.Callers, l.Connections = 6, 2, 2
					r := run(t, &service{}, aimed(t, l, test.action, test.requests), options...)
					if r.OK != 6 {
						t.Errorf("%d calls succeeded: %v", r.OK, r.Errors)
					}
					if r.Sent != test.sent || r.Received != test.received {
						t.Errorf("sent %+v, received %+v; want %+v, %+v", r.Sent, r.Received, test.sent, test.received)
					}
				})
			})
		}
	}
}

// A stream that fails in the middle is one error, and its sender does not hang.
func TestStreamFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := aimed(t, load.Load{Callers: 2, Calls: 6, Messages: 100000}, bidiStream, `{} {"status":{"code":10,"message":"enough"}}`)
		r := run(t, &service{}, l)
		want := []load.Failure{{Code: "aborted", Count: 6, Samples: []string{"enough"}}}
		if difference := cmp.Diff(want, r.Errors); difference != "" {
			t.Errorf("-want +got:\n%s", difference)
		}
	})
}

func TestRequests(t *testing.T) {
	known := schema.Linked()
	action, err := known.Action(unary)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ text, fails string }{
		{"", ""},
		{`{} {"responseSize":1}`, ""},
		{`{"responseSize":{{.N}},"status":{"message":"{{.UUID}} {{.Message}} {{.Random 10}}"}}`, ""},
		{`{"responseSize":1}, {}`, "request 2: invalid character ','"},
		{`{"responseSize":1} {"size":1}`, `request 2: proto: (line 1:2): unknown field "size"`},
		{`{"responseSize":{{.M}}}`, "can't evaluate field M"},
		{`{"responseSize":{{.N}`, "template: request:1"},
		{`{"responseSize":{{.Random 0}}}`, "Random takes a limit above 0"},
		{`{"responseSize":"{{.UUID}}"}`, "invalid value for uint32"},
	} {
		_, err := load.ParseRequests(known, action, []byte(test.text))
		// protojson varies its white space.
		text := ""
		if err != nil {
			text = strings.ReplaceAll(err.Error(), "\u00a0", " ")
		}
		if test.fails == "" && err != nil || !strings.Contains(text, test.fails) {
			t.Errorf("%s: %v, want %q", test.text, err, test.fails)
		}
	}
}

func TestTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := &service{}
		r := run(t, handler, aimed(t, load.Load{Callers: 1, Calls: 5}, unary, `{"responseSize":{{.N}},"status":{"message":"{{.UUID}}"}}`))
		if r.OK != 5 {
			t.Fatalf("got %+v", r)
		}
		var sizes []uint32
		ids := make(map[string]bool)
		for _, request := range handler.seen {
			sizes = append(sizes, request.GetResponseSize())
			ids[request.GetStatus().GetMessage()] = true
		}
		if difference := cmp.Diff([]uint32{0, 1, 2, 3, 4}, sizes); difference != "" || len(ids) != 5 {
			t.Errorf("%d ids, sizes -want +got:\n%s", len(ids), difference)
		}
	})
}

// A saved result is read as it was.
func TestSavedResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := &service{unary: func(_ context.Context, request *interopv1.UnaryRequest) error {
			time.Sleep(time.Duration(request.GetResponseSize()+1) * time.Millisecond)
			return nil
		}}
		r := run(t, handler, aimed(t, load.Load{Callers: 3, Duration: time.Second}, unary, `{"responseSize":{{.Random 30}}}`))
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := load.ParseResult(text)
		if err != nil {
			t.Fatal(err)
		}
		if difference := cmp.Diff(r, again, cmpopts.IgnoreFields(load.Result{}, "Latency", "Service", "Began")); difference != "" {
			t.Errorf("-made +read:\n%s", difference)
		}
		for percent := 0.5; percent <= 100; percent += 0.5 {
			if got, want := again.Latency.Percentile(percent), r.Latency.Percentile(percent); got != want {
				t.Errorf("p%g is %v, was %v", percent, got, want)
			}
		}
	})
	for _, text := range []string{``, `{}`, `[]`, `{"version":1}`, `{"version":2,"latency_us":null}`, `{"version":1,"latency_us":{"histogram":"x"}}`} {
		if _, err := load.ParseResult([]byte(text)); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNonsense(t *testing.T) {
	for _, l := range []load.Load{{Connections: -1}, {Callers: -1}, {Rate: -1}, {Rate: 2e9}, {Calls: -1}, {Duration: -1}, {Warmup: -1}, {Messages: -1}, {Timeout: -1}} {
		if _, err := l.Run(t.Context()); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// Pushes are taken, so that nobody is told that they are not.
func TestTakePushes(t *testing.T) {
	for _, form := range [][]client.Option{nil, {client.WithJSON()}} {
		synctest.Test(t, func(t *testing.T) {
			known := schema.Linked()
			pushed, err := known.Action(chatv1packetrpc.ChatEventsPostedAction)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			srv := server.New(server.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			conn := packetrpctest.Dial(t, srv, append(form, client.WithHandlers(load.TakePushes(known)))...)
			for _, peer := range srv.Connections() {
				if err := peer.CallOneWay(t.Context(), pushed.Spec, &chatv1.PostedRequest{Message: &chatv1.Message{Text: "hello"}}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if log.Len() > 0 || conn.Err() != nil {
				t.Errorf("%s%v", &log, conn.Err())
			}
		})
	}
}

// Connections that cannot be opened are an error, and those that were are closed.
func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := server.New()
		listener := packetrpctest.Start(t, srv).Listener
		l := aimed(t, load.Load{Connections: 5}, unary, "")
		var mu sync.Mutex
		dialled := 0
		l.Dial = func(ctx context.Context) (*client.Client, error) {
			mu.Lock()
			dialled++
			fails := dialled == 4
			mu.Unlock()
			if fails {
				return nil, packetrpc.Errorf(packetrpc.CodeUnavailable, "no more")
			}
			return client.Dial(ctx, "memory:0", client.WithDialer(listener.Dial))
		}
		if _, err := l.Run(t.Context()); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
			t.Errorf("got %v", err)
		}
	})
}
