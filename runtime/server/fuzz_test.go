package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"regexp"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// FuzzServer drives a whole server with little programs: a way of opening the
// connection, right or wrong, then packets in and out of place, and bytes that are
// none. Whatever they do, the server must end the connection or go on with it,
// must not leave it registered once it has ended, and must serve a well-behaved
// client all the while.
func FuzzServer(f *testing.F) {
	for opening := range byte(6) {
		f.Add([]byte{opening, 0, 3, 1, 0, 5, 2, 1, 1, 3, 3, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 3})
		f.Add([]byte{opening, 14, 'x', 14, '{', 0, 3, 0, 14, '"', 14, 0xff})
	}
	srv := server.New(server.WithMaxMessageSize(10_000), server.WithHandshakeTimeout(time.Second))
	handleEcho(srv, func(_ context.Context, s string) (string, error) { return s, nil })
	packetrpc.HandleOneWay(srv, noteSpec, func(context.Context, *text) error { return nil })
	started := packetrpctest.Start(f, srv)
	healthy := started.Dial(f)
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 || len(program) > 400 {
			return
		}
		nc, err := started.Listener.Dial(within(t), "", "")
		if err != nil {
			t.Fatal(err)
		}
		runStranger(nc, program)
		if got, err := echo(within(t), healthy, "still served"); err != nil || got != "still served" {
			t.Fatal(got, err)
		}
		for deadline := time.Now().Add(patience); srv.Count() > 1; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d clients are registered", srv.Count())
			}
		}
	})
}

// tokenPattern finds the token in the answer to a handshake, in either form.
var tokenPattern = regexp.MustCompile(`success.{2,16}?([A-Za-z0-9_-]{22})`)

// runStranger runs a program on a connection and closes it.
func runStranger(nc net.Conn, program []byte) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	form, token := openStrangely(nc, program[0])
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(io.Discard, nc)
	}()
	for at := 1; at+1 < len(program); at += 2 {
		if _, err := nc.Write(strangeBytes(form, token, program[at], program[at+1])); err != nil {
			break
		}
	}
	nc.Close()
	<-read
}

// openStrangely begins the connection and returns the token if it has succeeded.
func openStrangely(nc net.Conn, how byte) (form packet.Form, token string) {
	switch how % 6 {
	case 0:
		io.WriteString(nc, packet.Preface)
		nc.Write(packet.AppendBinary(nil, &packet.Packet{Kind: packet.KindRequest, Action: "handShake", Data: []byte{8, 1}}))
	case 1:
		form = packet.JSON
		io.WriteString(nc, `{"action":"handShake","data":{"version":1}}`)
	case 2:
		form = packet.JSON
		io.WriteString(nc, `{"action":"handShake","data":{"username":"demo","password":"test"},"token":null}`)
	case 3:
		io.WriteString(nc, packet.Preface)
		return packet.Binary, ""
	case 4:
		return packet.JSON, ""
	default:
		return packet.Form(how/6) % 2, ""
	}
	answer := make([]byte, 4096)
	n, _ := nc.Read(answer)
	if found := tokenPattern.FindSubmatch(bytes.ReplaceAll(answer[:n], []byte("\n"), nil)); found != nil {
		token = string(found[1])
	}
	return form, token
}

// strangeBytes returns what one step of a program sends.
func strangeBytes(form packet.Form, token string, what, how byte) []byte {
	p := packet.Packet{Kind: packet.Kind(what%15 + 1), CallID: uint64(how % 9), Token: token, More: form == packet.Binary && how&0x10 != 0}
	switch {
	case what%16 == 14:
		return []byte{how}
	case how&0x20 != 0:
		p.Token = "not the token"
	}
	p.Action = []string{echoSpec.Action, noteSpec.Action, "CoreListClients", "no such action", ""}[how%5]
	p.ActionNumber = uint32(how>>6) * uint32(1-form)
	p.Data = strangeData(form, how)
	p.Credit = uint64(how) << (how % 64)
	written := packet.Append(form, nil, &p)
	if what > 200 { // cut off
		return written[:len(written)-int(how)%len(written)]
	}
	return written
}

func strangeData(form packet.Form, how byte) []byte {
	size := []int{0, 1, 50, 9_000, 30_000}[how%5]
	data, err := packet.AppendMessage(form, nil, wrapperspb.String(string(bytes.Repeat([]byte{'x'}, size))))
	if err != nil {
		panic(err)
	}
	if how&0x40 != 0 && form == packet.Binary {
		data = binary.LittleEndian.AppendUint64(data, uint64(how)*0x0101010101010101)
	}
	return data
}
