package conformance

import (
	"google.golang.org/protobuf/proto"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// defaultLimits is what the runner takes where a case says nothing else. The windows
// are small, so that every case exercises them.
func defaultLimits() *packetrpcv1.Limits {
	return &packetrpcv1.Limits{
		MaxMessageSize: 4 << 20, MaxOpenCalls: 100,
		CallWindow: 64 << 10, ConnectionWindow: 256 << 10, MaxActionNumbers: 16,
	}
}

// shake does the handshake of either side.
func (l *link) shake(told *packetrpcv1.Limits) {
	if l.dialled {
		l.greet(told)
		return
	}
	l.takeHandshake()
	l.accept(told)
}

// takeHandshake waits for the command's handshake, and checks it.
func (l *link) takeHandshake() *packetrpcv1.HandshakeRequest {
	p := l.next()
	if p.Action != "handShake" || p.Kind != packet.KindRequest || p.CallID != 0 || p.Token != "" {
		l.failf("%v is no handshake: it has the kind request, the action handShake, no id and no token (section 9)", p)
	}
	var request packetrpcv1.HandshakeRequest
	if err := packet.UnmarshalMessage(l.form, p.Data, &request); err != nil {
		l.failf("the handshake's data cannot be read: %v", err)
	}
	if request.GetVersion() != packet.Version {
		l.failf("the handshake has the version %d (section 9)", request.GetVersion())
	}
	l.theirs = request.GetLimits()
	return &request
}

// accept answers the handshake well.
func (l *link) accept(told *packetrpcv1.Limits) { l.write(packet.Append(l.form, nil, l.answer(told))) }

// answer returns the answer that accept sends, and begins the connection.
func (l *link) answer(told *packetrpcv1.Limits) *packet.Packet {
	l.rules.open(told, token)
	p := &packet.Packet{Kind: packet.KindResponse, Action: "handShake", Token: token}
	p.Data = l.encode(&packetrpcv1.HandshakeResponse{
		Status: "success", Uuid: token, RemoteToken: token, Version: packet.Version, Id: "public", Limits: told,
	})
	l.log("→", p)
	return p
}

// refuse answers the handshake badly and ends the connection.
func (l *link) refuse(refusal packet.Packet) {
	refusal.Kind, refusal.Action = packet.KindError, "handShake"
	refusal.Data = l.encode(&packetrpcv1.HandshakeResponse{Status: "fail"})
	l.send(&refusal)
	l.closeWrite()
}

// greet does the handshake of the dialling side.
func (l *link) greet(told *packetrpcv1.Limits) {
	l.offer(&packetrpcv1.HandshakeRequest{Version: packet.Version, Username: "runner", Limits: told})
	p := l.next()
	var response packetrpcv1.HandshakeResponse
	if err := packet.UnmarshalMessage(l.form, p.Data, &response); err != nil {
		l.failf("the answer to the handshake cannot be read: %v", err)
	}
	if p.Kind != packet.KindResponse || p.Action != "handShake" || response.GetStatus() != "success" || response.GetVersion() != packet.Version {
		l.failf("%v (%v, %q) is no good answer to a handshake (section 9)", p, p.Status, p.Message)
	}
	if p.Token == "" || response.GetUuid() != p.Token || response.GetRemoteToken() != p.Token || response.GetId() == "" || response.GetId() == p.Token {
		l.failf("the answer to the handshake bears no token three times over, or no public id (section 9)")
	}
	l.token, l.theirs = p.Token, response.GetLimits()
}

// offer sends a handshake, and what comes before it.
func (l *link) offer(request *packetrpcv1.HandshakeRequest) {
	l.rules.open(request.GetLimits(), "")
	var text []byte
	if l.form == packet.Binary {
		text = append(text, packet.Preface...)
	}
	l.write(packet.Append(l.form, text, &packet.Packet{Kind: packet.KindRequest, Action: "handShake", Data: l.encode(request)}))
}

// wantRefused waits for a handshake's refusal and the end of the connection.
func (l *link) wantRefused(code packetrpc.Code) {
	p := l.next()
	if p.Kind != packet.KindError || p.Status != code || p.Message == "" {
		l.failf("%v (%v, %q) does not refuse the handshake with %v (section 9)", p, p.Status, p.Message, code)
	}
	l.over()
}

func (l *link) encode(message proto.Message) []byte {
	data, err := packet.AppendMessage(l.form, nil, message)
	if err != nil {
		l.failf("%v", err)
	}
	return data
}
