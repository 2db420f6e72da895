package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// within returns a context that ends when patience does.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// startRoom serves a room on a free port of the loopback interface until the test
// ends, and returns its address.
func startRoom(t *testing.T, options ...server.Option) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- newServer(options...).Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return listener.Addr().String()
}

// terminal is a program that runs: what is typed into it, and the lines that it
// prints.
type terminal struct {
	t     *testing.T
	input io.WriteCloser
	lines chan string
	ended chan error
}

// start runs a command line of the example in this process.
func start(t *testing.T, args ...string) *terminal {
	t.Helper()
	in, input := io.Pipe()
	output, out := io.Pipe()
	term := &terminal{t: t, input: input, lines: make(chan string, 1000), ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		err := run(ctx, args, in, out)
		out.Close()
		term.ended <- err
	}()
	go scan(output, term.lines)
	t.Cleanup(func() {
		stop()
		input.Close()
		for range term.lines {
		}
	})
	return term
}

// scan hands on lines and closes the channel after the last.
func scan(from io.Reader, lines chan<- string) {
	defer close(lines)
	for scanner := bufio.NewScanner(from); scanner.Scan(); {
		lines <- scanner.Text()
	}
}

func (term *terminal) typeLine(line string) {
	term.t.Helper()
	if _, err := fmt.Fprintln(term.input, line); err != nil {
		term.t.Fatalf("typing %q: %v", line, err)
	}
}

// expect reads lines up to the wanted one.
func (term *terminal) expect(want string) {
	term.t.Helper()
	var read []string
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-term.lines:
			if !ok {
				term.t.Fatalf("the program ended without printing %q; it printed %q", want, read)
			}
			if line == want {
				return
			}
			read = append(read, line)
		case <-timeout:
			term.t.Fatalf("the program did not print %q; it printed %q", want, read)
		}
	}
}

// next returns the next line.
func (term *terminal) next() string {
	term.t.Helper()
	select {
	case line, ok := <-term.lines:
		if !ok {
			term.t.Fatal("the program has ended")
		}
		return line
	case <-time.After(patience):
		term.t.Fatal("the program prints nothing")
	}
	return ""
}

// result waits for the end of the program.
func (term *terminal) result() error {
	term.t.Helper()
	select {
	case err := <-term.ended:
		return err
	case <-time.After(patience):
		term.t.Fatal("the program goes on")
		return nil
	}
}

// demoOutput is what the demonstration prints but for the packet.
const demoOutput = `# Two clients connect, and the server pushes who has joined.
  ada hears: ada has joined
  ada and bob hear: bob has joined
# A unary call: ada sends a line, and the server pushes it to everybody.
  ada is told: this is message 1
  ada and bob hear: ada: hello, bob
# A one-way call, which is not answered: bob is typing.
  ada and bob hear: bob is typing
# A stream to the server: bob imports lines.
  bob is told: 3 lines
  ada and bob hear: bob: hello, ada
  ada and bob hear: bob: here is a list:
  ada and bob hear: bob: apples and pears
# A stream from the server: ada reads the history.
  1. ada: hello, bob
  2. bob: hello, ada
  3. bob: here is a list:
  4. bob: apples and pears
# A stream in both directions: ada talks with the robot.
  ada: are you there?  robot: words in that: 3
  ada: good  robot: words in that: 1
# The server calls its clients: ada asks it who is here, and it asks each of them.
  ada is writing a demo
  bob is watching one
# An error with a code and a detail: ada says nothing.
  invalid_argument: a text has 1 to 1000 bytes, not 0
  the detail says: 0 bytes, at most 1000
# The same push as a client in the JSON form receives it, byte for byte.
  ada and bob hear: carol has joined
  PACKET
  ada and bob hear: ada: hello, carol
`

var packetLine = regexp.MustCompile(`(?m)^  \{.*\}$`)

func TestDemo(t *testing.T) {
	var out strings.Builder
	if err := run(within(t), []string{"demo"}, nil, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	packet := packetLine.FindString(out.String())
	if got := packetLine.ReplaceAllString(out.String(), "  PACKET"); got != demoOutput {
		t.Errorf("got\n%s\nwant\n%s", got, demoOutput)
	}
	for _, part := range []string{`"action":"chat.v1.ChatEvents/Posted"`, `"text":"hello, carol"`, `"packet-created":`} {
		if !strings.Contains(packet, part) {
			t.Errorf("the packet %s lacks %s", packet, part)
		}
	}
	if strings.Contains(packet, "token") {
		t.Errorf("the push bears a token: %s", packet)
	}
}

func TestDemoFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{"demo"}, nil, io.Discard); err == nil {
		t.Error("a demonstration that was cancelled succeeded")
	}
}

func TestInteractive(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "chat")
	address := "unix:" + socket
	room := start(t, "server", "--listen", address)
	room.expect("the chat room is open at unix " + socket + "; Ctrl+C closes it")

	ada := start(t, "client", "--server", address, "--name", "ada")
	ada.expect("* ada has joined")
	bob := start(t, "client", "--server", address, "--name", "bob")
	ada.expect("* bob has joined")

	ada.typeLine("hello")
	bob.expect("ada: hello")
	bob.typeLine("hello yourself")
	ada.expect("bob: hello yourself")

	bob.typeLine("/status out for lunch")
	bob.typeLine("/history 1")
	bob.expect("   2 bob: hello yourself")
	ada.typeLine("/who")
	ada.expect("     ada: here")
	ada.expect("     bob: out for lunch")
	ada.typeLine("/robot how many words")
	ada.expect("robot: words in that: 3")
	ada.typeLine("/history x")
	ada.expect(`! "x" is no number of messages`)
	ada.typeLine(strings.Repeat("x", maxText+1))
	ada.expect("! invalid_argument: a text has 1 to 1000 bytes, not 1001")
	ada.typeLine("/help")
	ada.expect("  /quit          leave")

	bob.typeLine("/quit")
	if err := bob.result(); err != nil {
		t.Errorf("bob left: %v", err)
	}
	ada.expect("* bob has left")
	ada.input.Close() // as at the end of a pipe
	if err := ada.result(); err != nil {
		t.Errorf("ada left: %v", err)
	}
}

func TestClientWhenTheRoomIsOpenedAgain(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- newServer().Serve(ctx, listener) }()
	ada := start(t, "client", "--server", listener.Addr().String(), "--name", "ada")
	ada.expect("* ada has joined")
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	ada.expect("* the connection is lost: unavailable: the server takes no new calls")
	listener, err = net.Listen("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop = context.WithCancel(t.Context())
	go func() { served <- newServer().Serve(ctx, listener) }()
	ada.expect("* connected again")
	ada.typeLine("/quit")
	if err := ada.result(); err != nil {
		t.Errorf("the client ended with %v", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"help", "--help", "server --help", "client -h"} {
		var out strings.Builder
		if err := run(within(t), strings.Fields(args), nil, &out); err != nil || out.String() != usage {
			t.Errorf("chat %s: %v, %q", args, err, out.String())
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "no command"},
		{"dance", `no command "dance"`},
		{"client", "who are you?"},
		{"client --nme ada", "-nme"},
		{"demo fast", `unexpected argument "fast"`},
		{"server --listen here", "here"},
		{"client --name ada --server 127.0.0.1:1", "cannot be reached"},
	} {
		err := run(within(t), strings.Fields(test.args), strings.NewReader(""), io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("chat %s: %v, want %q", test.args, err, test.want)
		}
	}
}
