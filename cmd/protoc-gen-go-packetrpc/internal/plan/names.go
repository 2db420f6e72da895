package plan

import (
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/compiler/protogen"
)

// claim is the wish of a declaration to be called by its parts, as in "New" +
// "ChatService" + "Client".
type claim struct {
	parts  []string
	target *string
	at     Position
}

func (c claim) joined() string    { return strings.Join(c.parts, "") }
func (c claim) separated() string { return strings.Join(c.parts, "_") }

// namespace gives the declarations of one Go package their names.
type namespace struct {
	// services are those of the package by their names in Go.
	services map[string]declared
	claims   []claim
	// taken are the names that were given, with what they were given for.
	taken map[string]Position
}

// claim asks for a name that is stored in target once all claims are known.
func (n *namespace) claim(target *string, at Position, parts ...string) {
	n.claims = append(n.claims, claim{parts, target, at})
}

// settle fulfils the claims. Two declarations can want one name: rpc Get of
// service UserProfile and rpc ProfileGet of service User both make
// UserProfileGetAction, and service NewChat makes the interface NewChatClient
// that is the constructor of service Chat. All that want such a name get one with
// underscores between its parts. Which of them is declared first does not
// matter, so the names stay when declarations move.
func (n *namespace) settle(p *planner) {
	wanted := make(map[string]int)
	for _, claim := range n.claims {
		wanted[claim.joined()]++
	}
	n.taken = make(map[string]Position)
	for _, claim := range n.claims {
		name := claim.joined()
		if wanted[name] > 1 {
			name = claim.separated()
		}
		if other, taken := n.taken[name]; taken {
			p.refuse(claim.at, "the Go name %s would be declared a second time; the first is for %s; rename one of the two", name, other)
		}
		n.taken[name] = claim.at
		*claim.target = name
	}
}

// claimService asks for the names of a service and of its methods. An exported
// name and an unexported one never meet, as their first letters differ.
func (n *namespace) claimService(service *Service, goName string, at Position, methods map[*Method]Position) {
	names, private := &service.Names, lowerFirst(goName)
	n.claim(&names.FullName, at, goName, "Name")
	n.claim(&names.Client, at, goName, "Client")
	n.claim(&names.NewClient, at, "New", goName, "Client")
	n.claim(&names.ClientType, at, private, "Client")
	n.claim(&names.Handler, at, goName, "Handler")
	n.claim(&names.RegisterHandler, at, "Register", goName, "Handler")
	n.claim(&names.UnimplementedHandler, at, "Unimplemented", goName, "Handler")
	if len(service.Broadcast()) > 0 {
		n.claim(&names.Broadcast, at, goName, "Broadcast")
		n.claim(&names.NewBroadcast, at, "New", goName, "Broadcast")
		n.claim(&names.BroadcastType, at, private, "Broadcast")
	}
	for _, method := range service.Methods {
		n.claim(&method.ActionName, methods[method], goName, method.GoName, "Action")
		n.claim(&method.SpecName, methods[method], private, method.GoName, "Spec")
	}
}

// lowerFirst makes an exported Go name unexported. Every name that protogen
// makes begins with an upper-case letter.
func lowerFirst(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(first)) + name[size:]
}

// packageName returns the name of the package that the services of a file go
// to. Protogen puts an underscore before a name that is a Go keyword; with the
// suffix it is none any more, and the go command passes over folders that begin
// with an underscore.
func packageName(messages protogen.GoPackageName) string {
	name := string(messages)
	if short := strings.TrimLeft(name, "_"); token.IsIdentifier(short + suffix) {
		name = short
	}
	return name + suffix
}

// suffix tells the packages of services from those of messages.
const suffix = "packetrpc"

// localNames are what generated code calls its parameters, its receivers and the
// packages that it imports beside those of the messages. "init" cannot be the
// name of an import, and jennifer takes no import named "err".
var localNames = [...]string{
	"audience", "b", "c", "caller", "context", "ctx", "err", "handler", "init",
	"main", "message", "packetrpc", "registrar", "request", "time",
}

// aliases returns the imports of a file: for each path the package's own name,
// or if that is taken the name with a number. The package of the file's own
// messages, home, has the first choice, and the others follow in the order of
// their paths, so that nothing depends on the order of the declarations.
func (n *namespace) aliases(paths map[string]protogen.GoPackageName, home, self string) []Import {
	used := map[string]bool{self: true}
	for _, name := range localNames {
		used[name] = true
	}
	order := slices.Sorted(maps.Keys(paths))
	if at := slices.Index(order, home); at > 0 {
		order = slices.Insert(slices.Delete(order, at, at+1), 0, home)
	}
	imports := make([]Import, 0, len(order))
	for _, path := range order {
		alias := n.free(string(paths[path]), used)
		used[alias] = true
		imports = append(imports, Import{Path: path, Alias: alias})
	}
	return imports
}

// free returns name, or name with the lowest number that makes it usable as an
// alias.
func (n *namespace) free(name string, used map[string]bool) string {
	separator := ""
	if last := name[len(name)-1]; '0' <= last && last <= '9' {
		separator = "_"
	}
	alias := name
	for number := 2; ; number++ {
		_, declared := n.taken[alias]
		if !used[alias] && !declared && !token.IsKeyword(alias) && types.Universe.Lookup(alias) == nil && alias != "_" {
			return alias
		}
		alias = name + separator + strconv.Itoa(number)
	}
}
