package console_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// state is what tests look at of the state.
type state struct {
	Time  time.Time
	User  struct{ Name string }
	Stats server.Stats

	Health []struct{ Service, Problem string }

	Clients []struct {
		ID, Name, Address, Form string
		Roles, Groups           []string
		Encrypted, Away         bool
		Connected               time.Time
		Received, Sent, Calls   int
	}
	Matching int
	Groups   []struct {
		Name    string
		Members int
	}
	InGroups int
	Actions  []counted
	Failures []struct {
		Number                        uint64
		Time                          time.Time
		Client, Name, Action, Message string
		Outgoing                      bool
		Code                          string
	}
}

type counted struct {
	Action        string
	Outgoing      bool
	Begun, Failed int
	First         int
	Buckets       []int
}

func (c counted) ended() (sum int) {
	for _, n := range c.Buckets {
		sum += n
	}
	return sum
}

func (s *site) state(query string) *state {
	s.t.Helper()
	now := new(state)
	s.get("/api/state"+query, now)
	return now
}

// of returns what is counted of an action.
func (s *state) of(action string, outgoing bool) counted {
	for _, one := range s.Actions {
		if one.Action == action && one.Outgoing == outgoing {
			return one
		}
	}
	return counted{}
}

func TestState(t *testing.T) {
	s := newSite(t)
	began := time.Now().Add(-time.Minute)
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, &events{joined: make(chan string, 10)})
	ada, root := s.dial("ada", client.WithHandlers(handlers)), s.dial("root", client.WithJSON())
	for _, peer := range s.srv.Connections() {
		peer.Join("lobby")
	}
	peer, _ := s.srv.Connection(ada.ID())
	peer.Join("writers")
	s.srv.SetHealth("chat.v1.ChatService", fmt.Errorf("the room is being cleaned"))

	now := s.state("")
	if now.User.Name != "root" || now.Time.Before(began) || now.Stats.Connections != 2 || now.Stats.Connected != 2 {
		t.Errorf("the state is %+v", now)
	}
	if len(now.Clients) != 2 || now.Matching != 2 {
		t.Fatalf("the clients are %+v", now.Clients)
	}
	first, second := now.Clients[0], now.Clients[1]
	if first.ID != ada.ID() || first.Name != "ada" || first.Form != "binary" || first.Address != peer.RemoteAddr().String() ||
		first.Received == 0 || first.Sent == 0 || first.Away || first.Encrypted || first.Connected.Before(began) ||
		!cmp.Equal(first.Groups, []string{"lobby", "writers"}) || first.Roles == nil {
		t.Errorf("the first client is %+v", first)
	}
	if second.ID != root.ID() || second.Form != "json" || !cmp.Equal(second.Roles, []string{"admin", "auditor"}) {
		t.Errorf("the second client is %+v", second)
	}
	if got := fmt.Sprint(now.Groups, now.InGroups); got != "[{lobby 2} {writers 1}] 2" {
		t.Errorf("the groups are %s", got)
	}
	health := fmt.Sprint(now.Health)
	if !strings.Contains(health, "{packetrpc.v1.CoreService }") || !strings.Contains(health, "{chat.v1.ChatService the room is being cleaned}") {
		t.Errorf("the health is %s", health)
	}
	for find, want := range map[string]int{"ada": 1, "lobby": 2, "writers": 1, "auditor": 1, root.ID(): 1, "client-": 2, "nobody": 0} {
		if now := s.state("?find=" + find); now.Matching != want || len(now.Clients) != want || now.InGroups != 2 {
			t.Errorf("%d clients are found by %q, want %d", now.Matching, find, want)
		}
	}
}

// Calls are counted in both directions, and failures remembered.
func TestCounting(t *testing.T) {
	s := newSite(t)
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, &events{joined: make(chan string, 10)})
	ada := s.dial("ada", client.WithHandlers(handlers))
	room := chatv1packetrpc.NewChatServiceClient(ada)
	for _, text := range []string{"hello", "hello", "", "fail: " + strings.Repeat("ä", 400), "panic"} {
		_, _ = room.Send(within(t), &chatv1.SendRequest{Text: text})
	}
	history, err := room.History(within(t), &chatv1.HistoryRequest{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range history.All() {
		if err != nil {
			t.Error(err)
		}
	}
	peer := s.srv.Connections()[0]
	_, err = chatv1packetrpc.NewChatEventsClient(peer).Status(within(t), &chatv1.StatusRequest{}) // which is unimplemented
	if packetrpc.CodeOf(err) != packetrpc.CodeUnimplemented {
		t.Errorf("the client answers %v", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := room.Send(t.Context(), &chatv1.SendRequest{Text: "wait"})
		waiting <- err
	}()
	eventually(t, "a call under way", func() bool { return s.srv.Stats().Calls == 1 })

	eventually(t, "what has ended to be counted", func() bool { // which is after the answer
		now := s.state("")
		return now.of(chatv1packetrpc.ChatServiceSendAction, false).ended() == 5 && now.of(chatv1packetrpc.ChatServiceHistoryAction, false).ended() == 1
	})
	now := s.state("")
	for _, want := range []counted{
		{Action: chatv1packetrpc.ChatServiceSendAction, Begun: 6, Failed: 3},
		{Action: chatv1packetrpc.ChatServiceHistoryAction, Begun: 1},
		{Action: chatv1packetrpc.ChatEventsStatusAction, Outgoing: true, Begun: 1, Failed: 1},
	} {
		got := now.of(want.Action, want.Outgoing)
		if got.Begun != want.Begun || got.Failed != want.Failed {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if len(now.Failures) != 4 {
		t.Fatalf("the failures are %+v", now.Failures)
	}
	for i, want := range []struct{ action, code, message string }{
		{chatv1packetrpc.ChatEventsStatusAction, "unimplemented", ""},
		{chatv1packetrpc.ChatServiceSendAction, "internal", "the handler did not return"},
		{chatv1packetrpc.ChatServiceSendAction, "aborted", "äää"},
		{chatv1packetrpc.ChatServiceSendAction, "invalid_argument", "there is no text"},
	} {
		got := now.Failures[i]
		if got.Action != want.action || got.Code != want.code || !strings.Contains(got.Message, want.message) ||
			got.Client != ada.ID() || got.Name != "ada" || got.Outgoing != (i == 0) || got.Number != uint64(4-i) || got.Time.IsZero() {
			t.Errorf("failure %d is %+v, want %+v", i, got, want)
		}
		if len(got.Message) > 510 {
			t.Errorf("the message of failure %d has %d bytes", i, len(got.Message))
		}
	}
	peer.Disconnect("the test is over")
	<-waiting
}

func TestFailuresAreBounded(t *testing.T) {
	s := newSite(t)
	room := chatv1packetrpc.NewChatServiceClient(s.dial("ada"))
	for i := range 150 {
		_, _ = room.Send(within(t), &chatv1.SendRequest{Text: fmt.Sprint("fail: ", i)})
	}
	eventually(t, "the last failure", func() bool { return s.state("").of(chatv1packetrpc.ChatServiceSendAction, false).ended() == 150 })
	failures := s.state("").Failures
	if len(failures) != 100 || failures[0].Number != 150 || failures[0].Message != "149" || failures[99].Number != 51 || failures[99].Message != "50" {
		t.Errorf("there are %d failures, from %+v to %+v", len(failures), failures[0], failures[len(failures)-1])
	}
}

// However many actions the server makes up to call at clients, only so many are counted
// each by itself.
func TestSeriesAreBounded(t *testing.T) {
	s := newSite(t)
	s.dial("ada")
	peer := s.srv.Connections()[0]
	const made = 2500
	for i := range made {
		spec := &packetrpc.Spec{Action: fmt.Sprint("consoletest/", i), Type: packetrpc.OneWay}
		if err := peer.CallOneWay(within(t), spec, &chatv1.SendRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	now := s.state("")
	series, calls := 0, 0
	for _, one := range now.Actions {
		if one.Outgoing {
			series++
			calls += one.Begun
		}
	}
	rest := now.of("(others)", true)
	if series > 1001 || calls != made || rest.Begun < made-1000 {
		t.Errorf("%d calls are counted in %d series, %d of them among others", calls, series, rest.Begun)
	}
}

func TestClientsShownAreBounded(t *testing.T) {
	s := newSite(t)
	for i := range 205 {
		s.dial(fmt.Sprint("user", i), client.WithoutReconnect())
	}
	for i, peer := range s.srv.Connections() {
		peer.Join(fmt.Sprint("group", i))
	}
	now := s.state("?find=user")
	if len(now.Clients) != 200 || now.Matching != 205 || len(now.Groups) != 200 || now.InGroups != 205 {
		t.Errorf("%d of %d clients are shown, and %d of %d groups", len(now.Clients), now.Matching, len(now.Groups), now.InGroups)
	}
}
