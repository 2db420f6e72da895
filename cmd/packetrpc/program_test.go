package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// patience is how long a test waits for what must happen.
const patience = 4 * time.Minute

// program is the built command; TestMain makes it.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "packetrpc-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	program = filepath.Join(folder, "packetrpc.exe")
	if output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// ran is what a run of the program has come to.
type ran struct {
	out, diagnostics string
	status           int
}

// run runs the program with an input.
func run(t *testing.T, input string, args ...string) ran {
	t.Helper()
	return runWith(t, nil, strings.NewReader(input), args...)
}

// runWith runs the program with variables in its environment. Those of whoever runs the
// test do not count.
func runWith(t *testing.T, variables []string, input io.Reader, args ...string) ran {
	t.Helper()
	command := newProcess(t, variables, args...)
	var out, diagnostics bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = input, &out, &diagnostics
	err := command.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("packetrpc %q: %v", args, err)
	}
	return ran{out.String(), diagnostics.String(), command.ProcessState.ExitCode()}
}

// newProcess makes a process of the program, which ends with patience at the latest.
func newProcess(t *testing.T, variables []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, program, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PACKETRPC_") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, variables...)
	return command
}

// A step is a run of the program, and what it must come to.
type step struct {
	name        string
	args        []string
	input       string
	status      int
	out         string // all of the output; "…" at its end is that there is more
	diagnostics string // a part of them; "" is none at all
}

// verify checks what a run has come to.
func (s *step) verify(t *testing.T, got ran) {
	t.Helper()
	begin, part := strings.CutSuffix(s.out, "…")
	switch {
	case part && !strings.HasPrefix(got.out, begin), !part && got.out != s.out:
		t.Errorf("%q printed\n%s\nwant\n%s", s.args, got.out, s.out)
	case s.diagnostics == "" && got.diagnostics != "", !strings.Contains(got.diagnostics, s.diagnostics):
		t.Errorf("%q complained\n%s\nwant\n%s", s.args, got.diagnostics, s.diagnostics)
	case got.status != s.status:
		t.Errorf("%q exited with %d, want %d", s.args, got.status, s.status)
	}
}

// check runs the steps against a server, whose address comes behind the first argument.
func check(t *testing.T, address string, steps []step) {
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			s.verify(t, run(t, s.input, append([]string{s.args[0], address}, s.args[1:]...)...))
		})
	}
}

// serve serves a chat room until the test ends, and returns its address.
func serve(t *testing.T, options ...server.Option) (address string, srv *server.Server) {
	t.Helper()
	srv = server.New(options...)
	return serveOn(t, srv), srv
}

// serveOn serves a chat room on a server.
func serveOn(t *testing.T, srv *server.Server) (address string) {
	t.Helper()
	chatv1packetrpc.RegisterChatServiceHandler(srv, room{})
	return listen(t, srv, "tcp", "127.0.0.1:0")
}

// listen serves until the test ends, and returns the address.
func listen(t *testing.T, srv *server.Server, network, at string) string {
	t.Helper()
	listener, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return listener.Addr().String()
}

// room is a chat room without people.
type room struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
}

func (room) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	packetrpc.SetMetadata(ctx, "language", packetrpc.MetadataFrom(ctx).Get("language"))
	switch text := request.GetText(); text {
	case "":
		err := packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no text")
		return nil, errors.Join(err.AddDetail(&chatv1.TextProblem{MaxLength: 9}), err)
	case "later":
		err := packetrpc.Errorf(packetrpc.CodeResourceExhausted, "too many texts")
		err.RetryAfter = 1500 * time.Millisecond
		return nil, err
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	default:
		return &chatv1.SendResponse{Number: uint32(len(text))}, nil
	}
}

func (room) Typing(context.Context, *chatv1.TypingRequest) error { return nil }

func (room) History(_ context.Context, request *chatv1.HistoryRequest, stream packetrpc.Sender[chatv1.HistoryResponse]) error {
	for i := range request.GetLimit() {
		if err := stream.Send(&chatv1.HistoryResponse{Message: &chatv1.Message{Number: i + 1}}); err != nil {
			return err
		}
	}
	if request.GetLimit() == 2 {
		return packetrpc.Errorf(packetrpc.CodeDataLoss, "the rest is lost")
	}
	return nil
}

func (room) Import(_ context.Context, stream packetrpc.Receiver[chatv1.ImportRequest]) (*chatv1.ImportResponse, error) {
	reply := new(chatv1.ImportResponse)
	for _, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		reply.Count++
	}
	return reply, nil
}

func (room) Talk(_ context.Context, stream packetrpc.BidiStream[chatv1.TalkResponse, chatv1.TalkRequest]) error {
	for request, err := range stream.All() {
		if err != nil {
			return err
		}
		if request.GetText() == "bye" {
			return packetrpc.Errorf(packetrpc.CodeAborted, "bye")
		}
		if err := stream.Send(&chatv1.TalkResponse{Text: strings.ToUpper(request.GetText())}); err != nil {
			return err
		}
	}
	return nil
}

func (room) Who(context.Context, *chatv1.WhoRequest) (*chatv1.WhoResponse, error) {
	return &chatv1.WhoResponse{People: []*chatv1.Person{{Name: "Ada", Status: "<here>"}}}, nil
}

func (room) Whisper(_ context.Context, request *chatv1.WhisperRequest) (*chatv1.WhisperResponse, error) {
	return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "there is no %s", request.GetTo())
}
