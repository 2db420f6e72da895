package main

import (
	"io"
	"os/exec"
	"testing"
)

// Two Python programs with nothing but the standard library talk to each other,
// and to a client written in Go.
func TestPythonClients(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	address := startRoom(t)
	grace := start(t, "client", "--server", address, "--name", "grace")
	grace.expect("* grace has joined")
	client := []string{python, "../python/client.py", "--server", address, "--name"}
	ada := startProgram(t, append(client, "ada", "--wait", "3")...)
	grace.expect("* ada has joined")
	bob := startProgram(t, append(client, "bob", "--wait", "3")...)
	grace.expect("* bob has joined")

	ada.typeLine("hello")
	bob.expect("ada: hello")
	bob.typeLine("hello yourself")
	ada.expect("bob: hello yourself")
	grace.expect("bob: hello yourself")
	grace.typeLine("/who")
	grace.expect("     ada: did not answer: unimplemented")
	grace.typeLine("hello to you both")

	for _, term := range []*terminal{ada, bob} {
		term.expect("grace: hello to you both")
		term.input.Close()
		if err := term.result(); err != nil {
			t.Errorf("the Python client ended with %v", err)
		}
	}
	grace.expect("* bob has left")
}

// startProgram runs another program, which is killed at the end of the test if it
// has not ended by then.
func startProgram(t *testing.T, args ...string) *terminal {
	t.Helper()
	command := exec.CommandContext(within(t), args[0], args[1:]...)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, out := io.Pipe()
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, input: input, lines: make(chan string, 1000), ended: make(chan error, 1)}
	go scan(output, term.lines)
	go func() {
		err := command.Wait()
		out.Close()
		term.ended <- err
	}()
	t.Cleanup(func() {
		input.Close()
		command.Process.Kill()
		for range term.lines {
		}
	})
	return term
}
