package console

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxLiveCalls is how many calls of the console may be under way at once.
const maxLiveCalls = 64

// callRequest is what the page sends to make a call.
type callRequest struct {
	Action string `json:"action"`
	// Messages are the first messages of a stream, or the only one of another call.
	Messages []json.RawMessage `json:"messages"`
	Metadata [][2]string       `json:"metadata"`
	Timeout  float64           `json:"timeout"` // in seconds; 0 is none
	Form     string            `json:"form"`    // "json", or "binary", which is the default
	Open     bool              `json:"open"`    // more messages follow
}

// event is one line of what answers it. One field is set.
type event struct {
	Call    string          `json:"call,omitempty"` // the id to send more messages with
	Packet  *packetView     `json:"packet,omitempty"`
	Message json.RawMessage `json:"message,omitempty"`
	End     *outcome        `json:"end,omitempty"`
}

// outcome is how a call has ended.
type outcome struct {
	Code     string            `json:"code"` // "" is well
	Message  string            `json:"message"`
	Details  []json.RawMessage `json:"details"`
	Outcome  string            `json:"outcome"`
	Metadata [][2]string       `json:"metadata"`
	Millis   float64           `json:"millis"`
}

// call makes a call, and answers with its events as they come, a JSON object on each
// line. The call is cancelled when the request is.
func (p *pages) call(w http.ResponseWriter, r *http.Request) {
	call, err := p.newCall(r)
	if err != nil {
		refuse(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	call.life = ctx
	id, err := p.calls.add(call)
	if err != nil {
		refuse(w, err)
		return
	}
	defer p.calls.remove(id)
	done := make(chan struct{})
	go func() {
		defer close(done)
		call.run(id)
	}()
	w.Header().Set("Content-Type", "application/x-ndjson")
	if call.write(w, done) != nil {
		cancel()
		<-done
	}
}

// newCall reads a request for a call.
func (p *pages) newCall(r *http.Request) (*liveCall, error) {
	var request callRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	method := p.catalogue().methods[request.Action]
	if method == nil {
		return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "the server handles no action %q", request.Action)
	}
	if err := request.check(method.Spec); err != nil {
		return nil, err
	}
	form, err := request.form(method.Spec)
	if err != nil {
		return nil, err
	}
	messages, err := parseMessages(method, request.Messages)
	if err != nil {
		return nil, err
	}
	return &liveCall{
		server: p.server, user: userOf(r), method: method, form: form, request: request, messages: messages,
		events: make(chan event), opened: make(chan struct{}),
	}, nil
}

// readJSON reads a request's body.
func readJSON(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the request cannot be read: %w", err)
	}
	return nil
}

// check refuses what cannot be called so.
func (c *callRequest) check(spec *packetrpc.Spec) error {
	if c.Timeout < 0 || c.Timeout > maxTimeout.Seconds() {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a deadline of %g s makes no sense", c.Timeout)
	}
	for _, pair := range c.Metadata {
		if !packetrpc.ValidMetadataKey(pair[0]) {
			return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "metadata key %q: keys are lower-case letters, digits, '-', '_' and '.'", pair[0])
		}
	}
	if !spec.Type.StreamsRequests() && (len(c.Messages) > 1 || c.Open) {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "action %s takes one message, not several", spec.Action)
	}
	return nil
}

// form returns the form that a call is made in. A reply whose type is not linked into the
// program can be read in the JSON form only.
func (c *callRequest) form(spec *packetrpc.Spec) (packet.Form, error) {
	switch c.Form {
	case packet.JSON.String():
		return packet.JSON, nil
	case packet.Binary.String(), "":
		if spec.Type != packetrpc.OneWay && newResponse(spec) == nil {
			return packet.JSON, nil
		}
		return packet.Binary, nil
	}
	return 0, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no form %q", c.Form)
}

// maxTimeout is the longest deadline that the page may set.
const maxTimeout = 24 * time.Hour

// parseMessages decodes messages of a method from their JSON form. A call that takes one
// has one, which may be empty.
func parseMessages(method *packetrpc.Method, texts []json.RawMessage) ([]proto.Message, error) {
	var messages []proto.Message
	for i, text := range texts {
		message := method.NewRequest()
		if err := protojson.Unmarshal(text, message); err != nil {
			return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "message %d is no %s: %w", i+1, message.ProtoReflect().Descriptor().FullName(), err)
		}
		messages = append(messages, message)
	}
	if len(messages) == 0 && !method.Spec.Type.StreamsRequests() {
		messages = append(messages, method.NewRequest())
	}
	return messages, nil
}

// sendMore sends more messages of a stream.
func (p *pages) sendMore(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Messages []json.RawMessage `json:"messages"`
	}
	call, err := p.calls.find(r)
	if err == nil {
		err = readJSON(r, &request)
	}
	var messages []proto.Message
	if err == nil {
		messages, err = parseMessages(call.method, request.Messages)
	}
	if err == nil {
		err = call.send(r.Context(), messages, false)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// halfClose says that no more messages of a stream follow.
func (p *pages) halfClose(w http.ResponseWriter, r *http.Request) {
	call, err := p.calls.find(r)
	if err == nil {
		err = call.send(r.Context(), nil, true)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// liveCalls is the calls that are under way, by an id that only who has made the call
// knows.
type liveCalls struct {
	mu   sync.Mutex
	byID map[string]*liveCall
}

func newLiveCalls() *liveCalls { return &liveCalls{byID: make(map[string]*liveCall)} }

func (l *liveCalls) add(call *liveCall) (id string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byID) >= maxLiveCalls {
		return "", packetrpc.Errorf(packetrpc.CodeResourceExhausted, "the console makes at most %d calls at once", maxLiveCalls)
	}
	id = rand.Text()
	l.byID[id] = call
	return id, nil
}

func (l *liveCalls) remove(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byID, id)
}

// find returns the call that a request is about, if its user has made it.
func (l *liveCalls) find(r *http.Request) (*liveCall, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	call := l.byID[r.PathValue("id")]
	if call == nil || call.user.identity.Name != userOf(r).identity.Name {
		return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "there is no such call under way")
	}
	return call, nil
}
