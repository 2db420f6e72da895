// Package process runs contenders' servers in processes of their own. The parent
// steers such a process by lines of JSON on its standard input and output; the
// process ends when its input does, so none outlives its parent.
package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
)

// ServeCommand is the first argument of a server process; the second is the name
// of the contender.
const ServeCommand = "serve"

// Order is a line from the parent.
type Order struct {
	// Do is what is to be done; see the constants.
	Do string
	// Settings belongs to Start.
	Settings contender.Settings `json:",omitzero"`
	// Size, Callers and Span belong to the orders that make calls.
	Size    int           `json:",omitempty"`
	Callers int           `json:",omitempty"`
	Span    time.Duration `json:",omitempty"`
}

// What can be ordered.
const (
	// Start comes first. It is answered with the address.
	Start = "start"
	// Usage asks what the process has used up.
	Usage = "usage"
	// Settle asks for the same after unused memory has been given back.
	Settle = "settle"
	// Burn occupies every core from now on.
	Burn = "burn"
	// Ask makes calls to a client, with Callers at once, for Span.
	Ask = "ask"
	// AskAll, NotifyAll and Broadcast reach each client once.
	AskAll    = "ask all"
	NotifyAll = "notify all"
	Broadcast = "broadcast"
)

// Answer is a line to the parent.
type Answer struct {
	Error   string `json:",omitempty"`
	Address string `json:",omitempty"`
	// Took is how long it took to reach all clients.
	Took time.Duration `json:",omitempty"`
	Used Used          `json:",omitzero"`
	Load LoadSummary   `json:",omitzero"`
}

// Server is a server process as its parent sees it.
type Server struct {
	// Address is where it listens.
	Address string

	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
}

// Command returns a command that runs this program again. If it is to be pinned,
// it may use the first core only, by the Linux tool taskset.
func Command(ctx context.Context, pinned bool, arguments ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if pinned {
		return exec.CommandContext(ctx, "taskset", append([]string{"-c", "0", self}, arguments...)...), nil
	}
	return exec.CommandContext(ctx, self, arguments...), nil
}

// StartServer starts the process of a contender's server.
func StartServer(ctx context.Context, name string, settings contender.Settings, pinned bool) (*Server, error) {
	command, err := Command(ctx, pinned, ServeCommand, name)
	if err != nil {
		return nil, err
	}
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &Server{command: command, input: input, output: bufio.NewReader(output)}
	answer, err := s.Order(Order{Do: Start, Settings: settings})
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	s.Address = answer.Address
	return s, nil
}

// Order has the process do something, and waits until it has.
func (s *Server) Order(order Order) (Answer, error) {
	var answer Answer
	if err := json.NewEncoder(s.input).Encode(order); err != nil {
		return answer, err
	}
	line, err := s.output.ReadBytes('\n')
	if err != nil {
		return answer, fmt.Errorf("the server process does not answer: %w", err)
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return answer, err
	}
	if answer.Error != "" {
		return answer, fmt.Errorf("server: %s", answer.Error)
	}
	return answer, nil
}

// Stop ends the process and waits for it.
func (s *Server) Stop() error {
	err := s.input.Close()
	return errors.Join(err, s.command.Wait())
}

// Serve is the work of a server process. It stops the server and ends with its input.
func Serve(name string, input io.Reader, output io.Writer) error {
	c, ok := contender.Find(name)
	if !ok {
		return fmt.Errorf("there is no contender %q", name)
	}
	orders, answers := json.NewDecoder(input), json.NewEncoder(output)
	var running contender.Server
	for {
		var order Order
		if err := orders.Decode(&order); errors.Is(err, io.EOF) {
			return stop(running)
		} else if err != nil {
			return err
		}
		var answer Answer
		var err error
		if order.Do == Start {
			running, answer.Address, err = start(c, order.Settings)
		} else {
			answer, err = obey(running, order)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

func start(c contender.Contender, settings contender.Settings) (contender.Server, string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address := listener.Addr().String()
	server, err := c.Start(listener, settings)
	return server, address, err
}

// stop stops a server, which is nil if none was started: it may have files to
// remove.
func stop(server contender.Server) error {
	if server == nil {
		return nil
	}
	return server.Stop()
}

// obey carries out any order but Start.
func obey(server contender.Server, order Order) (Answer, error) {
	switch order.Do {
	case Usage:
		used, err := ReadUsed()
		return Answer{Used: used}, err
	case Settle:
		used, err := SettledUsed()
		return Answer{Used: used}, err
	case Burn:
		burn()
		return Answer{}, nil
	}
	pusher, ok := server.(contender.Pusher)
	if !ok {
		return Answer{}, errors.New("this contender's server calls no clients")
	}
	return push(pusher, order)
}

// push carries out the orders that call clients.
func push(pusher contender.Pusher, order Order) (Answer, error) {
	ctx, data := context.Background(), Payload(order.Size)
	switch order.Do {
	case Ask:
		load := Load{Callers: order.Callers, Span: order.Span}
		summary, err := load.Run(func(int, int) error { return CheckEcho(data)(pusher.Ask(ctx, data)) }, func() error { return nil })
		return Answer{Load: summary}, err
	case AskAll:
		return timed(func() error { return pusher.AskAll(ctx, data) })
	case NotifyAll:
		return timed(func() error { return pusher.NotifyAll(ctx, data) })
	case Broadcast:
		return timed(func() error { return pusher.Broadcast(ctx, data) })
	}
	return Answer{}, fmt.Errorf("there is no order %q", order.Do)
}

// timed answers how long something took.
func timed(do func() error) (Answer, error) {
	start := time.Now()
	err := do()
	return Answer{Took: time.Since(start)}, err
}
