package packetrpc

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Metadata is an ordered list of keys with values that travels beside a call's
// messages. Keys are lower-case letters, digits, "-", "_" and "."; upper-case
// letters are lowered. A key may have several values. The zero value is empty
// and ready to use. A Metadata is not safe for concurrent change.
type Metadata struct {
	pairs []metadatum
}

type metadatum struct{ key, value string }

// Len returns the number of values.
func (m Metadata) Len() int { return len(m.pairs) }

// Get returns the first value of key, or "".
func (m Metadata) Get(key string) string {
	for value := range m.values(key) {
		return value
	}
	return ""
}

// Values returns all values of key in their order.
func (m Metadata) Values(key string) []string {
	var all []string
	for value := range m.values(key) {
		all = append(all, value)
	}
	return all
}

func (m Metadata) values(key string) iter.Seq[string] {
	key, _ = cleanKey(key)
	return func(yield func(string) bool) {
		for _, pair := range m.pairs {
			if pair.key == key && !yield(pair.value) {
				return
			}
		}
	}
}

// All yields each key with each of its values in their order.
func (m Metadata) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, pair := range m.pairs {
			if !yield(pair.key, pair.value) {
				return
			}
		}
	}
}

// Add appends a value to those of key. It panics when key has a character that
// keys cannot have: keys are written in programs, not read from users.
func (m *Metadata) Add(key, value string) {
	clean, ok := cleanKey(key)
	if !ok {
		panic(fmt.Sprintf("packetrpc: metadata key %q: keys are lower-case letters, digits, '-', '_' and '.'", key))
	}
	m.pairs = append(m.pairs, metadatum{clean, value})
}

// Clone returns a copy that shares nothing with m that an Add could change.
func (m Metadata) Clone() Metadata { return Metadata{slices.Clone(m.pairs)} }

// join returns a list of m's values followed by those of more, sharing nothing
// with either that an Add could change.
func (m Metadata) join(more Metadata) Metadata {
	if len(m.pairs) == 0 {
		return Metadata{more.pairs[:len(more.pairs):len(more.pairs)]}
	}
	return Metadata{append(m.pairs[:len(m.pairs):len(m.pairs)], more.pairs...)}
}

// cleanKey lowers a key and reports whether it is one.
func cleanKey(key string) (string, bool) {
	lower := true
	for i := range len(key) {
		switch c := key[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		case 'A' <= c && c <= 'Z':
			lower = false
		default:
			return key, false
		}
	}
	if !lower {
		key = lowerASCII(key)
	}
	return key, key != ""
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// ValidMetadataKey reports whether key is one that a packet can carry as it is.
func ValidMetadataKey(key string) bool {
	clean, ok := cleanKey(key)
	return ok && clean == key
}

type (
	outgoingKey struct{}
	callInfoKey struct{}
)

// WithMetadata returns a context whose calls and broadcasts carry the given keys and values,
// one after the other, beside those that ctx has already. It panics on a key
// that [Metadata.Add] panics on, and on a key without a value.
func WithMetadata(ctx context.Context, keysAndValues ...string) context.Context {
	if len(keysAndValues)%2 != 0 {
		panic("packetrpc: WithMetadata: a key without a value")
	}
	var more Metadata
	for i := 0; i < len(keysAndValues); i += 2 {
		more.Add(keysAndValues[i], keysAndValues[i+1])
	}
	return context.WithValue(ctx, outgoingKey{}, OutgoingMetadata(ctx).join(more))
}

// OutgoingMetadata returns what calls made with ctx carry.
func OutgoingMetadata(ctx context.Context) Metadata {
	metadata, _ := ctx.Value(outgoingKey{}).(Metadata)
	return metadata
}

// CallInfo receives what a reply carries besides its message; see
// [WithCallInfo].
type CallInfo struct {
	// Metadata is what the handler set with [SetMetadata]. For streams it grows
	// until the stream has ended, and may be read between calls to Receive.
	Metadata Metadata
}

// WithCallInfo returns a context for one call, and where that call's response
// metadata is found once it has returned.
func WithCallInfo(ctx context.Context) (context.Context, *CallInfo) {
	info := new(CallInfo)
	return context.WithValue(ctx, callInfoKey{}, info), info
}

// CallInfoFrom returns the CallInfo that ctx was given, or nil.
func CallInfoFrom(ctx context.Context) *CallInfo {
	info, _ := ctx.Value(callInfoKey{}).(*CallInfo)
	return info
}
