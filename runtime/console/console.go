package console

import (
	"embed"
	"io/fs"
	"net/http"
	"sync"

	"github.com/packetrpc/packetrpc/runtime/server"
)

// Console counts the calls of one server, and shows them. Its methods may be called
// concurrently. It has no goroutines of its own.
type Console struct {
	options  options
	counters counters
	failures failures
}

// New returns a console that has counted nothing yet.
func New(list ...Option) *Console { return &Console{options: newOptions(list)} }

// Options returns what [server.New] needs so that the console can count calls. They
// belong before other options: interceptors that are given later run inside of the
// console's, so that the calls that they refuse are counted too.
func (c *Console) Options() []server.Option {
	return []server.Option{server.WithInterceptors(c.intercept), server.WithRefused(c.refused)}
}

// Handler returns the pages of the console of srv, which should have been given
// [Console.Options]. They may be served once all methods are registered. Below a path of a larger site it needs [http.StripPrefix] and a
// path that ends with a slash.
func (c *Console) Handler(srv *server.Server) http.Handler {
	p := &pages{console: c, server: srv, logins: newLogins(srv), calls: newLiveCalls(),
		catalogue: sync.OnceValue(func() *catalogue { return describe(srv) })}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(assets()))
	mux.HandleFunc("GET /api/state", p.state)
	mux.HandleFunc("GET /api/actions", p.actions)
	mux.HandleFunc("POST /api/calls", p.call)
	mux.HandleFunc("POST /api/calls/{id}/messages", p.sendMore)
	mux.HandleFunc("POST /api/calls/{id}/half-close", p.halfClose)
	return p.guard(mux)
}

// pages is a console with its server.
type pages struct {
	console *Console
	server  *server.Server
	logins  *logins
	// catalogue is made when it is first needed, as methods may be registered until the
	// server serves.
	catalogue func() *catalogue
	calls     *liveCalls
}

//go:embed assets
var embedded embed.FS

// assets is the files that browsers load.
func assets() fs.FS {
	files, err := fs.Sub(embedded, "assets")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return files
}
