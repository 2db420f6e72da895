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

// process is the server, which can be killed and started again at the same address.
// Its methods may be called concurrently.
type process struct {
	mu      sync.Mutex
	serving serving
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
}

// startProcess starts the first one, whose address it chooses.
func startProcess(s serving) (*process, error) {
	p := &process{serving: s}
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
	program, err := os.Executable()
	if err != nil {
		return err
	}
	p.serving.epoch++
	p.cmd = exec.Command(program, p.serving.arguments()...)
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return err
	}
	if !p.out.Scan() || p.out.Text() != "ready" {
		return fmt.Errorf("the server does not start: %w", p.cmd.Wait())
	}
	return nil
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
	began, limit := time.Now(), p.serving.grace+3*time.Second
	killer := time.AfterFunc(limit+10*time.Second, func() { p.cmd.Process.Signal(syscall.SIGQUIT) })
	defer killer.Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the server, asked to shut down, ends with %w", err)
	}
	if took := time.Since(began); took > limit {
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
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		return "", err
	}
	if !p.out.Scan() {
		return "", fmt.Errorf("the server does not answer %q", command)
	}
	return p.out.Text(), nil
}
