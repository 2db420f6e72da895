package session

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// Action is the action of a handshake's packets.
const Action = "handShake"

// The values of a handshake answer's status.
const (
	statusSuccess = "success"
	statusFail    = "fail"
)

// NewRequest returns the packet with which the dialling side begins, and sets the
// version that it speaks.
func NewRequest(form packet.Form, data *packetrpcv1.HandshakeRequest) (*packet.Packet, error) {
	data.Version = packet.Version
	return newPacket(form, packet.KindRequest, data)
}

// Request is a handshake as the accepting side has understood it.
type Request struct {
	// Plain: the client is an old program, whose connection receives replies only.
	Plain bool
	// Credentials is who the client says it is.
	Credentials Credentials
	// Limits is what the client takes; nil for a plain client.
	Limits *packetrpcv1.Limits
	// SealTo is the key that the client opens sealed data with; nil is none. Nothing
	// has proved that the client has it.
	SealTo *rsa.PublicKey
	// Resumable: the client acknowledges pushes. ResumeToken is that of the session
	// that it wants to go on with, whose pushes it has handled up to LastSequence;
	// the zero Token is none.
	Resumable    bool
	ResumeToken  Token
	LastSequence uint64
}

// IsRequest reports whether a connection's first packet begins a handshake at
// all; [ParseRequest] tells whether it does so well.
func IsRequest(p *packet.Packet) bool { return p.Action == Action }

// ErrNoHandshake is what a client is told whose first packet does something else.
var ErrNoHandshake error = &packetrpc.Error{
	Code: packetrpc.CodeUnauthenticated,
	Message: `a connection begins with a handshake: {"action":"handShake",` +
		`"data":{"username":"NAME","password":"PASSWORD"}}`,
}

// ParseRequest reads the dialling side's packet. Its errors are for the client.
func ParseRequest(form packet.Form, p *packet.Packet, remote net.Addr) (Request, error) {
	switch {
	case !IsRequest(p):
		return Request{}, ErrNoHandshake
	case p.Kind != packet.KindRequest:
		return Request{}, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a handshake is a request, not a packet of kind %q", p.Kind)
	case p.CallID != 0:
		return Request{}, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a handshake has the call id 0, not %d", p.CallID)
	case p.More:
		return Request{}, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a handshake is one packet")
	}
	var data packetrpcv1.HandshakeRequest
	if err := packet.UnmarshalMessage(form, p.Data, &data); err != nil {
		return Request{}, badData(form, err)
	}
	plain := form == packet.JSON && data.GetVersion() == 0
	if !plain && data.GetVersion() != packet.Version {
		return Request{}, packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"this server speaks version %d of the protocol, not %d", packet.Version, data.GetVersion())
	}
	request := Request{
		Plain:       plain,
		Credentials: Credentials{Username: data.GetUsername(), Password: data.GetPassword(), RemoteAddr: remote},
		Limits:      data.GetLimits(),

		Resumable:    !plain && data.GetResumable(),
		ResumeToken:  ParseToken(string(data.GetResumeToken())),
		LastSequence: data.GetLastSequence(),
	}
	if plain {
		request.Limits = nil
	}
	if key := data.GetPublicKey(); len(key) > 0 {
		var err error
		if request.SealTo, err = seal.ParsePublicKeyDER(key); err != nil {
			return Request{}, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the handshake's public key: %w", err)
		}
	}
	return request, nil
}

// badData refuses data that is none of a handshake. What protojson says of it can show
// a password, such as one that is a number.
func badData(form packet.Form, err error) error {
	if form == packet.JSON {
		err = errors.New(`it is not of the form {"username":"NAME","password":"PASSWORD"}, with strings`)
	}
	return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the handshake's data: %w", err)
}

// Terms is what the accepting side tells of itself.
type Terms struct {
	// Limits is what it takes.
	Limits *packetrpcv1.Limits
	// Keepalive is how the connection is kept alive; nil is not at all.
	Keepalive *packetrpcv1.Keepalive
	// Resumed: the session is the one that the client wanted to go on with.
	// ResumeRefused is why it is not.
	Resumed       bool
	ResumeRefused string
	// ResumeWithin is how long the session is kept once its connection is lost; 0 is
	// not at all.
	ResumeWithin time.Duration
	// PublicKey is the key to seal to, in DER; nil is none.
	PublicKey []byte
}

// NewAnswer returns the packet that tells the client about its new session. A plain
// client is not told the terms.
func NewAnswer(form packet.Form, request Request, s *Session, terms Terms) (*packet.Packet, error) {
	token := s.Token().Reveal()
	data := &packetrpcv1.HandshakeResponse{
		Status:      statusSuccess,
		Uuid:        token,
		RemoteToken: token,
		Id:          string(s.ID()),
	}
	if !request.Plain {
		data.Version = packet.Version
		data.Limits = terms.Limits
		data.Keepalive = terms.Keepalive
		data.Resumed, data.ResumeRefused = terms.Resumed, terms.ResumeRefused
		if terms.ResumeWithin > 0 {
			data.ResumeWithin = durationpb.New(terms.ResumeWithin)
		}
		data.PublicKey = terms.PublicKey
	}
	answer, err := newPacket(form, packet.KindResponse, data)
	if err != nil {
		return nil, err
	}
	answer.Token = token
	return answer, nil
}

// NewRefusal returns the packet that tells a client why its handshake, or the
// packet that it sent in place of one, is refused.
func NewRefusal(form packet.Form, refused *packet.Packet, reason error) *packet.Packet {
	// A message of one short field that is valid UTF-8 can be encoded.
	refusal, _ := newPacket(form, packet.KindError, &packetrpcv1.HandshakeResponse{Status: statusFail})
	if refused != nil && refused.Action != "" {
		refusal.Action = refused.Action
		refusal.CallID = refused.CallID
	}
	coded := packetrpc.AsError(reason)
	refusal.Status = coded.Code
	refusal.Message = coded.Message
	refusal.Details = coded.Details
	refusal.RetryAfter = coded.RetryAfter
	return refusal
}

// Answer is what the accepting side has said about the new session.
type Answer struct {
	Token Token
	ID    ID
	// Limits is what the accepting side takes.
	Limits *packetrpcv1.Limits
	// Keepalive is how the connection is kept alive; nil is not at all.
	Keepalive *packetrpcv1.Keepalive
	// Resumed, ResumeRefused and ResumeWithin are as in Terms.
	Resumed       bool
	ResumeRefused string
	ResumeWithin  time.Duration
	// SealTo is the key to seal to; nil is none. Whose it is the connection must have
	// proved.
	SealTo *rsa.PublicKey
}

// ErrNotAnAnswer tells that what answered the handshake is no packetrpc server.
var ErrNotAnAnswer = errors.New("its answer to the handshake is not one")

// ParseAnswer reads the accepting side's packet. It returns the error that the
// handshake was refused with, or one that wraps [ErrNotAnAnswer].
func ParseAnswer(form packet.Form, p *packet.Packet) (Answer, error) {
	if p.Kind == packet.KindError {
		return Answer{}, refusal(p)
	}
	if p.Action != Action || p.Kind != packet.KindResponse {
		return Answer{}, notAnAnswer("a packet of kind %q with the action %q", p.Kind, p.Action)
	}
	var data packetrpcv1.HandshakeResponse
	if err := packet.UnmarshalMessage(form, p.Data, &data); err != nil {
		return Answer{}, notAnAnswer("%w", err)
	}
	token := p.Token
	if token == "" {
		token = data.GetUuid()
	}
	switch {
	case data.GetStatus() == statusFail:
		return Answer{}, refusal(p)
	case data.GetStatus() != statusSuccess:
		return Answer{}, notAnAnswer("its status is %q", data.GetStatus())
	case data.GetVersion() != packet.Version:
		return Answer{}, packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"the server speaks version %d of the protocol, this client %d", data.GetVersion(), packet.Version)
	case token == "":
		return Answer{}, notAnAnswer("it has no token")
	}
	answer := Answer{Token: ParseToken(token), ID: ID(data.GetId()), Limits: data.GetLimits(), Keepalive: data.GetKeepalive(),
		Resumed: data.GetResumed(), ResumeRefused: data.GetResumeRefused(), ResumeWithin: max(0, data.GetResumeWithin().AsDuration())}
	if key := data.GetPublicKey(); len(key) > 0 {
		var err error
		if answer.SealTo, err = seal.ParsePublicKeyDER(key); err != nil {
			return Answer{}, notAnAnswer("its public key: %w", err)
		}
	}
	return answer, nil
}

// refusal returns the error that a packet refuses the handshake with.
func refusal(p *packet.Packet) error {
	code, message := p.Status, p.Message
	if code == 0 {
		code = packetrpc.CodeUnauthenticated
	}
	if message == "" {
		message = "the server refused the handshake"
	}
	refused := packetrpc.NewRemoteError(code, message, p.Details)
	refused.RetryAfter = p.RetryAfter
	return refused
}

func notAnAnswer(format string, args ...any) error {
	return packetrpc.Errorf(packetrpc.CodeUnavailable, "%w: %w", ErrNotAnAnswer, fmt.Errorf(format, args...))
}

// newPacket returns a packet of the handshake.
func newPacket(form packet.Form, kind packet.Kind, message proto.Message) (*packet.Packet, error) {
	data, err := packet.AppendMessage(form, nil, message)
	if err != nil {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the handshake cannot be encoded: %w", err)
	}
	return &packet.Packet{Action: Action, Kind: kind, Data: data, Created: time.Now().UnixMicro()}, nil
}
