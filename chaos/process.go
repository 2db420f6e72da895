package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// child is another process of this program. It says that it is ready, and from then on
// answers commands, a line each by a line. It is not safe for concurrent use.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startChild starts a process and waits until it is ready.
func startChild(arguments ...string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(program, arguments...)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if !c.out.Scan() || c.out.Text() != "ready" {
		return nil, fmt.Errorf("the process %q does not start: %w", arguments[0], c.cmd.Wait())
	}
	return c, nil
}

// ask sends a command and returns the answer.
func (c *child) ask(command string) (string, error) {
	if _, err := fmt.Fprintln(c.in, command); err != nil {
		return "", err
	}
	if !c.out.Scan() {
		return "", fmt.Errorf("the process does not answer %q", command)
	}
	return c.out.Text(), nil
}

// process is the server, which can be killed and started again at the same address.
// Its methods may be called concurrently.
type process struct {
	// slack is by how much a shutdown may exceed its grace period.
	slack time.Duration
	// stride is by how much the epochs of processes that follow each other differ.
	stride int

	mu      sync.Mutex
	serving serving
	*child
	slowest time.Duration // of the shutdowns
}

// startProcess starts the first one, whose address it chooses.
func startProcess(s serving, stride int, slack time.Duration) (*process, error) {
	p := &process{serving: s, stride: stride, slack: slack}
	var err error
	if p.serving.address, err = freeAddress(); err != nil {
		return nil, err
	}
	return p, p.start()
}

// freeAddress returns an address whose port the system gives nobody by itself, so that
// it is still free when a process takes the place of another.
func freeAddress() (string, error) {
	for range 100 {
		address := fmt.Sprint("127.0.0.1:", 10_000+rand.N(20_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", fmt.Errorf("no port between 10000 and 30000 seems to be free")
}

// start starts a process and waits until it is ready. p.mu is held, or nobody else
// knows p.
func (p *process) start() error {
	p.serving.epoch += p.stride
	next, err := startChild(p.serving.arguments()...)
	if err == nil {
		p.child = next
	}
	return err
}

// kill ends the process as a crash does, and starts another after a while.
func (p *process) kill(away time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = p.cmd.Wait() // which says that it was killed
	time.Sleep(away)
	return p.start()
}

// restart asks the process to shut down and starts another.
func (p *process) restart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.end(); err != nil {
		return err
	}
	return p.start()
}

// end asks the process to shut down and waits for it. p.mu is held.
func (p *process) end() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	limit := p.serving.grace + p.slack
	killer := time.AfterFunc(limit+10*time.Second, func() { p.cmd.Process.Signal(syscall.SIGQUIT) })
	defer killer.Stop()
	var took time.Duration
	told := p.out.Scan()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the server, asked to shut down, ends with %w", err)
	}
	if !told {
		return fmt.Errorf("the server, asked to shut down, does not tell how long that took")
	}
	if _, err := fmt.Sscanf(p.out.Text(), shutdownLine, &took); err != nil {
		return fmt.Errorf("the server, asked to shut down, tells %q: %w", p.out.Text(), err)
	}
	p.slowest = max(p.slowest, took)
	if took > limit {
		return fmt.Errorf("the server has taken %v to shut down; its grace period is %v", took, p.serving.grace)
	}
	return nil
}

func (p *process) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end()
}

// ask sends a command and returns the answer.
func (p *process) ask(command string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child.ask(command)
}
