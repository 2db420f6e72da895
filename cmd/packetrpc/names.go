package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

const (
	// nearest is how many names are told at most in place of one that is not known.
	nearest = 3
	// leastPart is how many letters of a name tell which one is meant.
	leastPart = 3
)

// isNameOf reports whether short is a name or the end of one, as "Send" and
// "ChatService/Send" are of "chat.v1.ChatService/Send". All names end with "".
func isNameOf(name, short string) bool {
	before, ends := strings.CutSuffix(name, short)
	return ends && (before == "" || short == "" || strings.HasSuffix(before, ".") || strings.HasSuffix(before, "/"))
}

// isCore reports whether a name is that of a Core action, or of what belongs to those.
func isCore(name string) bool {
	return strings.HasPrefix(name, "Core") || strings.HasPrefix(name, "packetrpc.v1.")
}

// findAction returns the action of a name, or of the end of one.
func findAction(known *schema.Schema, name string) (*schema.Action, error) {
	found, err := resolve("action", name, known.Names())
	if err != nil {
		return nil, err
	}
	return known.Action(found)
}

// resolve returns which of some names is meant: the one that is given, or the only one that
// ends so, where what belongs to the Core actions does not count beside others.
func resolve(kind, short string, names []string) (string, error) {
	if slices.Contains(names, short) {
		return short, nil
	}
	var found, core []string
	for _, name := range names {
		switch {
		case !isNameOf(name, short):
		case isCore(name):
			core = append(core, name)
		default:
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		found = core
	}
	switch len(found) {
	case 0:
		return "", unknownName(kind, short, names)
	case 1:
		return found[0], nil
	}
	return "", usageErrorf("%q may be any of %s", short, strings.Join(found, ", "))
}

// unknownName returns the error of a name that there is not, with those that are like it.
func unknownName(kind, name string, known []string) error {
	if like := nearestNames(name, known); len(like) > 0 {
		return usageErrorf("there is no %s %q; the nearest is %s", kind, name, strings.Join(like, ", or "))
	}
	return usageErrorf("there is no %s %q; `packetrpc list` shows all", kind, name)
}

// nearestNames returns the names that differ from a wrong one in two letters, or a third of
// them, at most, the most similar first.
func nearestNames(wrong string, known []string) []string {
	type likeness struct {
		name     string
		distance int
	}
	var like []likeness
	for _, name := range known {
		if d := distance(wrong, name); d < len(wrong) && d <= max(2, len(wrong)/3) {
			like = append(like, likeness{name, d})
		}
	}
	slices.SortStableFunc(like, func(a, b likeness) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, l := range like[:min(len(like), nearest)] {
		names = append(names, l.name)
	}
	return names
}

// distance returns how many letters differ between a short or long name and the most similar
// end of a long one. The case of letters does not count. Only one does where a part of the
// last word of the long name is given, or that word behind something else.
func distance(wrong, name string) int {
	wrong, name = strings.ToLower(wrong), strings.ToLower(name)
	word := lastWord(name)
	if len(wrong) >= leastPart && strings.Contains(word, wrong) || lastWord(wrong) == word {
		return 1
	}
	least := levenshtein.ComputeDistance(wrong, name)
	for i, r := range name {
		if r == '.' || r == '/' {
			least = min(least, levenshtein.ComputeDistance(wrong, name[i+1:]))
		}
	}
	return least
}

// lastWord returns what is behind the last dot or slash of a name.
func lastWord(name string) string { return name[strings.LastIndexAny(name, "./")+1:] }

// serviceOf returns the full name of an action's service; without a schema it is told from
// the name, if it can be.
func serviceOf(action string, known *schema.Schema) string {
	if known != nil && known.Lookup(action) != nil {
		return known.Lookup(action).Spec.Service
	}
	if isCore(action) {
		return packetrpcv1packetrpc.CoreServiceName
	}
	service, _, _ := strings.Cut(action, "/")
	return service
}
