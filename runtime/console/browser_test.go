package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// events are the pushes that a client of a test receives.
type events struct {
	chatv1packetrpc.UnimplementedChatEventsHandler
	joined chan string
}

func (e *events) Joined(_ context.Context, request *chatv1.JoinedRequest) error {
	e.joined <- request.GetName()
	return nil
}

// tab is a browser that shows a console.
type tab struct {
	*browser
	site *site
}

// openConsole opens the console as root, in a window of a desktop.
func openConsole(t *testing.T, s *site) *tab {
	t.Helper()
	b := &tab{startBrowser(t), s}
	b.screen(1200, 900, "light")
	b.open("http://root:of%20root@" + s.console.Listener.Addr().String() + "/")
	b.await("the server to be ready", `document.getElementById("status").textContent === "ready"`)
	return b
}

// visit goes to a page of the console.
func (b *tab) visit(page, parameter, value string) {
	b.t.Helper()
	hash := "#" + page
	if parameter != "" {
		hash += "?" + url.Values{parameter: {value}}.Encode()
	}
	b.run(`document.querySelector("main").replaceChildren(); location.hash = "#"; location.hash = arguments[0]`, nil, hash)
	b.await("the page "+page, `document.querySelector("main .card")`)
}

// callTo opens the form of an action.
func (b *tab) callTo(action string) {
	b.t.Helper()
	b.visit("call", "action", action)
	b.await("the form of "+action, `document.querySelector("main select").value === arguments[0]`, action)
}

// ends waits for the end of a call, whose result has a text.
func (b *tab) ends(text string) {
	b.t.Helper()
	b.await("the result "+text, `document.querySelector(".end").innerText.includes(arguments[0])`, text)
}

// reply returns a reply that is shown.
func (b *tab) reply(number int) any {
	b.t.Helper()
	var text string
	b.run(`return document.querySelectorAll(".replies pre")[arguments[0]].textContent`, &text, number)
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		b.t.Fatalf("%v in %s", err, text)
	}
	return value
}

// The tests of the browser share one, as it takes long to start.
func TestBrowser(t *testing.T) {
	s := newSite(t)
	received := &events{joined: make(chan string, 10)}
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, received)
	ada := s.dial("ada", client.WithHandlers(handlers))
	b := openConsole(t, s)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *tab)
	}{
		{"updates", testUpdates},
		{"unary call", testUnaryCall},
		{"failing call", testFailingCall},
		{"form", testForm},
		{"form as JSON", testFormAsJSON},
		{"streams", testStreams},
		{"cancelled stream", testCancelledStream},
		{"push", func(t *testing.T, b *tab) { testPush(t, b, ada, received) }},
		{"disconnect", func(t *testing.T, b *tab) { testDisconnect(t, b, ada) }},
		{"hostile texts", testHostileTexts},
		{"phone", testPhone},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &tab{&browser{t, b.session}, &site{t, s.srv, s.chat, s.serving, s.console}}
			test.run(t, b)
			if complaints := b.complaints(); len(complaints) > 0 {
				t.Errorf("the browser complains of %s", strings.Join(complaints, "\n"))
			}
		})
	}
}

func testUpdates(t *testing.T, b *tab) {
	b.visit("overview", "", "")
	b.run(`window.unchanged = true`, nil)
	const clients = `document.querySelector(".tile .value").innerText === arguments[0]`
	b.await("one client", clients, "1")
	bob := b.site.dial("root")
	b.await("another client", clients, "2")
	chat := chatv1packetrpc.NewChatServiceClient(bob)
	if _, err := chat.Send(within(t), &chatv1.SendRequest{}); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
		t.Errorf("sending nothing: %v", err)
	}
	b.await("a failure", `document.querySelector("main").innerText.includes("there is no text")`)

	b.visit("actions", "", "")
	const calls = `[...document.querySelectorAll("tbody tr")].find((row) => row.innerText.includes(arguments[0])).querySelector('[data-label="Calls"]').innerText === arguments[1]`
	b.await("one call", calls, "ChatService/Send", "1")
	if _, err := chat.Send(within(t), &chatv1.SendRequest{Text: "x"}); err != nil {
		t.Error(err)
	}
	b.await("two calls", calls, "ChatService/Send", "2")
	b.await("a duration", `[...document.querySelectorAll('[data-label="p99"]')].some((e) => /[0-9] (µs|ms|s)/.test(e.innerText))`)

	b.visit("clients", "", "")
	b.visible("tbody tr", bob.ID())
	bob.Close()
	b.await("it to go", `!document.querySelector("main").innerText.includes(arguments[0])`, bob.ID())
	b.await("the page not to be another one", `window.unchanged`)
}

func testUnaryCall(t *testing.T, b *tab) {
	for _, form := range []string{"binary", "json"} {
		b.callTo(chatv1packetrpc.ChatServiceSendAction)
		b.typeInto(b.field("text", "textarea"), "hello")
		b.press("summary", "Metadata")
		b.typeInto(b.visible("details textarea", ""), "language: en")
		b.set(b.visible("details select", ""), form)
		b.press("button", "Call")
		b.ends("ok")
		if diff := cmp.Diff(map[string]any{"number": 5.0}, b.reply(0)); diff != "" {
			t.Errorf("the reply: %s", diff)
		}
		shown := b.text("main")
		for _, part := range []string{
			`"action": "chat.v1.ChatService/Send"`, `"text": "hello"`, `"number": 5`, `"token": "masked"`, `"language": "en"`,
			"0a 05 68 65 6c 6c 6f", "KIND_RESPONSE", "chat.v1.SendResponse", "heard-in: en",
		} {
			if !strings.Contains(shown, part) {
				t.Errorf("in the %s form the page does not show %q: %s", form, part, shown)
			}
		}
	}
}

func testFailingCall(t *testing.T, b *tab) {
	b.callTo(chatv1packetrpc.ChatServiceSendAction)
	b.press("button", "Call")
	b.ends("invalid_argument there is no text (answered")
	if shown := b.text(".results"); !strings.Contains(shown, `"maxLength": 1000`) {
		t.Errorf("the error's detail is not shown: %s", shown)
	}
}

// addButton is a list's or a map's.
const addButton = ":scope > div > button"

func testForm(t *testing.T, b *tab) {
	b.callTo("consoletest/Everything")
	for name, value := range map[string]string{"small": "-3", "large": "9007199254740993", "real": "1.5", "ratio": "-0.25", "fixed": "7", "maybe": "12"} {
		b.typeInto(b.field(name, "input"), value)
	}
	b.typeInto(b.field("text", "textarea"), "<b>two words</b>")
	b.typeInto(b.field("raw", "textarea"), "AQID")
	b.typeInto(b.field("perhaps", "input[type=number]"), "0")
	b.typeInto(b.field("within", "input"), "1.5")
	b.typeInto(b.field("any", "textarea"), `{"key": [1, null]}`)
	b.click(b.field("flag", "input"))
	b.set(b.field("colour", "select"), "COLOUR_RED")
	b.set(b.field("when", "input"), "2024-02-03T04:05:06")
	for _, word := range []string{"one", "two"} {
		b.click(b.field("words", addButton))
		b.typeInto(b.field("words", ".row:last-child textarea"), word)
	}
	b.click(b.field("numbers", addButton))
	b.click(b.field("ages", addButton))
	b.typeInto(b.field("ages", ".row textarea"), "ada")
	b.typeInto(b.field("ages", ".row input"), "36")
	b.click(b.field("colours", addButton))
	b.set(b.field("colours", ".row select"), "true")
	b.set(b.field("choice", "select"), "code")
	b.typeInto(b.field("code", "input"), "18446744073709551615")
	b.click(b.field("inside", "button"))
	b.click(b.field("inside", "input[type=checkbox]"))
	b.press("button", "Call")
	b.ends("ok")
	var when string
	b.run(`return new Date("2024-02-03T04:05:06").toISOString().replace(".000", "")`, &when)
	want := map[string]any{
		"flag": true, "small": -3.0, "large": "9007199254740993", "real": 1.5, "text": "<b>two words</b>", "raw": "AQID",
		"colour": "COLOUR_RED", "perhaps": 0.0, "words": []any{"one", "two"}, "numbers": []any{0.0}, "ages": map[string]any{"ada": 36.0},
		"inside": map[string]any{"flag": true}, "code": "18446744073709551615", "when": when, "within": "1.500s",
		"any": map[string]any{"key": []any{1.0, nil}}, "maybe": "12", "colours": map[string]any{"true": "COLOUR_UNSPECIFIED"},
		"ratio": -0.25, "fixed": 7.0,
	}
	if diff := cmp.Diff(want, b.reply(0)); diff != "" {
		t.Errorf("what the server got is another message (-want +got):\n%s", diff)
	}
}

func testFormAsJSON(t *testing.T, b *tab) {
	b.callTo("consoletest/Everything")
	b.typeInto(b.field("small", "input"), "1")
	b.press("label", "JSON")
	text := b.visible("textarea.code", "")
	var value string
	b.run(`return arguments[0].value`, &value, text)
	if value != "{\n  \"small\": 1\n}" {
		t.Errorf("of the form comes %s", value)
	}
	b.set(text, `{"small": `)
	b.press("button", "Call")
	b.await("what is no JSON to be told", `document.querySelector(".problem").innerText !== ""`)
	b.set(text, `{"words": ["a"]}`)
	b.press("button", "Call")
	b.ends("ok")
	if diff := cmp.Diff(map[string]any{"words": []any{"a"}}, b.reply(0)); diff != "" {
		t.Errorf("the reply: %s", diff)
	}
}

const replies = `document.querySelectorAll(".replies pre").length === arguments[0]`

func testStreams(t *testing.T, b *tab) {
	b.callTo(chatv1packetrpc.ChatServiceTalkAction)
	b.press("button", "Open the stream")
	for i, line := range []string{"one", "two"} {
		b.await("the stream to be open", `!document.querySelectorAll("form button[type=button]")[0].disabled`)
		b.set(b.field("text", "textarea"), line)
		b.press("button", "Send the message")
		b.await("its reply", replies, i+1)
		if diff := cmp.Diff(map[string]any{"text": "you said " + line}, b.reply(i)); diff != "" {
			t.Errorf("reply %d: %s", i, diff)
		}
	}
	b.press("button", "Half-close")
	b.ends("ok")

	b.callTo(chatv1packetrpc.ChatServiceHistoryAction)
	b.typeInto(b.field("limit", "input"), "3")
	b.press("button", "Call")
	b.ends("3 replies")
	b.await("three replies", replies, 3)
}

func testCancelledStream(t *testing.T, b *tab) {
	b.callTo(chatv1packetrpc.ChatServiceImportAction)
	b.press("button", "Open the stream")
	eventually(t, "the call to be under way", func() bool { return b.site.srv.Stats().Calls == 1 })
	b.press("button", "Cancel")
	b.ends("canceled by you")
	eventually(t, "no call to be under way", func() bool { return b.site.srv.Stats().Calls == 0 })
	eventually(t, "its client to go", func() bool { return b.site.srv.Count() == 1 })
}

func testPush(t *testing.T, b *tab, ada *client.Client, received *events) {
	b.visit("clients", "", "")
	b.press("tbody a", "Push")
	b.set(b.visible("main select", ""), "chat.v1.ChatEvents/Joined")
	for range 2 { // the second time to all
		b.typeInto(b.field("name", "textarea"), "somebody")
		b.press("button", "Call")
		b.ends("ok")
		if got := receive(t, received.joined); got != "somebody" {
			t.Errorf("%q was pushed", got)
		}
		b.visit("push", "action", "chat.v1.ChatEvents/Joined")
	}
	if ada.Err() != nil {
		t.Error(ada.Err())
	}
}

func testDisconnect(t *testing.T, b *tab, ada *client.Client) {
	b.visit("clients", "", "")
	b.press("tbody button", "Disconnect")
	b.typeInto(b.visible("dialog input", ""), "flooding")
	b.press("dialog button", "Disconnect")
	receive(t, ada.Done())
	if !strings.Contains(ada.Err().Error(), "flooding") {
		t.Errorf("the client was told %v", ada.Err())
	}
	b.await("the dialog to close", `!document.querySelector("dialog")`)
	b.await("no client", `!document.querySelector("tbody tr")`)
}

// eachPage goes to the pages of the console, one after the other.
func (b *tab) eachPage(do func(page string)) {
	b.t.Helper()
	for _, page := range []string{"overview", "clients", "actions", "failures", "call", "push"} {
		b.visit(page, "", "")
		do(page)
	}
}

// trouble makes a client, a group, a failed call and a service that is not ready, all of
// which have a text in their names or messages.
func (b *tab) trouble(text string) *client.Client {
	b.t.Helper()
	c := b.site.dial(text)
	peer, _ := b.site.srv.Connection(c.ID())
	if err := peer.Join(text); err != nil {
		b.t.Error(err)
	}
	if _, err := chatv1packetrpc.NewChatServiceClient(c).Send(within(b.t), &chatv1.SendRequest{Text: "fail: " + text}); err == nil {
		b.t.Error("the call does not fail")
	}
	b.site.srv.SetHealth("chat.v1.ChatService", errors.New(text))
	b.t.Cleanup(func() { b.site.srv.SetHealth("chat.v1.ChatService", nil) })
	return c
}

// Names and messages that look like markup are shown as they are.
func testHostileTexts(t *testing.T, b *tab) {
	const markup = `<img src=x onerror="document.title='taken over'"><script>document.title='taken over'</script>`
	b.trouble(markup)
	shown := map[string]int{"overview": 3, "clients": 2, "failures": 2}
	b.eachPage(func(page string) {
		b.await("the texts on the page "+page, `document.querySelector("main").innerText.split(arguments[0]).length > arguments[1]`, markup, shown[page])
	})
	b.callTo(chatv1packetrpc.ChatServiceTalkAction)
	b.press("button", "Open the stream")
	b.await("the stream to be open", `!document.querySelectorAll("form button[type=button]")[0].disabled`)
	b.set(b.field("text", "textarea"), markup)
	b.press("button", "Send the message")
	b.await("its reply", replies, 1)
	var found struct {
		Images int
		Title  string
	}
	b.run(`return {Images: document.querySelectorAll("main img, main script").length, Title: document.title}`, &found)
	if found.Images != 0 || strings.Contains(found.Title, "taken over") {
		t.Errorf("a text became markup: %+v", found)
	}
}

// overflows is a script that returns what is wider than its place, though it does not
// scroll there.
const overflows = `
	const found = [];
	const page = document.scrollingElement;
	if (page.scrollWidth > page.clientWidth) found.push("the page: " + page.scrollWidth + " px");
	const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
	for (const e of document.querySelectorAll("body *")) {
		const name = e.tagName + " " + e.className + " " + e.textContent.slice(0, 40);
		if (e.closest("svg, caption, input, textarea, option") || e.clientWidth === 0) continue;
		if (e.scrollWidth > e.clientWidth + 1 && !scrolls(e)) found.push(name + ": " + e.scrollWidth + " px in " + e.clientWidth);
		let inside = e.parentElement;
		while (inside && !scrolls(inside)) inside = inside.parentElement;
		if (!inside && e.getBoundingClientRect().right > page.clientWidth + 1) found.push(name + " leaves the page");
	}
	return found;`

func testPhone(t *testing.T, b *tab) {
	b.screen(360, 740, "dark")
	defer b.screen(1200, 900, "light")
	long := strings.Repeat("abcdefghij", 25)
	c := b.trouble(long)
	check := func(where string) {
		t.Helper()
		var found []string
		if b.run(overflows, &found); len(found) > 0 {
			t.Errorf("on a phone %s has too little room: %s", where, strings.Join(found, "\n"))
		}
	}
	texts := map[string]int{"overview": 3, "clients": 2, "failures": 2}
	b.eachPage(func(page string) {
		b.await("the texts on the page "+page, `document.querySelector("main").innerText.split(arguments[0]).length > arguments[1]`, long, texts[page])
		check("the page " + page)
	})
	b.visit("push", "group", long)
	check("a push to a group")

	b.visit("clients", "", "")
	b.press("tbody tr:last-child button", "Disconnect")
	b.visible("dialog", c.ID())
	check("the dialog")
	b.press("dialog button", "Keep")

	b.callTo("consoletest/Everything")
	for _, name := range []string{"words", "ages", "colours", "more"} {
		b.click(b.field(name, addButton))
	}
	b.click(b.field("inside", "button"))
	b.typeInto(b.field("text", "textarea"), long)
	b.press("summary", "Metadata")
	b.press("button", "Call")
	b.ends("ok")
	check("the form with its result")
}
