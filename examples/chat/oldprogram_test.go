package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"
)

// The programs of the system that this one carries on work as they are.
func TestOldProgram(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	host, port, _ := net.SplitHostPort(startRoom(t))
	output, err := exec.CommandContext(within(t), python, "testdata/oldprogram.py", host, port).CombinedOutput()
	if err != nil || string(output) != "ok\n" {
		t.Errorf("%v\n%s", err, output)
	}
}

// oldProgram is a connection as the old programs have one.
type oldProgram struct {
	t       *testing.T
	nc      net.Conn
	replies *json.Decoder
	token   string
}

// newOldProgram connects, and shakes hands by a packet that is written at once.
func newOldProgram(t *testing.T, address string) *oldProgram {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	old := &oldProgram{t: t, nc: nc, replies: json.NewDecoder(nc)}
	old.write(`{"action": "handShake", "data": {"username": "demo", "password": "test"}, "packet-created": 1712345678.9, "token": null}`)
	shaken := old.read()
	if shaken.Token == nil || shaken.Action != "handShake" {
		t.Fatalf("the handshake was answered by %+v", shaken)
	}
	old.token = *shaken.Token
	return old
}

func (old *oldProgram) write(text string) {
	old.t.Helper()
	if _, err := old.nc.Write([]byte(text)); err != nil {
		old.t.Fatal(err)
	}
}

func (old *oldProgram) read() (p jsonPacket) {
	old.t.Helper()
	if err := old.replies.Decode(&p); err != nil {
		old.t.Fatal(err)
	}
	return p
}

// packet is a call of Send.
func (old *oldProgram) packet(text, extra string) string {
	return fmt.Sprintf(`{"action": "chat.v1.ChatService/Send", "data": {"text": %q}, "packet-created": 1712345679.5, "token": %q%s}`,
		text, old.token, extra)
}

// sent checks that the next reply is the one to Send, and the message's number.
func (old *oldProgram) sent(number float64) {
	old.t.Helper()
	p := old.read()
	if p.Action != "chat.v1.ChatService/Send" || p.Status != "" || p.Data["number"] != number || p.Token == nil || *p.Token != old.token {
		old.t.Errorf("message %v was answered by %+v", number, p)
	}
}

func TestOldProgramsSegments(t *testing.T) {
	old := newOldProgram(t, startRoom(t))
	t.Run("two packets in one segment", func(t *testing.T) {
		old.write(old.packet("one", "") + old.packet("two", ""))
		old.sent(1)
		old.sent(2)
	})
	t.Run("one packet in many segments", func(t *testing.T) {
		for _, b := range []byte(old.packet("three", "")) {
			old.write(string(b)) // each write is a segment, as Go sets TCP_NODELAY
		}
		old.sent(3)
	})
	t.Run("unknown extra keys", func(t *testing.T) {
		old.write(old.packet("four", `, "client-version": [1, {"beta": true}], "x": null`))
		old.sent(4)
	})
}
