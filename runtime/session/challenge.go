package session

import (
	"crypto/rand"
	"crypto/rsa"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// ChallengeAction is the action of the packets that come before a sealed handshake
// (PROTOCOL section 18).
const ChallengeAction = "CoreChallenge"

// NewChallengeRequest returns the packet with which the dialling side begins when it
// wants to seal its handshake.
func NewChallengeRequest() *packet.Packet {
	return &packet.Packet{Kind: packet.KindRequest, Action: ChallengeAction}
}

// IsChallengeRequest reports whether a packet asks for a challenge.
func IsChallengeRequest(p *packet.Packet) bool {
	return p.Action == ChallengeAction && p.Kind == packet.KindRequest
}

// NewChallenge returns what one sealed handshake is bound to.
func NewChallenge() string { return rand.Text() }

// NewChallengeAnswer returns the packet that gives the dialling side a challenge and
// the key to seal to.
func NewChallengeAnswer(form packet.Form, challenge string, key []byte) (*packet.Packet, error) {
	answer, err := newPacket(form, packet.KindResponse, &packetrpcv1.ChallengeResponse{Challenge: challenge, PublicKey: key})
	if err == nil {
		answer.Action = ChallengeAction
	}
	return answer, err
}

// ParseChallengeAnswer reads the accepting side's packet. Nothing has proved yet whose
// the key is.
func ParseChallengeAnswer(form packet.Form, p *packet.Packet) (challenge string, key *rsa.PublicKey, err error) {
	if p.Kind == packet.KindError {
		return "", nil, refusal(p)
	}
	if p.Action != ChallengeAction || p.Kind != packet.KindResponse {
		return "", nil, notAnAnswer("a packet of kind %q with the action %q", p.Kind, p.Action)
	}
	var data packetrpcv1.ChallengeResponse
	if err := packet.UnmarshalMessage(form, p.Data, &data); err != nil {
		return "", nil, notAnAnswer("%w", err)
	}
	if data.GetChallenge() == "" {
		return "", nil, notAnAnswer("it has no challenge")
	}
	key, err = seal.ParsePublicKeyDER(data.GetPublicKey())
	if err != nil {
		return "", nil, notAnAnswer("the key to seal to: %w", err)
	}
	return data.GetChallenge(), key, nil
}

// SealRequest seals the data of a handshake that [NewRequest] has returned.
func SealRequest(form packet.Form, request *packet.Packet, challenge string, to *rsa.PublicKey) error {
	sealed, _, err := requestLabel(challenge).Seal(request.Data, to)
	if err != nil {
		return err
	}
	request.Data, request.Sealed = packet.AppendSealed(form, nil, sealed), true
	return nil
}

// OpenRequest opens the data of a handshake, for [ParseRequest]. Its errors are for
// the client.
func OpenRequest(form packet.Form, request *packet.Packet, challenge string, opener *seal.Opener) error {
	switch {
	case opener == nil:
		return ErrNoKey
	case challenge == "":
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"a sealed handshake is bound to a challenge, which %s returns for one handshake", ChallengeAction)
	}
	sealed, err := packet.ParseSealed(form, request.Data)
	if err != nil {
		return packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
	}
	data, _, err := opener.Open(sealed, requestLabel(challenge))
	if err != nil {
		return err
	}
	request.Data, request.Sealed = data, false
	return nil
}

// ErrNoKey is what a client is told that wants to seal to a server without a key.
var ErrNoKey error = &packetrpc.Error{
	Code:    packetrpc.CodeFailedPrecondition,
	Message: "this server has no key to seal to (server.WithKey)",
}

// requestLabel is what a sealed handshake is bound to.
func requestLabel(challenge string) seal.Label {
	return seal.Label{Action: Action, Direction: seal.Request, Challenge: challenge}
}
