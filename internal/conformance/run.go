package conformance

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// Runner puts a command under the cases of a role.
type Runner struct {
	// Command is the command and its arguments.
	Command []string
	// Role is what the command plays: [RoleClient] or [RoleServer].
	Role string
	// Patience is how long the command may take for anything it does; 0 is 10 s.
	Patience time.Duration
	// Parallel is how many cases run at once; 0 is as many as there are processors.
	Parallel int
	// Select picks cases by their names; nil picks all.
	Select *regexp.Regexp
}

// Result is what has become of a case.
type Result struct {
	Case Case
	// Undeclared says that the command has not declared the case, which was not run.
	Undeclared bool
	// Err is why the case has failed, or nil.
	Err error
	// Journal lists the packets that were sent and received, without their data and
	// tokens.
	Journal []string
}

// Run runs the cases and calls report with each result, one at a time, in no
// particular order. It fails when the command cannot be run at all.
func (r *Runner) Run(ctx context.Context, report func(Result)) error {
	declared, err := r.declared(ctx)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	var reporting sync.Mutex
	places := make(chan struct{}, cmp.Or(r.Parallel, runtime.GOMAXPROCS(0)))
	for _, c := range Cases(r.Role) {
		if r.Select != nil && !r.Select.MatchString(c.Name) {
			continue
		}
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			result := Result{Case: c, Undeclared: !declared(c.Name)}
			if !result.Undeclared {
				result.Journal, result.Err = r.runCase(ctx, c)
			}
			reporting.Lock()
			defer reporting.Unlock()
			if ctx.Err() == nil {
				report(result)
			}
		})
	}
	wait.Wait()
	return ctx.Err()
}

// declared asks the command which cases it declares.
func (r *Runner) declared(ctx context.Context) (func(name string) bool, error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience())
	defer cancel()
	p, err := r.start(ctx, Task{Role: RoleDeclare})
	if err != nil {
		return nil, err
	}
	p.stdin.Close()
	err = p.wait()
	if len(p.events) != 1 || p.events[0].Declares == nil {
		return nil, fmt.Errorf(`the command does not answer {"role":"declare"} with a line {"declares":[…]}: %w`, cmp.Or(err, errors.New("it ended well")))
	}
	var patterns []*regexp.Regexp
	for _, text := range p.events[0].Declares {
		pattern, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("the command declares %q: %w", text, err)
		}
		patterns = append(patterns, pattern)
	}
	return func(name string) bool {
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
	}, nil
}

func (r *Runner) patience() time.Duration { return cmp.Or(r.Patience, 10*time.Second) }

// runCase runs one case.
func (r *Runner) runCase(ctx context.Context, c Case) (journal []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*r.patience())
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	p, err := r.start(ctx, c.task(listener.Addr().String()))
	if err != nil {
		return nil, err
	}
	defer p.kill()
	nc, err := r.connect(c, p, listener.(*net.TCPListener))
	if err != nil {
		return nil, errors.Join(err, p.complaint())
	}
	l := newLink(nc, c.Form, c.Role == RoleServer, r.patience())
	l.stingy, l.refused, l.events = c.plan.stingy, c.plan.refused, p.observed
	err = l.run(c)
	p.stdin.Close()
	ended := p.waitFor(r.patience())
	if broken := l.rules.failure(); broken != nil {
		err = broken
	}
	if err == nil {
		err = ended
	}
	if err == nil {
		err = c.observed(p.observed())
	}
	if err != nil {
		err = errors.Join(err, p.complaint())
	}
	return l.journal, err
}

// connect waits for a client, or dials a server.
func (r *Runner) connect(c Case, p *process, listener *net.TCPListener) (net.Conn, error) {
	if c.Role == RoleClient {
		listener.SetDeadline(time.Now().Add(r.patience()))
		nc, err := listener.Accept()
		if err != nil {
			return nil, fmt.Errorf("the command does not connect: %w", err)
		}
		return nc, nil
	}
	select {
	case address := <-p.listening:
		return net.DialTimeout("tcp", address, r.patience())
	case <-time.After(r.patience()):
		return nil, errors.New("the command does not say where it listens")
	}
}

// run plays the runner's part of a case, to the end of the connection.
func (l *link) run(c Case) (err error) {
	reading := !c.plan.unread
	if reading {
		go l.read()
	}
	defer func() {
		if gaveUp, ok := recover().(failure); ok {
			err = gaveUp.error
		}
		l.nc.Close()
		if reading {
			for range l.got { // until nothing of the link runs any more
			}
		}
	}()
	if !c.plan.bare {
		l.shake(c.limits())
	}
	if c.plan.play != nil {
		c.plan.play(l)
	}
	if !reading {
		return nil
	}
	if steps := c.plan.steps; len(steps) > 0 && steps[len(steps)-1].Do == DoClosed {
		l.closeWrite()
	}
	for _, p := range l.over() {
		if p.Kind != packet.KindClose && p.Kind != packet.KindCancel {
			return fmt.Errorf("%v came at the end, and was not to come", p)
		}
	}
	return nil
}

// process is the command while it runs.
type process struct {
	cmd       *exec.Cmd
	stdin     io.WriteCloser
	listening chan string
	done      chan struct{} // closed when it has ended
	err       error         // how it has ended

	mu     sync.Mutex
	events []Event
	stderr bytes.Buffer
}

// start starts the command with its task.
func (r *Runner) start(ctx context.Context, task Task) (*process, error) {
	line, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, r.Command[0], r.Command[1:]...), listening: make(chan string, 1), done: make(chan struct{})}
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = time.Second
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("the command cannot be started: %w", err)
	}
	go func() {
		defer close(p.done)
		err := p.readEvents(stdout)
		p.err = errors.Join(err, p.cmd.Wait())
	}()
	p.stdin.Write(append(line, '\n')) // a command that does not read it shows that by itself
	return p, nil
}

// readEvents reads what the command observes.
func (p *process) readEvents(stdout io.Reader) error {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return fmt.Errorf("the command printed %.200q, which is no event: %w", lines.Text(), err)
		}
		if event.Event == EventListening {
			p.listening <- event.Address
			continue
		}
		p.mu.Lock()
		p.events = append(p.events, event)
		p.mu.Unlock()
	}
	return lines.Err()
}

func (p *process) wait() error {
	<-p.done
	return p.err
}

// waitFor waits until the command has ended.
func (p *process) waitFor(patience time.Duration) error {
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("the command ended badly: %w", p.err)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the command has not ended %v after its connection; it has observed %v", patience, p.observed())
	}
}

func (p *process) observed() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// kill ends the command if it still runs.
func (p *process) kill() {
	p.stdin.Close()
	p.cmd.Process.Kill()
	<-p.done
}

// complaint is what the command has written to its standard error.
func (p *process) complaint() error {
	p.kill()
	text := strings.TrimSpace(p.stderr.String())
	if text == "" {
		return nil
	}
	return fmt.Errorf("the command said: %s", text[max(0, len(text)-2000):])
}
