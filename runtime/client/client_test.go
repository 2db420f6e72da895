package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

const patience = 10 * time.Second

type text = wrapperspb.StringValue

var echoSpec = &packetrpc.Spec{Action: "test.Echo/Echo", Service: "test.Echo", Method: "Echo"}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

func info(t *testing.T, c packetrpc.Caller) *packetrpcv1.InfoResponse {
	t.Helper()
	reply, err := packetrpcv1packetrpc.NewCoreServiceClient(c).Info(within(t), &packetrpcv1.InfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// answering returns the address of something that is no packetrpc server: it
// waits for the first bytes, sends its answer, and then reads to the end.
func answering(t *testing.T, answer string, thenClose bool) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		nc, err := listener.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		nc.Read(make([]byte, 4096))
		io.WriteString(nc, answer)
		if !thenClose {
			io.Copy(io.Discard, nc)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	return listener.Addr().String()
}

func TestDialFails(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	twice := new(packetrpc.Handlers)
	twice.Register(&packetrpc.Method{Spec: echoSpec})
	twice.Register(&packetrpc.Method{Spec: echoSpec})
	const web = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	for _, test := range []struct {
		name    string
		address string
		options []client.Option
		code    packetrpc.Code
		text    string
	}{
		{"nobody there", closed.Addr().String(), nil, packetrpc.CodeUnavailable, closed.Addr().String() + " cannot be reached: nobody listens there (connection refused)"},
		{"no socket", "unix:/nowhere/socket", nil, packetrpc.CodeUnavailable, "there is no such socket"},
		{"bad address", "localhost", nil, packetrpc.CodeInvalidArgument, "neither host:port nor unix:/path"},
		{"bad port", "localhost:http", nil, packetrpc.CodeInvalidArgument, "0 to 65535"},
		{"web server", answering(t, web, true), nil, packetrpc.CodeUnavailable, "is no packetrpc server"},
		{"web server, JSON", answering(t, web, true), []client.Option{client.WithJSON()}, packetrpc.CodeUnavailable, "is no packetrpc server"},
		{"echo server", answering(t, `{"action":"handShake","data":{"version":1}}`, false), []client.Option{client.WithJSON()},
			packetrpc.CodeUnavailable, "is no packetrpc server"},
		{"hangs up", answering(t, "", true), nil, packetrpc.CodeUnavailable, "closed the connection without answering the handshake"},
		{"other version", answering(t, `{"action":"handShake","kind":"response","token":"t","data":{"status":"success","version":2}}`, false),
			[]client.Option{client.WithJSON()}, packetrpc.CodeFailedPrecondition, "version 2"},
		{"refuses", answering(t, `{"action":"handShake","kind":"error","status":"unauthenticated","message":"go away"}`, false),
			[]client.Option{client.WithJSON()}, packetrpc.CodeUnauthenticated, "go away"},
		{"refuses without saying why", answering(t, `{"action":"handShake","kind":"response","data":{"status":"fail"}}`, false),
			[]client.Option{client.WithJSON()}, packetrpc.CodeUnauthenticated, "refused"},
		{"name that is not UTF-8", answering(t, "", false), []client.Option{client.WithName("\xff")}, packetrpc.CodeInvalidArgument, "UTF-8"},
		{"duplicate actions", closed.Addr().String(), []client.Option{client.WithHandlers(twice)}, packetrpc.CodeAlreadyExists, "test.Echo/Echo"},
		{"message size", closed.Addr().String(), []client.Option{client.WithMaxMessageSize(0)}, packetrpc.CodeInvalidArgument, "message size"},
		{"running calls", closed.Addr().String(), []client.Option{client.WithMaxRunningCalls(0)}, packetrpc.CodeInvalidArgument, "client.WithMaxRunningCalls"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := client.Dial(within(t), test.address, test.options...)
			if c != nil {
				t.Error("a client was returned")
			}
			if packetrpc.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("got %v, want %v with %q", err, test.code, test.text)
			}
		})
	}
	if _, err := client.Dial(within(t), closed.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the cause is hidden: %v", err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	address := answering(t, "", false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Dial(ctx, address); packetrpc.CodeOf(err) != packetrpc.CodeDeadlineExceeded || !strings.Contains(err.Error(), "the handshake with "+address) {
		t.Errorf("got %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Dial(cancelled, address); packetrpc.CodeOf(err) != packetrpc.CodeCanceled {
		t.Errorf("got %v", err)
	}
}

func TestContextOfDialDoesNotMatterLater(t *testing.T) {
	started := packetrpctest.Start(t, server.New())
	ctx, cancel := context.WithCancel(t.Context())
	c, err := client.Dial(ctx, "memory:0", client.WithDialer(started.Listener.Dial))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	info(t, c)
}

// far is a connection that claims to lead elsewhere.
type far struct{ net.Conn }

func (far) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25565} }

func TestPasswordInPlaintext(t *testing.T) {
	asked := make(chan session.Credentials, 10)
	srv := server.New(server.WithAuthenticator(session.AuthenticatorFunc(
		func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
			asked <- c
			return packetrpc.Identity{Name: c.Username}, nil
		})))
	started := packetrpctest.Start(t, srv)
	away := client.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := started.Listener.Dial(ctx, network, address)
		return far{nc}, err
	})
	_, err := client.Dial(within(t), "example.com:25565", away, client.WithPassword("ada", "secret"))
	if packetrpc.CodeOf(err) != packetrpc.CodeFailedPrecondition || !strings.Contains(err.Error(), "client.AllowPlaintextPassword") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(fmt.Sprint(err), "secret") {
		t.Error("the error shows the password")
	}
	started.Dial(t, away, client.WithPassword("ada", "secret"), client.AllowPlaintextPassword())
	if got := receive(t, asked); got.Username != "ada" || got.Password != "secret" {
		t.Errorf("the server was told %q", got.Username)
	}
	started.Dial(t, away, client.WithName("ada"))
	started.Dial(t, client.WithPassword("ada", "secret"))
}

// tlsPair returns what a server and a client need to speak TLS with each other.
func tlsPair(t *testing.T) (*tls.Config, *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"server"}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "server"}
}

// An ordinary TLS listener and a dialer that speaks TLS make for an encrypted
// connection, on which a password may travel.
func TestTLS(t *testing.T) {
	serverSide, clientSide := tlsPair(t)
	listener := packetrpctest.NewListener()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.New().Serve(ctx, tls.NewListener(listener, serverSide)) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	c, err := client.Dial(within(t), "example.com:25565", client.WithPassword("ada", "secret"),
		client.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := listener.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return tls.Client(far{nc}, clientSide), nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !info(t, c).GetEncrypted() {
		t.Error("the server does not know that the connection is encrypted")
	}
}

func TestCloseWaitsForHandlers(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	entered, returned := make(chan struct{}), make(chan error, 1)
	handlers := new(packetrpc.Handlers)
	packetrpc.HandleUnary(handlers, echoSpec, func(ctx context.Context, s *text) (*text, error) {
		close(entered)
		<-ctx.Done()
		returned <- context.Cause(ctx)
		return s, nil
	})
	c := started.Dial(t, client.WithHandlers(handlers))
	peer, _ := srv.Connection(c.ID())
	failed := make(chan error, 1)
	go func() {
		_, err := packetrpc.CallUnary[text](within(t), peer, echoSpec, wrapperspb.String("x"))
		failed <- err
	}()
	receive(t, entered)
	if c.Err() != nil {
		t.Errorf("a connection that lives has ended with %v", c.Err())
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close returned %v", err)
	}
	select {
	case <-returned:
	default:
		t.Error("Close did not wait for the handler")
	}
	if err := receive(t, failed); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
		t.Errorf("the server's call failed with %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("the second Close returned %v", err)
	}
	if err := c.Err(); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
		t.Errorf("the connection ended with %v", err)
	}
	_, err := packetrpc.CallUnary[text](within(t), c, echoSpec, wrapperspb.String("x"))
	if packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || packetrpc.AsError(err).Outcome != packetrpc.OutcomeNotSent {
		t.Errorf("calling after Close: %v", err)
	}
}

func TestOneWay(t *testing.T) {
	srv := server.New()
	note := &packetrpc.Spec{Action: "test.Echo/Note", Type: packetrpc.OneWay}
	received := make(chan string, 100)
	packetrpc.HandleOneWay(srv, note, func(_ context.Context, s *text) error {
		received <- s.GetValue()
		return nil
	})
	c := packetrpctest.Dial(t, srv)
	for i := range 10 {
		if err := c.CallOneWay(within(t), note, wrapperspb.String(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		if got := receive(t, received); got != fmt.Sprint(i) {
			t.Errorf("received %q, want %d", got, i)
		}
	}
}

// Messages larger than the windows need credit to get through.
func TestSmallLimits(t *testing.T) {
	srv := server.New(server.WithWindow(1000, 2000), server.WithMaxOpenCalls(2), server.WithMaxRunningCalls(1), server.WithWriteTimeout(time.Minute))
	packetrpc.HandleUnary(srv, echoSpec, func(_ context.Context, s *text) (*text, error) { return s, nil })
	c := packetrpctest.Dial(t, srv, client.WithWindow(1000, 2000), client.WithMaxOpenCalls(2), client.WithMaxRunningCalls(1),
		client.WithWriteTimeout(time.Minute), client.WithLogger(slog.New(slog.DiscardHandler)))
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			long := wrapperspb.String(strings.Repeat("x", 100_000))
			reply, err := packetrpc.CallUnary[text](within(t), c, echoSpec, long)
			if err != nil || len(reply.GetValue()) != 100_000 {
				t.Errorf("got %d bytes, %v", len(reply.GetValue()), err)
			}
		})
	}
	all.Wait()
}

func TestServerVanishes(t *testing.T) {
	started := packetrpctest.Start(t, server.New())
	faults := make(chan *packetrpctest.FaultyConn, 1)
	c := started.Dial(t, client.WithoutReconnect(), client.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := started.Listener.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		faulty := packetrpctest.NewFaultyConn(nc)
		faults <- faulty
		return faulty, nil
	}))
	receive(t, faults).Cut()
	receive(t, c.Done())
	if err := c.Err(); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v", err)
	}
	if context.Cause(c.Context()) != c.Err() {
		t.Errorf("the context's cause is %v", context.Cause(c.Context()))
	}
}

func TestServerAsPeer(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	handlers := new(packetrpc.Handlers)
	peers := make(chan packetrpc.Peer, 1)
	packetrpc.HandleUnary(handlers, echoSpec, func(ctx context.Context, s *text) (*text, error) {
		peers <- packetrpc.PeerFrom(ctx)
		// A handler may call back over the connection that it was called on.
		reply, err := packetrpcv1packetrpc.NewCoreServiceClient(packetrpc.PeerFrom(ctx)).Ping(ctx, &packetrpcv1.PingRequest{Text: s.GetValue()})
		return wrapperspb.String(reply.GetText()), err
	})
	c := started.Dial(t, client.WithHandlers(handlers))
	peer, _ := srv.Connection(c.ID())
	if reply, err := packetrpc.CallUnary[text](within(t), peer, echoSpec, wrapperspb.String("x")); err != nil || reply.GetValue() != "x" {
		t.Errorf("got %v, %v", reply, err)
	}
	if got := receive(t, peers); got.Context() != c.Context() || got.RemoteAddr() != c.Server().RemoteAddr() {
		t.Errorf("the handler's peer is %v, want %v", got, c.Server())
	}
	theServer := c.Server()
	if theServer.ID() != "" || theServer.Identity().Name != "" || theServer.Groups() != nil || theServer.RemoteAddr().String() != "server" {
		t.Errorf("the server is %v", theServer)
	}
	for _, err := range []error{theServer.Join("x"), theServer.Leave("x")} {
		if packetrpc.CodeOf(err) != packetrpc.CodeFailedPrecondition {
			t.Errorf("a group of the server's: %v", err)
		}
	}
}

func TestInterceptors(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	var mu sync.Mutex
	var seen []string
	watch := func(name string) packetrpc.Interceptor {
		return func(next packetrpc.Invoke) packetrpc.Invoke {
			return func(ctx context.Context, call *packetrpc.Call) error {
				mu.Lock()
				seen = append(seen, fmt.Sprintf("%s %s outgoing=%t", name, call.Spec.Action, call.Outgoing))
				mu.Unlock()
				return next(ctx, call)
			}
		}
	}
	handlers := new(packetrpc.Handlers)
	packetrpc.HandleUnary(handlers, echoSpec, func(_ context.Context, s *text) (*text, error) { return s, nil })
	c := started.Dial(t, client.WithHandlers(handlers), client.WithInterceptors(watch("a")), client.WithInterceptors(watch("b")))
	peer, _ := srv.Connection(c.ID())
	if _, err := packetrpc.CallUnary[text](within(t), peer, echoSpec, wrapperspb.String("x")); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"a CorePing outgoing=true", "b CorePing outgoing=true",
		"a test.Echo/Echo outgoing=false", "b test.Echo/Echo outgoing=false"}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
}

func TestLimitsAreTold(t *testing.T) {
	srv := server.New(server.WithMaxMessageSize(1000))
	started := packetrpctest.Start(t, srv)
	c := started.Dial(t, client.WithMaxMessageSize(2000))
	_, err := packetrpcv1packetrpc.NewCoreServiceClient(c).Ping(within(t), &packetrpcv1.PingRequest{Text: strings.Repeat("x", 1500)})
	if packetrpc.CodeOf(err) != packetrpc.CodeResourceExhausted || packetrpc.AsError(err).Outcome != packetrpc.OutcomeNotSent ||
		!strings.Contains(err.Error(), "1000") {
		t.Errorf("a message beyond the server's limit: %v", err)
	}
	info(t, c) // the connection lives
}

// TestCloseSendsWhatWasQueued: who sends a one-way message and leaves means it.
func TestCloseSendsWhatWasQueued(t *testing.T) {
	srv := server.New()
	note := &packetrpc.Spec{Action: "test.Echo/Note", Type: packetrpc.OneWay}
	received := make(chan string, 100)
	packetrpc.HandleOneWay(srv, note, func(_ context.Context, s *text) error {
		received <- s.GetValue()
		return nil
	})
	started := packetrpctest.Start(t, srv)
	for range 20 {
		c := started.Dial(t)
		if err := c.CallOneWay(within(t), note, wrapperspb.String("last words")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		receive(t, received)
	}
}

// WithTLS is for certificates that a CA has signed, at both ends. A client's key is
// shown there as well, and sealed data is sealed if the server has a key.
func TestWithTLS(t *testing.T) {
	serverSide, clientSide := tlsPair(t)
	clientSide.ServerName = ""
	serverSide.ClientAuth = tls.RequestClientCert
	key, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan session.Credentials, 10)
	listenFor := func(options ...server.Option) string {
		srv := server.New(append(options, server.WithAuthenticator(session.AuthenticatorFunc(
			func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
				asked <- c
				return packetrpc.Identity{}, nil
			})))...)
		packetrpc.HandleUnary(srv, sealedSpec, func(_ context.Context, in *text) (*text, error) { return in, nil })
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ctx, listener) }()
		t.Cleanup(func() {
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		return listener.Addr().String()
	}
	_, port, err := net.SplitHostPort(listenFor(server.WithTLS(serverSide), server.WithKey(key)))
	if err != nil {
		t.Fatal(err)
	}
	address := "server:" + port // what the certificate says
	loopback := client.WithDialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
	})
	for shown, options := range map[bool][]client.Option{false: {client.WithJSON()}, true: {client.WithKey(key)}} {
		c, err := client.Dial(within(t), address, append(options, loopback, client.WithTLS(clientSide))...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !info(t, c).GetEncrypted() {
			t.Error("the server does not know that the connection is encrypted")
		}
		if out, err := packetrpc.CallUnary[text](within(t), c, sealedSpec, wrapperspb.String("x")); err != nil || out.GetValue() != "x" {
			t.Errorf("a sealed call: %q, %v", out.GetValue(), err)
		}
		if got := receive(t, asked); (got.PublicKey != nil) != shown || shown && !got.PublicKey.Equal(&key.PublicKey) {
			t.Errorf("the authenticator is told of the key %v", got.PublicKey)
		}
	}
	_, err = client.Dial(within(t), "127.0.0.1:"+port, client.WithTLS(clientSide))
	if packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("to a name that the certificate does not have: %v", err)
	}
	_, err = client.Dial(within(t), "127.0.0.1:"+port, client.WithTLS(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}))
	if err == nil {
		t.Error("TLS 1.2 was spoken")
	}
}

var sealedSpec = &packetrpc.Spec{Action: "test.Echo/Sealed", Service: "test.Echo", Method: "Sealed", Sealed: true}

func TestOptionsAboutKeys(t *testing.T) {
	key, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		t.Fatal(err)
	}
	small := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(15), E: 3}}
	pin := seal.PinKey(&key.PublicKey)
	for _, test := range []struct {
		options []client.Option
		text    string
	}{
		{[]client.Option{client.WithKey(key)}, "client.WithKey is of no use without client.WithServerKey"},
		{[]client.Option{client.WithServerKey(pin), client.WithTLS(new(tls.Config))}, "give one of them"},
		{[]client.Option{client.WithServerKey(pin), client.WithSealingTo(pin)}, "give one of them"},
		{[]client.Option{client.WithServerKey(pin), client.WithKey(small)}, "too small"},
	} {
		_, err := client.Dial(within(t), "127.0.0.1:1", test.options...)
		if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument || !strings.Contains(err.Error(), test.text) {
			t.Errorf("got %v, want %q", err, test.text)
		}
	}
}
