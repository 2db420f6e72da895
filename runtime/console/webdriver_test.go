package console_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// browser is a headless Chromium that a test drives by the WebDriver protocol.
type browser struct {
	t       *testing.T
	session string // its URL
}

var driverPort = regexp.MustCompile(`successfully on port (\d+)`)

// startBrowser starts a browser that ends with the test. Where Chromium or its driver is
// not installed, the test is skipped.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	for _, program := range []string{"chromium", "chromedriver"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed (Debian: chromium, chromium-driver)", program)
		}
	}
	b := &browser{t: t, session: startDriver(t)}
	var created struct{ SessionID string }
	b.ask(http.MethodPost, "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"browserName":        "chrome",
		"goog:loggingPrefs":  map[string]string{"browser": "ALL"},
		"goog:chromeOptions": map[string]any{"args": chromiumArgs(t.TempDir())},
	}}}, &created)
	b.session += "/session/" + created.SessionID
	t.Cleanup(func() { b.ask(http.MethodDelete, "", nil, nil) })
	return b
}

func chromiumArgs(profile string) []string {
	return []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + profile,
	}
}

// startDriver starts chromedriver on a free port and returns its URL.
func startDriver(t *testing.T) string {
	command := exec.Command("chromedriver", "--port=0")
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if found := driverPort.FindStringSubmatch(lines.Text()); found != nil {
			return "http://127.0.0.1:" + found[1]
		}
	}
	t.Fatal("chromedriver did not say on which port it listens")
	return ""
}

// ask makes a request of the protocol and decodes the answer's value.
func (b *browser) ask(method, path string, body, into any) {
	b.t.Helper()
	if err := b.try(method, path, body, into); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) try(method, path string, body, into any) error {
	var content io.Reader
	if method == http.MethodPost {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, b.session+path, content)
	if err != nil {
		return err
	}
	request.Close = true // so that no connection outlives the test
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, answer.Value)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Value, into)
}

// devTools sends a command of the DevTools protocol.
func (b *browser) devTools(command string, params map[string]any) {
	b.t.Helper()
	b.ask(http.MethodPost, "/goog/cdp/execute", map[string]any{"cmd": command, "params": params}, nil)
}

// screen makes the browser's window so wide and high, in a colour scheme.
func (b *browser) screen(width, height int, scheme string) {
	b.t.Helper()
	b.devTools("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
	b.devTools("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.ask(http.MethodPost, "/url", map[string]string{"url": url}, nil)
}

// run runs a script, which returns a value, in the page.
func (b *browser) run(script string, into any, args ...any) {
	b.t.Helper()
	if args == nil {
		args = []any{}
	}
	b.ask(http.MethodPost, "/execute/sync", map[string]any{"script": script, "args": args}, into)
}

// await waits until a script returns true, and fails with what the page shows if it does
// not.
func (b *browser) await(what, script string, args ...any) {
	b.t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var holds bool
		if b.run("return Boolean("+script+")", &holds, args...); holds {
			return
		}
		if time.Now().After(limit) {
			var text string
			b.run("return document.body.innerText", &text)
			b.t.Fatalf("in vain waited for %s; the page shows\n%s", what, text)
		}
	}
}

// element is the reference to an element that the protocol uses.
type element map[string]string

func (e element) path(t *testing.T, action string) string {
	t.Helper()
	for _, id := range e {
		return "/element/" + id + "/" + action
	}
	t.Fatal("no reference to an element")
	return ""
}

// find waits for an element that a script returns.
func (b *browser) find(what, script string, args ...any) element {
	b.t.Helper()
	var found element
	b.await(what, "(() => {"+script+"}).apply(null, arguments)", args...)
	b.run(script, &found, args...)
	return found
}

// visible returns the first element that can be seen, that a CSS selector picks, and whose
// text has a part.
func (b *browser) visible(selector, text string) element {
	b.t.Helper()
	return b.find(fmt.Sprintf("%s with %q", selector, text),
		`return [...document.querySelectorAll(arguments[0])].find((e) => e.textContent.includes(arguments[1]) && e.checkVisibility()) ?? null`,
		selector, text)
}

// field returns the control of the form's field with a name; nested ones are found as
// well.
func (b *browser) field(name, control string) element {
	b.t.Helper()
	return b.find("the field "+name, `
		const field = [...document.querySelectorAll(".field")].find((e) => e.querySelector(".head .name")?.textContent === arguments[0]);
		return field?.querySelector(arguments[1]) ?? null`, name, control)
}

func (b *browser) click(e element) {
	b.t.Helper()
	b.ask(http.MethodPost, e.path(b.t, "click"), map[string]any{}, nil)
}

// press clicks what can be seen and has a text.
func (b *browser) press(selector, text string) {
	b.t.Helper()
	b.click(b.visible(selector, text))
}

func (b *browser) typeInto(e element, text string) {
	b.t.Helper()
	b.ask(http.MethodPost, e.path(b.t, "value"), map[string]any{"text": text}, nil)
}

// set gives a control a value that is not typed, as when something is picked.
func (b *browser) set(e element, value string) {
	b.t.Helper()
	b.run(`arguments[0].value = arguments[1];
		for (const event of ["input", "change"]) arguments[0].dispatchEvent(new Event(event, {bubbles: true}));`, nil, e, value)
}

// text returns what can be read of the first element that a CSS selector picks.
func (b *browser) text(selector string) string {
	b.t.Helper()
	var text string
	b.run(`return document.querySelector(arguments[0])?.innerText ?? ""`, &text, selector)
	return text
}

// complaints returns what the browser has logged since the last time, such as errors of
// scripts and violations of the content security policy.
func (b *browser) complaints() []string {
	b.t.Helper()
	var entries []struct{ Level, Message string }
	b.ask(http.MethodPost, "/se/log", map[string]string{"type": "browser"}, &entries)
	var complaints []string
	for _, entry := range entries {
		complaints = append(complaints, entry.Level+" "+entry.Message)
	}
	return complaints
}

// screenshot returns what the window shows as a PNG.
func (b *browser) screenshot() []byte {
	b.t.Helper()
	var text string
	b.ask(http.MethodGet, "/screenshot", nil, &text)
	picture, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return picture
}
