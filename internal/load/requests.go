package load

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"text/template"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/packetrpc/packetrpc/runtime/schema"
)

// Requests is what the calls of a load send. It does not change and may be used
// concurrently.
type Requests struct {
	action *schema.Action
	decode protojson.UnmarshalOptions

	// One of the two is set.
	fixed    []*request
	template *template.Template
}

// ParseRequests reads the messages that are to be sent: JSON values one behind the
// other, which are sent in turn, and none stands for an empty message. They are encoded
// once.
//
// A text with {{ in it is a template (package text/template) that makes one message,
// anew for each one that is sent: {{.N}} is the number of the call from 0, {{.Message}}
// that of the message in its stream, {{.UUID}} a random UUID and {{.Random 100}} a
// random number below 100. Then each message is parsed and encoded as well, which costs
// the load time.
func ParseRequests(known *schema.Schema, action *schema.Action, text []byte) (*Requests, error) {
	r := &Requests{action: action, decode: protojson.UnmarshalOptions{Resolver: known.Types()}}
	if bytes.Contains(text, []byte("{{")) {
		var err error
		if r.template, err = template.New("request").Option("missingkey=error").Parse(string(text)); err != nil {
			return nil, err
		}
		_, err = r.at(0, 0) // so that nothing begins with what cannot work
		return r, err
	}
	return r, r.parse(text)
}

// parse encodes the messages of a text without a template.
func (r *Requests) parse(text []byte) error {
	values := json.NewDecoder(bytes.NewReader(text))
	for {
		var value json.RawMessage
		err := values.Decode(&value)
		if errors.Is(err, io.EOF) && len(r.fixed) == 0 {
			value, err = json.RawMessage("{}"), nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("request %d: %w", len(r.fixed)+1, err)
		}
		message, err := r.message(value)
		if err != nil {
			return fmt.Errorf("request %d: %w", len(r.fixed)+1, err)
		}
		r.fixed = append(r.fixed, message)
	}
}

func (r *Requests) message(text []byte) (*request, error) {
	message := r.action.NewRequest()
	if err := r.decode.Unmarshal(text, message); err != nil {
		return nil, err
	}
	return newRequest(message)
}

// at returns a message of a call, both counted from 0. Each call begins with the value
// behind the one that the call before it has begun with.
func (r *Requests) at(call int64, message int) (*request, error) {
	if r.template == nil {
		return r.fixed[(call+int64(message))%int64(len(r.fixed))], nil
	}
	var text bytes.Buffer
	if err := r.template.Execute(&text, turn{call, message}); err != nil {
		return nil, err
	}
	return r.message(text.Bytes())
}

// turn is what a template knows.
type turn struct {
	N       int64
	Message int
}

// UUID returns a random UUID (version 4).
func (turn) UUID() string {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Random returns a random number below limit.
func (turn) Random(limit int) (int, error) {
	if limit <= 0 {
		return 0, errors.New("Random takes a limit above 0")
	}
	return mathrand.IntN(limit), nil
}
