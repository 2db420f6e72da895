package tap

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// hidden stands in place of a secret.
const hidden = "[hidden]"

// secretWords are the words in the names of fields and metadata keys whose values are
// hidden.
func secretWords() []string {
	return []string{"password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "apikey", "credential", "privatekey"}
}

// A vault knows the names whose values are secret. Upper case, "-", "_" and "." do not
// matter in names.
type vault struct {
	words []string
	names map[string]bool
}

// newVault returns a vault that knows more names than those that have one of the usual
// words in them.
func newVault(more ...string) *vault {
	v := &vault{words: secretWords(), names: make(map[string]bool)}
	for _, name := range more {
		v.names[plainName(name)] = true
	}
	return v
}

// with returns a vault that knows the names of v and more.
func (v *vault) with(more ...string) *vault {
	both := newVault(more...)
	for name := range v.names {
		both.names[name] = true
	}
	return both
}

// secret reports whether the value of a field or of a metadata key is one.
func (v *vault) secret(name string) bool {
	name = plainName(name)
	if v.names[name] {
		return true
	}
	for _, word := range v.words {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// plainName removes what differs in how names are written.
func plainName(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(name))
}

// redact returns JSON text without white space, with the values of secret names and all
// secrets hidden, and whether there were any of the former.
func (v *vault) redact(text []byte, secrets *secrets) (clean json.RawMessage, found bool, err error) {
	r := redactor{vault: v, secrets: secrets, in: json.NewDecoder(bytes.NewReader(text))}
	r.in.UseNumber()
	r.strings = json.NewEncoder(&r.out)
	r.strings.SetEscapeHTML(false)
	if err := r.value(); err != nil {
		return nil, false, err
	}
	return r.out.Bytes(), r.found, nil
}

// redactor copies JSON text.
type redactor struct {
	*vault
	secrets *secrets
	in      *json.Decoder
	out     bytes.Buffer
	strings *json.Encoder
	found   bool
}

func (r *redactor) value() error {
	token, err := r.in.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return r.members()
	case json.Delim('['):
		return r.elements()
	}
	return r.write(token)
}

// write writes a value that is neither an object nor an array.
func (r *redactor) write(token any) error {
	if text, isText := token.(string); isText {
		token = r.secrets.text(text)
	}
	err := r.strings.Encode(token)
	r.out.Truncate(r.out.Len() - 1) // Encode adds a line feed
	return err
}

func (r *redactor) members() error {
	r.out.WriteByte('{')
	for first := true; r.in.More(); first = false {
		key, err := r.in.Token()
		if err != nil {
			return err
		}
		if !first {
			r.out.WriteByte(',')
		}
		if err := r.write(key); err != nil {
			return err
		}
		r.out.WriteByte(':')
		name, _ := key.(string)
		if err := r.member(name); err != nil {
			return err
		}
	}
	return r.end('}')
}

// member copies the value of a member, or hides it. That a secret is empty is no secret.
func (r *redactor) member(name string) error {
	if !r.secret(name) {
		return r.value()
	}
	var secret json.RawMessage
	if err := r.in.Decode(&secret); err != nil {
		return err
	}
	switch string(secret) {
	case `""`, "null", "{}", "[]":
		r.out.Write(secret)
		return nil
	}
	r.found = true
	return r.write(hidden)
}

func (r *redactor) elements() error {
	r.out.WriteByte('[')
	for first := true; r.in.More(); first = false {
		if !first {
			r.out.WriteByte(',')
		}
		if err := r.value(); err != nil {
			return err
		}
	}
	return r.end(']')
}

func (r *redactor) end(bracket byte) error {
	r.out.WriteByte(bracket)
	_, err := r.in.Token()
	return err
}

// redactedFields returns the names of the fields of a message, and of those inside of it,
// that are declared with debug_redact, or whose name tells a secret and is another one in
// JSON. In JSON fields may have either name.
func (v *vault) redactedFields(message protoreflect.MessageDescriptor) []string {
	var names []string
	seen := make(map[protoreflect.FullName]bool)
	var visit func(protoreflect.MessageDescriptor)
	visit = func(message protoreflect.MessageDescriptor) {
		if seen[message.FullName()] {
			return
		}
		seen[message.FullName()] = true
		for i := range message.Fields().Len() {
			field := message.Fields().Get(i)
			if options, _ := field.Options().(*descriptorpb.FieldOptions); options.GetDebugRedact() || v.secret(string(field.Name())) {
				names = append(names, field.JSONName(), string(field.Name()))
			}
			if inner := field.Message(); inner != nil {
				visit(inner)
			}
		}
	}
	visit(message)
	return names
}

// leastSecret is the length of a token that is looked for in texts. What is shorter is no
// secret, and would be found everywhere. mostSecrets is how many tokens of a connection
// are.
const (
	leastSecret = 8
	mostSecrets = 32
)

// secrets are the tokens of a connection, which must not be seen wherever they turn up.
type secrets struct {
	forms    []string          // as they are and in base64, each before what stands in its place
	replacer *strings.Replacer // nil while there are none
}

// add adds a token.
func (s *secrets) add(token string) {
	const formsOfEach = 3
	if len(token) < leastSecret || len(s.forms) >= 2*formsOfEach*mostSecrets || slices.Contains(s.forms, token) {
		return
	}
	for _, form := range [formsOfEach]string{
		token,
		base64.RawStdEncoding.EncodeToString([]byte(token)),
		base64.RawURLEncoding.EncodeToString([]byte(token)),
	} {
		s.forms = append(s.forms, form, hidden)
	}
	s.replacer = strings.NewReplacer(s.forms...)
}

// text returns a text without secrets, and with what is not UTF-8 mended.
func (s *secrets) text(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if s.replacer != nil {
		text = s.replacer.Replace(text)
	}
	return text
}
