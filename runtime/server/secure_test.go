package server_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// keys are the RSA keys of the tests: making them takes a while.
type keys struct{ server, client, other *rsa.PrivateKey }

var testKeys = sync.OnceValue(func() keys {
	var made [3]*rsa.PrivateKey
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			var err error
			if made[i], err = seal.GenerateKey(seal.MinBits); err != nil {
				panic(err)
			}
		})
	}
	all.Wait()
	return keys{made[0], made[1], made[2]}
})

// The actions of the tests, all of them sealed.
var (
	sealedUnary  = sealedSpec("Unary", packetrpc.Unary)
	sealedNote   = sealedSpec("Note", packetrpc.OneWay)
	sealedDown   = sealedSpec("Down", packetrpc.ServerStream)
	sealedUp     = sealedSpec("Up", packetrpc.ClientStream)
	sealedTalk   = sealedSpec("Talk", packetrpc.BidiStreaming)
	sealedInline = &packetrpc.Spec{Action: "vault.Vault/Inline", Service: "vault.Vault", Method: "Inline", Sealed: true, NonBlocking: true}
)

func sealedSpec(method string, kind packetrpc.CallType) *packetrpc.Spec {
	return &packetrpc.Spec{Action: "vault.Vault/" + method, Service: "vault.Vault", Method: method, Type: kind, Sealed: true}
}

// vault handles the sealed actions: it answers with what it is told, in other words.
type vault struct {
	ran   chan string // what handlers were told
	notes chan string
}

func registerVault(r packetrpc.Registrar) *vault {
	v := &vault{ran: make(chan string, 1000), notes: make(chan string, 1000)}
	unary := func(_ context.Context, in *text) (*text, error) {
		v.ran <- in.Value
		return wrapperspb.String("reply to " + in.Value), nil
	}
	packetrpc.HandleUnary(r, sealedUnary, unary)
	packetrpc.HandleUnary(r, sealedInline, unary)
	packetrpc.HandleOneWay(r, sealedNote, func(_ context.Context, in *text) error {
		v.ran <- in.Value
		v.notes <- in.Value
		return nil
	})
	packetrpc.HandleServerStream(r, sealedDown, func(_ context.Context, in *text, out packetrpc.Sender[text]) error {
		v.ran <- in.Value
		for i := range 3 {
			if err := out.Send(wrapperspb.String(fmt.Sprint(in.Value, i))); err != nil {
				return err
			}
		}
		return nil
	})
	packetrpc.HandleClientStream(r, sealedUp, func(_ context.Context, in packetrpc.Receiver[text]) (*text, error) {
		var all []string
		for m, err := range in.All() {
			if err != nil {
				return nil, err
			}
			all = append(all, m.Value)
		}
		return wrapperspb.String(strings.Join(all, " ")), nil
	})
	packetrpc.HandleBidiStream(r, sealedTalk, func(_ context.Context, s packetrpc.BidiStream[text, text]) error {
		if err := s.Send(wrapperspb.String("hello")); err != nil { // before anything has come
			return err
		}
		for m, err := range s.All() {
			if err != nil {
				return err
			}
			if err := s.Send(wrapperspb.String("echo of " + m.Value)); err != nil {
				return err
			}
		}
		return nil
	})
	return v
}

// visit calls every sealed action of a vault, with a word that must not be seen.
func (v *vault) visit(ctx context.Context, c packetrpc.Caller, secret string) error {
	for _, spec := range []*packetrpc.Spec{sealedUnary, sealedInline} {
		reply, err := packetrpc.CallUnary[text](ctx, c, spec, wrapperspb.String(secret))
		if err != nil || reply.GetValue() != "reply to "+secret {
			return fmt.Errorf("%s: %q, %w", spec.Method, reply.GetValue(), err)
		}
	}
	large := secret + strings.Repeat("x", 300_000)
	reply, err := packetrpc.CallUnary[text](ctx, c, sealedUnary, wrapperspb.String(large))
	if err != nil || reply.GetValue() != "reply to "+large {
		return fmt.Errorf("a large message: %d bytes, %w", len(reply.GetValue()), err)
	}
	if err := c.CallOneWay(ctx, sealedNote, wrapperspb.String(secret)); err != nil {
		return err
	}
	if got := <-v.notes; got != secret {
		return fmt.Errorf("the note was %q", got)
	}
	down, err := packetrpc.CallServerStream[text](ctx, c, sealedDown, wrapperspb.String(secret))
	if err != nil {
		return err
	}
	n := 0
	for m, err := range down.All() {
		if err != nil || m.Value != fmt.Sprint(secret, n) {
			return fmt.Errorf("message %d down: %q, %w", n, m.GetValue(), err)
		}
		n++
	}
	up, err := packetrpc.CallClientStream[text, text](ctx, c, sealedUp)
	if err != nil {
		return err
	}
	for range 3 {
		if err := up.Send(wrapperspb.String(secret)); err != nil {
			return err
		}
	}
	sum, err := up.CloseAndReceive()
	if want := strings.Join([]string{secret, secret, secret}, " "); err != nil || sum.GetValue() != want {
		return fmt.Errorf("the sum: %q, %w", sum.GetValue(), err)
	}
	return talk(ctx, c, secret)
}

func talk(ctx context.Context, c packetrpc.Caller, secret string) error {
	stream, err := packetrpc.CallBidiStream[text, text](ctx, c, sealedTalk)
	if err != nil {
		return err
	}
	defer stream.Close()
	want := "hello"
	for range 3 {
		m, err := stream.Receive()
		if err != nil || m.Value != want {
			return fmt.Errorf("heard %q: %w", m.GetValue(), err)
		}
		if err := stream.Send(wrapperspb.String(secret)); err != nil {
			return err
		}
		want = "echo of " + secret
	}
	return nil
}

// knows makes a server accept one name and password.
func knows(name, password string) server.Option {
	return server.WithAuthenticator(session.AuthenticatorFunc(
		func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
			if c.Username != name || c.Password != password {
				return packetrpc.Identity{}, session.ErrCredentials
			}
			return packetrpc.Identity{Name: name}, nil
		}))
}

// wiretap is a relay between clients and a server that keeps what passes.
type wiretap struct {
	address string
	mu      sync.Mutex
	up      []*bytes.Buffer // what each client sent
	down    bytes.Buffer
}

func tap(t *testing.T, address string) *wiretap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{address: listener.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.relay(near, address) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	return w
}

func (w *wiretap) relay(near net.Conn, address string) {
	defer near.Close()
	far, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer far.Close()
	up := new(bytes.Buffer)
	w.mu.Lock()
	w.up = append(w.up, up)
	w.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(io.MultiWriter(far, locked{&w.mu, up}), near)
		far.(*net.TCPConn).CloseWrite()
	})
	both.Go(func() {
		io.Copy(io.MultiWriter(near, locked{&w.mu, &w.down}), far)
		near.(*net.TCPConn).CloseWrite()
	})
	both.Wait()
}

// captured returns all that has passed so far.
func (w *wiretap) captured() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := bytes.Clone(w.down.Bytes())
	for _, up := range w.up {
		all = append(all, up.Bytes()...)
	}
	return all
}

type locked struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

// way is how a client and a server protect what they say.
type way struct {
	name   string
	server []server.Option
	client []client.Option
	sealed bool // else encrypted
}

func ways() []way {
	k := testKeys()
	withKey := server.WithKey(k.server)
	pin := seal.PinKey(&k.server.PublicKey)
	return []way{
		{"encrypted", []server.Option{withKey}, []client.Option{client.WithServerKey(pin)}, false},
		{"encrypted both ways", []server.Option{withKey}, []client.Option{client.WithServerKey(pin), client.WithKey(k.client)}, false},
		{"sealed", []server.Option{withKey, server.AllowPlaintext()}, []client.Option{client.WithSealingTo(pin), client.WithKey(k.client)}, true},
	}
}

// Whoever reads the bytes of an encrypted conversation finds no password, content,
// token or action in them, and in one with sealed actions no password or content.
func TestCapture(t *testing.T) {
	const name, secret, content = "ada", "correct-horse", "battery-staple"
	for _, way := range ways() {
		for _, form := range []string{"binary", "json"} {
			t.Run(way.name+"/"+form, func(t *testing.T) {
				srv := server.New(append(way.server, knows(name, secret), server.WithLogger(quiet()))...)
				here := registerVault(srv)
				tapped := tap(t, listen(t, srv))
				handlers := new(packetrpc.Handlers)
				there := registerVault(handlers)
				options := append(way.client, client.WithPassword(name, secret), client.WithHandlers(handlers))
				if form == "json" {
					options = append(options, client.WithJSON())
				}
				c := dial(t, tapped.address, options...)
				if err := here.visit(within(t), c, content); err != nil {
					t.Fatal("calling the server: ", err)
				}
				peer, _ := srv.Connection(c.ID())
				if err := there.visit(within(t), peer, content); err != nil {
					t.Fatal("calling the client: ", err)
				}
				c.Close()
				captured := tapped.captured()
				if len(captured) < 1_000_000 {
					t.Fatalf("captured %d bytes only", len(captured))
				}
				hidden := []string{secret, content}
				if !way.sealed {
					hidden = append(hidden, "vault.Vault", "handShake", "token", c.ID())
				} else if !bytes.Contains(captured, []byte("vault.Vault")) {
					t.Error("the action is not there: the test looks at the wrong bytes")
				}
				for _, word := range hidden {
					if bytes.Contains(captured, []byte(word)) {
						t.Errorf("%q can be read", word)
					}
				}
			})
		}
	}
}

// refuses checks that a client cannot connect.
func refuses(t *testing.T, address string, code packetrpc.Code, text string, options ...client.Option) {
	t.Helper()
	c, err := client.Dial(within(t), address, options...)
	if err == nil {
		c.Close()
	}
	if packetrpc.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v with %q", err, code, text)
	}
	if strings.Contains(fmt.Sprint(err), "secret") {
		t.Errorf("the error shows the password: %v", err)
	}
}

// Somebody between client and server who has another key learns nothing from the
// client, on an encrypted connection and before a sealed handshake.
func TestManInTheMiddle(t *testing.T) {
	k := testKeys()
	const user, secret = "ada-lovelace", "secret"
	asked := make(chan session.Credentials, 100)
	middle := server.New(server.WithKey(k.other), server.AllowPlaintext(), server.WithLogger(quiet()), server.WithAuthenticator(
		session.AuthenticatorFunc(func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
			asked <- c
			return packetrpc.Identity{}, nil
		})))
	tapped := tap(t, listen(t, middle))
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	known := seal.PinKnownHosts(hosts, func(string, *rsa.PublicKey) error { return nil })
	if err := known.Verify(tapped.address, &k.server.PublicKey); err != nil {
		t.Fatal(err)
	}
	for name, pin := range map[string]seal.Pin{
		"key":         seal.PinKey(&k.server.PublicKey),
		"fingerprint": seal.PinFingerprint(seal.Fingerprint(&k.server.PublicKey)),
		"known_hosts": known, // the server's key has changed
	} {
		for way, option := range map[string]client.Option{"encrypted": client.WithServerKey(pin), "sealed": client.WithSealingTo(pin)} {
			t.Run(name+"/"+way, func(t *testing.T) {
				refuses(t, tapped.address, packetrpc.CodeOf(pin.Verify(tapped.address, &k.other.PublicKey)), tapped.address,
					option, client.WithPassword(user, secret), client.WithKey(k.client))
			})
		}
	}
	captured := tapped.captured()
	for _, hidden := range []string{user, secret} {
		if bytes.Contains(captured, []byte(hidden)) {
			t.Errorf("%q was sent", hidden)
		}
	}
	if len(asked) > 0 {
		t.Error("credentials reached the man in the middle")
	}
}

// A client that knows no key is told that it needs one, and a client that knows one
// does not talk to a server without.
func TestEncryptionOnOneSide(t *testing.T) {
	k := testKeys()
	withKey := listen(t, server.New(server.WithKey(k.server), server.WithLogger(quiet())))
	without := listen(t, server.New(server.WithLogger(quiet())))
	pin := client.WithServerKey(seal.PinKey(&k.server.PublicKey))
	for _, form := range [][]client.Option{nil, {client.WithJSON()}} {
		refuses(t, withKey, packetrpc.CodeFailedPrecondition, "encrypted connections only (client.WithServerKey)", form...)
		refuses(t, without, packetrpc.CodeFailedPrecondition, "does not encrypt (server.WithKey)", append(form, pin)...)
		refuses(t, without, packetrpc.CodeFailedPrecondition, "has no key to seal to (server.WithKey)",
			append(form, client.WithSealingTo(seal.PinKey(&k.server.PublicKey)))...)
	}
	nc := dialRaw(t, withKey)
	nc.write(`{"action":"handShake","data":{"username":"demo","password":"test"}}`)
	if p := nc.read(); p.Status != "failed_precondition" || !strings.Contains(p.Message, "encrypted connections only") {
		t.Errorf("an old program is told %+v", p)
	}
	nc.ends()

	both := listen(t, server.New(server.WithKey(k.server), server.AllowPlaintext()))
	for _, form := range [][]client.Option{nil, {client.WithJSON()}} {
		for encrypted, options := range map[bool][]client.Option{false: form, true: append(form, pin)} {
			c := dial(t, both, options...)
			info, err := packetrpcv1packetrpc.NewCoreServiceClient(c).Info(within(t), &packetrpcv1.InfoRequest{})
			if err != nil || info.GetEncrypted() != encrypted {
				t.Errorf("the server calls it encrypted: %t, %v; want %t", info.GetEncrypted(), err, encrypted)
			}
		}
	}
}

// A recording of an encrypted connection that is sent again runs nothing, nor does
// that of one with sealed actions, although the latter shakes hands.
func TestReplayedRecording(t *testing.T) {
	for _, way := range ways() {
		t.Run(way.name, func(t *testing.T) {
			srv := server.New(append(way.server, knows("ada", "secret"), server.WithLogger(quiet()), server.WithFailureDelay(1, 0, 0))...)
			v := registerVault(srv)
			address := listen(t, srv)
			tapped := tap(t, address)
			c := dial(t, tapped.address, append(way.client, client.WithPassword("ada", "secret"))...)
			if err := v.visit(within(t), c, "once"); err != nil {
				t.Fatal(err)
			}
			c.Close()
			for len(v.ran) > 0 {
				<-v.ran
			}
			tapped.mu.Lock()
			recording := bytes.Clone(tapped.up[0].Bytes())
			tapped.mu.Unlock()
			for range 3 {
				nc, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				nc.SetDeadline(time.Now().Add(patience))
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					nc.Write(recording) // fails when the server has closed
				}()
				io.Copy(io.Discard, nc)
				nc.Close()
				<-sent
			}
			if len(v.ran) > 0 {
				t.Errorf("a handler ran for %q", <-v.ran)
			}
			dial(t, address, append(way.client, client.WithPassword("ada", "secret"))...)
		})
	}
}
