package conformance

import (
	"fmt"
	"strings"
)

// List returns a table of all cases in Markdown, with what each demands.
func List() string {
	var out strings.Builder
	group := ""
	for _, p := range plans() {
		if p.group != group {
			group = p.group
			fmt.Fprintf(&out, "\n### %s\n\n| case | forms | roles | section | demands |\n|---|---|---|---|---|\n", group)
		}
		var forms []string
		for _, form := range p.forms() {
			forms = append(forms, form.String())
		}
		roles := p.role
		if roles == "" {
			roles = RoleClient + ", " + RoleServer
		}
		fmt.Fprintf(&out, "| `%s/%s` | %s | %s | %s | %s |\n", p.group, p.name, strings.Join(forms, ", "), roles, p.section, p.demands)
	}
	return strings.TrimPrefix(out.String(), "\n")
}
