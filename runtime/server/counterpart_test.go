package server_test

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// openssl is a TLS client that is not ours.
type openssl struct {
	t     *testing.T
	input io.WriteCloser
	lines *bufio.Reader
	notes chan string // what openssl says of itself
}

func findOpenSSL(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	return program
}

// connectOpenSSL runs `openssl s_client`, which passes on what it is sent.
func connectOpenSSL(t *testing.T, address string, args ...string) *openssl {
	t.Helper()
	args = append([]string{"s_client", "-connect", address}, args...)
	command := exec.CommandContext(within(t), findOpenSSL(t), args...)
	o := &openssl{t: t, notes: make(chan string, 100)}
	notes, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if o.input, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.lines = bufio.NewReader(output)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(o.notes)
		for s := bufio.NewScanner(notes); s.Scan(); {
			o.notes <- s.Text()
		}
	}()
	t.Cleanup(func() {
		o.input.Close()
		command.Process.Kill()
		for range o.notes {
		}
		command.Wait()
	})
	return o
}

func (o *openssl) typeLine(line string) {
	o.t.Helper()
	if _, err := io.WriteString(o.input, line+"\n"); err != nil {
		o.t.Fatal(err)
	}
}

// exchange sends a JSON packet and returns the next one. Other lines are openssl's.
func (o *openssl) exchange(packet string) (p reply) {
	o.t.Helper()
	o.typeLine(packet)
	var line []byte
	for !bytes.HasPrefix(line, []byte("{")) {
		var err error
		if line, err = o.lines.ReadBytes('\n'); err != nil {
			o.t.Fatal(err)
		}
	}
	if err := json.Unmarshal(line, &p); err != nil {
		o.t.Fatal(err)
	}
	return p
}

// openssl connects, sees the server's key, talks JSON inside, and is known by a key
// and certificate that it has made itself.
func TestOpenSSL(t *testing.T) {
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	openssl := func(args ...string) string {
		t.Helper()
		output, err := exec.CommandContext(within(t), findOpenSSL(t), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, output)
		}
		return string(output)
	}
	openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file("ada"))
	openssl("pkey", "-in", file("ada"), "-pubout", "-out", file("ada.pub"))
	openssl("req", "-new", "-x509", "-key", file("ada"), "-subj", "/CN=anybody", "-out", file("ada.crt"))
	public, err := seal.ReadPublicKey(file("ada.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := users.Authorize(t.Context(), file("authorized_keys"), "ada", public, "admin"); err != nil {
		t.Fatal(err)
	}
	keys, err := users.OpenKeys(file("authorized_keys"))
	if err != nil {
		t.Fatal(err)
	}
	key := testKeys().server
	address := listen(t, server.New(server.WithKey(key), server.WithAuthenticator(keys), server.WithLogger(quiet())))

	known := connectOpenSSL(t, address, "-tls1_3", "-key", file("ada"), "-cert", file("ada.crt"))
	p := known.exchange(`{"action":"handShake","data":{"version":1}}`)
	if p.field("status") != "success" {
		t.Fatalf("got %+v", p)
	}
	token := *p.Token
	p = known.exchange(`{"action":"CoreInfo","id":3,"token":"` + token + `"}`)
	described, _ := p.field("client").(map[string]any)
	if described["name"] != "ada" || p.field("encrypted") != true {
		t.Errorf("the server says %+v", p)
	}

	for range 3 {
		known.typeLine("K") // both sides change their keys
		for note := range known.notes {
			if note == "KEYUPDATE" {
				break // what is typed next is data again
			}
		}
		if p := known.exchange(`{"action":"CorePing","id":5,"token":"` + token + `","data":{"text":"again"}}`); p.field("text") != "again" {
			t.Errorf("after a change of keys: %+v", p)
		}
	}

	unknown := connectOpenSSL(t, address, "-tls1_3")
	if p := unknown.exchange(`{"action":"handShake","data":{"version":1,"username":"ada"}}`); p.Status != "unauthenticated" {
		t.Errorf("without a key: %+v", p)
	}

	shown := exec.CommandContext(within(t), findOpenSSL(t), "s_client", "-connect", address, "-showcerts")
	output, _ := shown.Output() // it ends at the end of its input, whatever the server says
	block := regexp.MustCompile(`(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----`).Find(output)
	if err := os.WriteFile(file("server.crt"), block, 0o600); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	want := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if got := openssl("x509", "-in", file("server.crt"), "-noout", "-pubkey"); got != want {
		t.Errorf("openssl shows the key\n%s\nwant\n%s", got, want)
	}
	if !bytes.Contains(output, []byte("TLSv1.3")) {
		t.Errorf("openssl says\n%s", output)
	}
	old, err := exec.CommandContext(within(t), findOpenSSL(t), "s_client", "-connect", address, "-tls1_2").CombinedOutput()
	if err == nil || !bytes.Contains(old, []byte("protocol version")) {
		t.Errorf("TLS 1.2: %v\n%s", err, old)
	}
}

// A Python program that shares no code with this one shakes hands, calls and reads the
// reply, all of it sealed.
func TestPythonSeals(t *testing.T) {
	python := findJWCrypto(t)
	key := testKeys().server
	srv := server.New(server.WithKey(key), server.AllowPlaintext(), knows("ada", "correct-horse"), server.WithLogger(quiet()),
		server.WithFailureDelay(1, 0, 0))
	v := registerVault(srv)
	tapped := tap(t, listen(t, srv))
	public := filepath.Join(t.TempDir(), "server")
	if err := seal.WriteKeyPair(public, key); err != nil {
		t.Fatal(err)
	}
	run := func(password, action string) (string, error) {
		output, err := exec.CommandContext(within(t), python, "testdata/sealed.py", tapped.address, public+".pub",
			"ada", password, action, `"battery-staple"`).CombinedOutput()
		return strings.TrimSpace(string(output)), err
	}
	if got, err := run("correct-horse", sealedUnary.Action); err != nil || got != `"reply to battery-staple"` {
		t.Errorf("the program prints %s, %v", got, err)
	}
	if got := receive(t, v.ran); got != "battery-staple" {
		t.Errorf("the handler was told %q", got)
	}
	for _, hidden := range []string{"correct-horse", "battery-staple"} {
		if bytes.Contains(tapped.captured(), []byte(hidden)) {
			t.Errorf("%q can be read", hidden)
		}
	}
	if got, err := run("a guess", sealedUnary.Action); err == nil || got != packetrpc.CodeUnauthenticated.String()+": the name or the password is wrong" {
		t.Errorf("with a wrong password it prints %s, %v", got, err)
	}
	if got, err := run("correct-horse", "CoreInfo"); err == nil || !strings.Contains(got, "is not sealed") {
		t.Errorf("of an action that is not sealed it prints %s, %v", got, err)
	}
}

// findJWCrypto returns a Python that has the library, or skips the test.
func findJWCrypto(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if python, err := exec.LookPath(name); err == nil && exec.Command(python, "-c", "import jwcrypto").Run() == nil {
			return python
		}
	}
	t.Skip("no Python with jwcrypto is installed (Debian: python3-jwcrypto)")
	return ""
}
