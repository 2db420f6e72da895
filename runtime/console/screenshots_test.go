package console_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var (
	screenshots = flag.String("screenshots", "", "the folder to write the pictures of docs/console.md to")
	consoleURL  = flag.String("console", "", "the console that they show, with name and password, as in http://admin:x@127.0.0.1:8080/")
)

// TestScreenshots makes the pictures of docs/console.md, of a console that runs somewhere
// and has been used for a while.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("makes pictures, with -screenshots FOLDER -console URL")
	}
	b := &tab{startBrowser(t), nil}
	b.devTools("Emulation.setScrollbarsHidden", map[string]any{"hidden": true})
	b.screen(1280, 860, "light")
	b.open(*consoleURL)
	b.await("a minute of calls", `document.querySelector(".timeline .line")?.getAttribute("d").split("L").length >= 60`)
	picture := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), b.screenshot(), 0o644); err != nil {
			t.Error(err)
		}
	}
	picture("overview")
	b.visit("actions", "", "")
	picture("actions")
	b.visit("clients", "", "")
	b.visible("tbody tr", "ada")
	picture("clients")
	b.callTo("chat.v1.ChatService/Send")
	b.typeInto(b.field("text", "textarea"), "hello from the console")
	b.press("button", "Call")
	b.ends("ok")
	picture("call")

	b.screen(360, 740, "dark")
	b.visit("overview", "", "")
	picture("phone-overview")
	b.visit("actions", "", "")
	picture("phone-actions")
}
