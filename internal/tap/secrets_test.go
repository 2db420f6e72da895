package tap_test

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/internal/tap"
)

// formsOf returns how a secret could be written.
func formsOf(secret string) []string {
	return []string{
		secret,
		base64.RawStdEncoding.EncodeToString([]byte(secret)),
		hex.EncodeToString([]byte(secret)),
		strings.TrimSpace(fmt.Sprintf("% x", secret)),
	}
}

// wire is a connection without a client.
type wire struct {
	t       *testing.T
	nc      net.Conn
	replies *bufio.Scanner
}

func dial(t *testing.T, address string) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &wire{t, nc, bufio.NewScanner(nc)}
}

// ask sends a packet and returns the next one.
func (w *wire) ask(packet string) (reply struct {
	Action, Status, Token string
}) {
	w.t.Helper()
	if _, err := w.nc.Write([]byte(packet)); err != nil {
		w.t.Fatal(err)
	}
	if !w.replies.Scan() {
		w.t.Fatalf("no answer to %s: %v", packet, w.replies.Err())
	}
	if err := json.Unmarshal(w.replies.Bytes(), &reply); err != nil {
		w.t.Fatalf("%s: %v", w.replies.Text(), err)
	}
	return reply
}

// Secrets are found wherever they are put, with and without a schema.
func TestSecrets(t *testing.T) {
	room := startRoom(t)
	const resume = "a-token-of-an-earlier-session"
	for _, test := range []struct {
		name     string
		decoding tap.Decoding
	}{
		{"with a schema", tap.Decoding{Schema: chatSchema(t), Hide: []string{"nickname"}}},
		{"without a schema", tap.Decoding{Hide: []string{"nickname"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			watched := startTap(t, &tap.Proxy{Server: room, Decoding: test.decoding})
			w := dial(t, watched.address)
			w.ask(`{"action":"chat.v1.ChatService/Send","data":{"password":"` + aSecret + `"}}`)
			token := w.ask(`{"action":"handShake","data":{"username":"ada","password":"` + aSecret + `","resumeToken":"` +
				base64.StdEncoding.EncodeToString([]byte(resume)) + `","Password":"` + aSecret + `"}}`).Token
			for _, packet := range []string{
				// malformed, and what does not belong where it is
				`{"action":"chat.v1.ChatService/Send","data":{"text":"a"},"kind":7,"message":"x","token":"TOKEN"}`,
				`{"action":"chat.v1.ChatService/Send","data":{"text":{"password":"SECRET"}},"token":"TOKEN"}`,
				`{"action":"chat.v1.ChatService/Send","data":{"text":5,"secret":"SECRET"},"token":"TOKEN"}`,
				`{"action":"handShake","data":{"username":"SECRET"},"data":"SECRET","token":"TOKEN"}`,
				// names of secrets, as they may be written
				`{"action":"chat.v1.ChatService/Send","data":{"API-Key":"SECRET","Auth_Token":["SECRET",{"a":"SECRET"}]},"token":"TOKEN"}`,
				`{"action":"some/Login","data":{"user":{"passWord":"SECRET"},"nickName":"SECRET"},"token":"TOKEN"}`,
				`{"action":"some/Login","metadata":{"proxy-authorization":["SECRET"],"cookie":"SECRET"},"token":"TOKEN"}`,
				// the token where it does not belong
				`{"action":"TOKEN","data":{"text":"a TOKEN"},"metadata":{"a":"TOKEN"},"token":"TOKEN"}`,
				`{"action":"chat.v1.ChatService/Send","data":{"TOKEN":"` + resume + `"},"token":"` + resume + `"}`,
				`{"action":"chat.v1.ChatService/Send","data":{"text":"\u0054OKEN"},"token":"TOKEN"}`,
			} {
				packet = strings.ReplaceAll(packet, `\u0054OKEN`, fmt.Sprintf(`\u%04x%s`, token[0], token[1:]))
				w.ask(strings.NewReplacer("SECRET", aSecret, "TOKEN", token).Replace(packet))
			}
			w.nc.Close()
			watched.waitKind(t, tap.KindClosed)
			events := watched.all()
			for _, secret := range []string{aSecret, token, resume} {
				checkSecret(t, events, secret)
			}
			checkReplay(t, events)
			if shown := lines(tap.View{Full: true}, events); !strings.Contains(shown, `"username":"ada"`) || !strings.Contains(shown, "bears another token") {
				t.Errorf("too much is hidden:\n%s", shown)
			}
		})
	}
}
