package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestConsole(t *testing.T) {
	address := "unix:" + filepath.Join(t.TempDir(), "chat")
	room := start(t, "server", "--listen", address, "--console", "127.0.0.1:0")
	page, found := strings.CutPrefix(room.next(), "the console is at ")
	if !found {
		t.Fatal("the server does not say where the console is")
	}
	room.next()
	ada := start(t, "client", "--server", address, "--name", "ada")
	ada.expect("* ada has joined")
	for name, want := range map[string]int{"admin": http.StatusOK, "ada": http.StatusUnauthorized} {
		request, err := http.NewRequestWithContext(within(t), http.MethodGet, page+"/api/state", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(name, "")
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		state, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != want || strings.Contains(string(state), `"name":"ada"`) != (want == http.StatusOK) {
			t.Errorf("%s gets %d %s, %v, want %d", name, response.StatusCode, state, err, want)
		}
	}
}

func TestConsoleAddress(t *testing.T) {
	err := run(within(t), []string{"server", "--listen", "127.0.0.1:0", "--console", "nowhere"}, nil, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("the room is opened: %v", err)
	}
}
