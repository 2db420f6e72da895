package console

// Option changes what [New] makes.
type Option func(*options)

// options is what the options have set. It does not change after New.
type options struct {
	role           string
	hosts          map[string]bool
	allowPlaintext bool
	allowAnonymous bool
}

// defaultRole is the role that the Core actions demand which reach other clients.
const defaultRole = "admin"

func newOptions(list []Option) options {
	o := options{role: defaultRole, hosts: make(map[string]bool)}
	for _, option := range list {
		option(&o)
	}
	return o
}

// WithRole sets the role that whoever opens the console must have. The default is
// "admin". With "" everybody may who can log in, or who can reach it if the server has
// no authenticator; what they call is still held to the roles that the actions require.
func WithRole(role string) Option {
	return func(o *options) { o.role = role }
}

// WithHosts adds names that browsers may reach the console by, without the port, as in
// "console.example.com". Without it, they may use IP addresses and "localhost": a name
// that anybody can point at this machine must not do, or another site's pages could
// read the console.
func WithHosts(names ...string) Option {
	return func(o *options) {
		for _, name := range names {
			o.hosts[name] = true
		}
	}
}

// AllowPlaintext lets the console be reached from beyond this machine without TLS.
// Whoever can see the network then reads passwords. Refusing it is the default.
func AllowPlaintext() Option {
	return func(o *options) { o.allowPlaintext = true }
}

// AllowAnonymous lets the console of a server without an authenticator be reached from
// beyond this machine: everybody is then who they say they are. Refusing it is the
// default.
func AllowAnonymous() Option {
	return func(o *options) { o.allowAnonymous = true }
}
