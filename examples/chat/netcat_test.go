package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// jsonPacket is a packet as a program without this module reads it.
type jsonPacket struct {
	Action  string
	Data    map[string]any
	Created float64 `json:"packet-created"`
	Token   *string
	Status  string
	Message string
}

func parsePacket(t *testing.T, text string) (p jsonPacket) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("%q is no packet: %v", text, err)
	}
	return p
}

// netcat finds the program, in a variant that has the option -q.
func netcat(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("nc")
	if err != nil {
		t.Skip("nc is not installed")
	}
	if help, _ := exec.Command(path, "-h").CombinedOutput(); !strings.Contains(string(help), "-q secs") {
		t.Skip("nc has no option -q: it is not netcat-openbsd")
	}
	return path
}

const handshakeByHand = `{"action":"handShake","data":{"username":"demo","password":"test"}}`

func TestNetcatPrintsTheHandshake(t *testing.T) {
	nc, address := netcat(t), startRoom(t)
	host, port, _ := net.SplitHostPort(address)
	shell := fmt.Sprintf(`printf '%s' | %s -q1 %s %s`, handshakeByHand, nc, host, port)
	output, err := exec.CommandContext(within(t), "sh", "-c", shell).Output()
	if err != nil {
		t.Fatal(err)
	}
	reply := parsePacket(t, string(output))
	if reply.Action != "handShake" || reply.Token == nil || len(*reply.Token) < 22 || reply.Data["status"] != "success" {
		t.Errorf("got %s", output)
	}
}

// A person at nc calls an action: the token decides whether the handler runs, and
// nobody is shown another's token.
func TestNetcatCallsAnAction(t *testing.T) {
	nc, address := netcat(t), startRoom(t)
	host, port, _ := net.SplitHostPort(address)
	mallory := startProgram(t, nc, "-q1", host, port)
	demo := startProgram(t, nc, "-q1", host, port)
	foreign, token := shakeHands(t, mallory), shakeHands(t, demo)
	var shown []string
	send := func(token, text string) jsonPacket {
		t.Helper()
		demo.typeLine(fmt.Sprintf(`{"action":"chat.v1.ChatService/Send","data":{"text":%q},"token":%s}`, text, token))
		line := demo.next()
		shown = append(shown, line)
		return parsePacket(t, line)
	}

	for name, wrong := range map[string]string{"null": "null", "another's": `"` + foreign + `"`, "half": `"` + token[:11] + `"`} {
		if p := send(wrong, "from "+name); p.Status != "unauthenticated" || p.Message == "" {
			t.Errorf("with the token %s: %+v", name, p)
		}
	}
	demo.typeLine(`{"action":"chat.v1.ChatService/Send","data":{"text":"from nobody"}}`)
	if p := parsePacket(t, demo.next()); p.Status != "unauthenticated" {
		t.Errorf("without a token: %+v", p)
	}
	// The number tells that no handler has run before.
	p := send(`"`+token+`"`, "from demo")
	if p.Action != "chat.v1.ChatService/Send" || p.Status != "" || p.Data["number"] != 1.0 {
		t.Errorf("with the token: %+v", p)
	}
	demo.typeLine(`{"action":"CoreListClients","data":{},"token":"` + token + `"}`)
	list := demo.next()
	if clients, _ := parsePacket(t, list).Data["clients"].([]any); len(clients) != 2 {
		t.Errorf("the clients are %s", list)
	}
	if all := strings.Join(append(shown, list), "\n"); strings.Contains(all, foreign) {
		t.Errorf("a reply shows another's token:\n%s", all)
	}
	mallory.input.Close()
	demo.input.Close()
	mallory.result()
	demo.result()
}

// shakeHands types a handshake and returns the token.
func shakeHands(t *testing.T, term *terminal) string {
	t.Helper()
	term.typeLine(handshakeByHand)
	p := parsePacket(t, term.next())
	if p.Token == nil {
		t.Fatalf("the handshake was answered by %+v", p)
	}
	return *p.Token
}
