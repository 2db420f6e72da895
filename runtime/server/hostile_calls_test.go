//go:build linux

package server_test

import (
	"fmt"
	"strings"

	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// tokenRows are attacks by those who have no token, or one that is not theirs.
func tokenRows() []hostile {
	const unauthenticated = "unauthenticated"
	const missing, wrong = "the packet bears no token; the handshake returned one", "the packet's token is not this connection's"
	look := func(token string) string { return `{"id":3,"action":"bank.Bank/Look","data":"x"` + token + `}` }
	return []hostile{
		{name: "no token", attack: asks(look("")), want: said{unauthenticated, missing}},
		{name: "token of null", attack: asks(look(`,"token":null`)), want: said{unauthenticated, missing}},
		{name: "token that is guessed", attack: asks(look(`,"token":"AAAAAAAAAAAAAAAAAAAAAA"`)), want: said{unauthenticated, wrong}},
		{name: "token of a star", attack: asks(look(`,"token":"*"`)), want: said{unauthenticated, wrong}},
		{name: "token that is a list", attack: asks(look(`,"token":[TOKEN]`)), want: said{"invalid_argument", `malformed packet: key "token": not a string`}},
		{name: "token in the data", attack: asks(`{"id":3,"action":"bank.Bank/Look","data":{"token":TOKEN}}`), want: said{unauthenticated, missing}},
		{name: "token of 100 KB", attack: asks(look(`,"token":"` + strings.Repeat("A", 100_000) + `"`)), want: said{unauthenticated, wrong}},
		{name: "token of 1 MB", attack: asks(look(`,"token":"` + strings.Repeat("A", 1_000_000) + `"`)), want: said{"resource_exhausted", "bytes besides its data; it may have 131072"}},
		{name: "part of the token", attack: asksBinary(&packet.Packet{CallID: 3, Action: lookSpec.Action, Token: "A"}), want: said{unauthenticated, wrong}},
		{name: "token of another session", attack: stealsToken(false), want: said{unauthenticated, wrong}},
		{name: "token of a session that has ended", attack: stealsToken(true), want: said{unauthenticated, wrong}},
		{name: "token of another session on a plain connection", attack: stealsPlainToken, want: said{unauthenticated, wrong}},
	}
}

// stealsToken uses a token that was somebody else's.
func stealsToken(ended bool) func(*attacker) said {
	return func(a *attacker) said {
		victim, thief := a.shaken(), a.shaken()
		if ended {
			victim.tells(`{"kind":"close"}`)
			victim.ends()
		}
		return a.useStolen(thief.raw, victim.token, thief.token)
	}
}

func stealsPlainToken(a *attacker) said {
	victim, thief := a.connect(), a.connect()
	return a.useStolen(thief, victim.shake(), thief.shake())
}

// useStolen calls with a token and makes sure that no token is in the answer.
func (a *attacker) useStolen(thief *raw, token, own string) said {
	thief.write(`{"action":"bank.Bank/Look","token":"` + token + `"}`)
	line, err := thief.lines.ReadString('\n')
	if err != nil || strings.Contains(line, token) || strings.Contains(line, own) {
		a.Errorf("the answer shows a token: %q, %v", line, err)
	}
	return parseReply(a.T, line).said()
}

// roleRows are attacks by those who lack a role and by those who hide an action.
func roleRows() []hostile {
	const denied, needs = "permission_denied", `action bank.Bank/Transfer needs the role "teller"`
	call := func(action string) string { return `{"id":3,"action":"` + action + `","data":"all","token":TOKEN}` }
	core := []string{packetrpcv1packetrpc.CoreServiceSendAction, packetrpcv1packetrpc.CoreServiceBroadcastAction, packetrpcv1packetrpc.CoreServiceDisconnectAction}
	number := func(id uint64, number uint32, action string) *packet.Packet {
		return &packet.Packet{CallID: id, ActionNumber: number, Action: action}
	}
	oneWay := func(id uint64, action string) *packet.Packet {
		return &packet.Packet{Kind: packet.KindOneWay, CallID: id, Action: action}
	}
	rows := []hostile{
		{name: "guarded action", attack: asks(call("bank.Bank/Transfer")), want: said{denied, needs}},
		{name: "guarded action of a plain connection", attack: asksPlain(`{"action":"bank.Bank/Transfer","token":TOKEN}`), want: said{denied, needs}},
		{name: "guarded action by a number defined where it was refused", attack: asksBinary(number(3, 1, transferSpec.Action), number(5, 1, "")), want: said{denied, needs}},
		{name: "guarded action by a JSON number", attack: asks(`{"id":3,"number":9,"action":"bank.Bank/Transfer","token":TOKEN}`, `{"id":5,"number":9,"token":TOKEN}`), want: said{denied, needs}},
		{name: "number defined without a token", attack: asks(`{"id":3,"number":9,"action":"bank.Bank/Transfer"}`, `{"id":5,"number":9,"token":TOKEN}`), want: said{denied, needs}},
		{name: "number given to another action", attack: asksBinary(number(3, 1, echoSpec.Action), number(5, 1, transferSpec.Action)), want: said{"invalid_argument", `action number 1 is "test.Echo/Echo" already`}},
		{name: "number that is not defined", attack: asksBinary(number(3, 7, "")), want: said{"invalid_argument", "action number 7 has not been defined"}},
		{name: "number beyond the limit", attack: asksBinary(number(3, 1025, transferSpec.Action)), want: said{"resource_exhausted", "action number 1025 is beyond the limit of 1024"}},
		{name: "largest number", attack: asksBinary(number(3, 1<<32-1, transferSpec.Action)), want: said{"resource_exhausted", "action number 4294967295 is beyond the limit of 1024"}},
		{name: "action in another case", attack: asks(call("BANK.Bank/Transfer")), want: said{"unimplemented", `action "BANK.Bank/Transfer" is not served here`}},
		{name: "action with a NUL behind it", attack: asks(call(`bank.Bank/Transfer\u0000`)), want: said{"unimplemented", `action "bank.Bank/Transfer\x00" is not served here`}},
		{name: "action with a space behind it", attack: asks(call("bank.Bank/Transfer ")), want: said{"unimplemented", `action "bank.Bank/Transfer " is not served here`}},
		{name: "action with a slash before it", attack: asks(call("/bank.Bank/Transfer")), want: said{"unimplemented", "is not served here"}},
		{name: "action with a Cyrillic letter", attack: asks(call("bаnk.Bank/Transfer")), want: said{"unimplemented", "is not served here"}},
		{name: "action with an invisible letter", attack: asks(call("bank.Bank/Transfer\u200b")), want: said{"unimplemented", `action "bank.Bank/Transfer\u200b" is not served here`}},
		{name: "action written with escapes", attack: asks(call(`bank.Bank\/\u0054ransfer`)), want: said{denied, needs}},
		{name: "action that names nothing", attack: asks(call("")), want: said{"invalid_argument", "the packet names no action"}},
		{name: "guarded action as one-way", attack: asks(`{"kind":"one-way","action":"bank.Bank/Transfer","token":TOKEN}`), want: said{"unimplemented", `action "bank.Bank/Transfer" is unary and not one-way`}},
		{name: "guarded one-way action", attack: asks(`{"kind":"one-way","action":"bank.Bank/Hint","token":TOKEN}`), want: said{denied, `action bank.Bank/Hint needs the role "teller"`}},
		{name: "guarded one-way action as a request", attack: asks(call("bank.Bank/Hint")), want: said{denied, `action bank.Bank/Hint needs the role "teller"`}},
		{name: "guarded stream", attack: asks(`{"id":3,"action":"bank.Bank/Feed","token":TOKEN}`), want: said{denied, `action bank.Bank/Feed needs the role "teller"`}},
		{name: "guarded action as a message", attack: asks(`{"kind":"message","id":3,"action":"bank.Bank/Transfer","token":TOKEN}`), want: said{"failed_precondition", "call 3 is not open"}},
		{name: "guarded action as the server's own call", attack: asks(`{"id":4,"action":"bank.Bank/Transfer","token":TOKEN}`), want: said{"invalid_argument", "call id 4 is of this side's calls"}},
		{name: "guarded action in the lane", attack: asksBinary(number(1, 0, transferSpec.Action)), want: said{"invalid_argument", "call id 1 is the one-way lane's"}},
		{name: "one-way packet in the server's lane", attack: asksBinary(oneWay(2, hintSpec.Action)), want: said{"invalid_argument", "one-way"}},
		{name: "guarded action within an open call", attack: tells(`{"id":3,"action":"test.Hold/Hold","token":TOKEN}`, call("bank.Bank/Transfer")), want: said{"invalid_argument", "call 3 is open already"}},
		{name: "guarded action twice in a packet", attack: asks(`{"id":3,"action":"test.Echo/Echo","action":"bank.Bank/Transfer","token":TOKEN}`), want: said{"invalid_argument", `malformed packet: key "action": occurs twice`}},
		{name: "guarded action twice, once with escapes", attack: asks(`{"id":3,"action":"test.Echo/Echo","\u0061ction":"bank.Bank/Transfer","token":TOKEN}`), want: said{"invalid_argument", `malformed packet: key "action": occurs twice`}},
	}
	for i, action := range core {
		needs := fmt.Sprintf(`action %s needs the role "admin"`, action)
		rows = append(rows,
			hostile{name: action, attack: asks(call(action)), want: said{denied, needs}},
			hostile{name: action + " by number", attack: asksBinary(number(3, uint32(i+1), action), number(5, uint32(i+1), "")), want: said{denied, needs}},
			hostile{name: action + " as one-way", attack: asksBinary(oneWay(1, action)), want: said{"unimplemented", fmt.Sprintf("action %q is unary and not one-way", action)}})
	}
	for i := range rows {
		rows[i].at = guarded
	}
	return rows
}

// asksPlain is an attack by a packet on a plain connection.
func asksPlain(line string) func(*attacker) said {
	return func(a *attacker) said {
		nc := a.connect()
		nc.write(`{"action":"handShake","data":{"username":"eve","password":"eve's secret"}}`)
		return (&speaker{nc, *nc.read().Token}).asks(line)
	}
}

// jsonRows are attacks upon those who read JSON.
func jsonRows() []hostile {
	const argument = "invalid_argument"
	call := func(more string) string { return `{"id":3,"action":"bank.Bank/Look","token":TOKEN,` + more + `}` }
	deep := func(n int, open string) string { return call(`"data":` + strings.Repeat(open, n)) }
	return []hostile{
		{name: "lists nested 600 deep", attack: tells(deep(600, "[")), want: said{closed, "not a JSON packet: nested deeper than 512"}},
		{name: "lists nested 100,000 deep", attack: tells(deep(100_000, "[")), want: said{closed, "nested deeper than 512"}},
		{name: "objects nested 100,000 deep", attack: tells(deep(100_000, `{"a":`)), want: said{closed, "nested deeper than 512"}},
		{name: "brackets that do not match", attack: tells(call(`"data":[}`)), want: said{closed, "not JSON: '}' closes what another bracket opened"}},
		{name: "text between packets", attack: tells(`x`), want: said{closed, "a JSON packet begins with '{', not with 'x'"}},
		{name: "line break in a string", attack: tells("{\"id\":3,\"action\":\"a\nb\"}"), want: said{closed, "the control character"}},
		{name: "bytes that are not ASCII outside of a string", attack: tells("{\xc3\xa9}"), want: said{closed, "outside of a string"}},
		{name: "id of 2^53", attack: asks(`{"id":9007199254740992,"action":"bank.Bank/Look","token":TOKEN}`), want: said{argument, `malformed packet: key "id": not a whole number from 0 to 2^53-1`}},
		{name: "id of 1e400", attack: asks(`{"id":1e400,"action":"bank.Bank/Look","token":TOKEN}`), want: said{argument, `malformed packet: key "id"`}},
		{name: "id of a thousand digits", attack: asks(`{"id":` + strings.Repeat("9", 1000) + `,"action":"bank.Bank/Look","token":TOKEN}`), want: said{argument, `malformed packet: key "id"`}},
		{name: "negative id", attack: asks(`{"id":-3,"action":"bank.Bank/Look","token":TOKEN}`), want: said{argument, `malformed packet: key "id"`}},
		{name: "id that is a string", attack: asks(`{"id":"3","action":"bank.Bank/Look","token":TOKEN}`), want: said{argument, `malformed packet: key "id": not a number`}},
		{name: "id of NaN", attack: asks(`{"id":NaN,"action":"bank.Bank/Look","token":TOKEN}`), want: said{argument, `malformed packet`}},
		{name: "timeout of Infinity", attack: asks(call(`"timeout":-Infinity`)), want: said{argument, "malformed packet"}},
		{name: "negative timeout", attack: asks(call(`"timeout":-1`)), want: said{argument, `malformed packet: key "timeout": negative`}},
		{name: "surrogate that stands alone in the action", attack: asks(`{"id":3,"action":"bank.Bank/Look\ud800","token":TOKEN}`), want: said{"unimplemented", "is not served here"}},
		{name: "surrogate that stands alone in the data", attack: asks(call(`"data":"\udfff"`)), want: said{argument, "the data is no google.protobuf.StringValue"}},
		{name: "data that is not UTF-8", attack: asks(call("\"data\":\"\xff\"")), want: said{argument, "malformed packet: not UTF-8"}},
		{name: "data of another type", attack: asks(call(`"data":{"a":[1]}`)), want: said{argument, "the data is no google.protobuf.StringValue"}},
		{name: "more in JSON", attack: asks(call(`"more":true`)), want: said{argument, `malformed packet: key "more": messages are not split in the JSON form`}},
		{name: "metadata key with a line break", attack: asks(call(`"metadata":{"a\r\nb":"c"}`)), want: said{argument, "malformed packet: key \"metadata\""}},
		{name: "metadata that nests", attack: asks(call(`"metadata":{"a":{"b":"c"}}`)), want: said{argument, "malformed packet: key \"metadata\""}},
		{name: "metadata key twice", attack: asks(call(`"metadata":{"a":"b","a":"c"}`)), want: said{argument, "occurs twice"}},
		{name: "details that are not base64", attack: asks(call(`"details":[{"type":"a","value":"*"}]`)), want: said{argument, "malformed packet: key \"details\""}},
		{name: "prototype pollution", attack: asks(`{"__proto__":{"token":TOKEN},"id":3,"action":"bank.Bank/Look","constructor":{}}`), want: said{"unauthenticated", "the packet bears no token; the handshake returned one"}},
	}
}

// kindRows are attacks by packets that are not in their place.
func kindRows() []hostile {
	const argument = "invalid_argument"
	hold := `{"id":3,"action":"test.Hold/Hold","token":TOKEN}`
	talk := `{"id":3,"action":"test.Hold/Talk","token":TOKEN}`
	ping := `{"id":9,"kind":"ping"}`
	echo := `{"id":99,"action":"test.Echo/Echo","data":"x","token":TOKEN}`
	echoes := &packet.Packet{CallID: 99, Action: echoSpec.Action}
	return []hostile{
		{name: "unknown kind", attack: asks(`{"id":3,"kind":"exploit","action":"bank.Bank/Look","token":TOKEN}`), want: said{"unimplemented", "the packet's kind is not known here"}},
		{name: "unknown kind of a number", attack: asksBinary(&packet.Packet{Kind: 77, CallID: 3, Action: lookSpec.Action}), want: said{"unimplemented", "packets of kind 77 are not known here"}},
		{name: "half-close twice", attack: tells(talk, `{"id":3,"kind":"half-close"}`, `{"id":3,"kind":"half-close"}`), want: said{answered, ""}},
		{name: "message after half-close", attack: tells(`{"id":3,"action":"test.Hold/Talk","token":TOKEN}`, `{"id":3,"kind":"message","data":"x"}`, `{"id":3,"kind":"half-close"}{"id":3,"kind":"message","data":"x"}`), want: said{argument, "a message came after the half-close"}},
		{name: "half-close of a unary call", attack: tells(hold, `{"id":3,"kind":"half-close"}`), want: said{argument, "test.Hold/Hold has one request, which ends by itself"}},
		{name: "half-close of no call", attack: asks(`{"id":3,"kind":"half-close"}`), want: said{"failed_precondition", "call 3 is not open"}},
		{name: "message of no call", attack: asks(`{"id":3,"kind":"message","data":"x"}`), want: said{"failed_precondition", "call 3 is not open"}},
		{name: "message of a unary call", attack: tells(hold, `{"id":3,"kind":"message","data":"x"}`), want: said{argument, "test.Hold/Hold has one request and takes no messages"}},
		{name: "response to a call never made", attack: tells(`{"id":4,"kind":"response","data":"x"}`, `{"id":2,"kind":"response"}`, `{"id":0,"kind":"response"}`, echo), want: said{answered, ""}},
		{name: "error to a call never made", attack: tells(`{"id":4,"kind":"error","status":"internal"}`, `{"kind":"error"}`, echo), want: said{answered, ""}},
		{name: "message to a call never made", attack: tells(`{"id":4,"kind":"message","data":"x"}`, echo), want: said{answered, ""}},
		{name: "ack of everything", attack: tells(`{"kind":"ack","acknowledged":9007199254740991}`, echo), want: said{answered, ""}},
		{name: "drain, and calls after it", attack: tells(`{"kind":"drain","reason":"x"}`, `{"kind":"drain"}`, echo), want: said{answered, ""}},
		{name: "close, and calls after it", attack: tells(`{"kind":"close"}`, `{"id":3,"action":"bank.Bank/Look","data":"x","token":TOKEN}`), want: said{closed, ""}},
		{name: "ping with the id of a call", attack: asks(`{"id":3,"kind":"ping"}`), want: said{"pong", ""}},
		{name: "ping of 1,025 bytes", attack: asks(`{"id":9,"kind":"ping","data":"` + strings.Repeat("x", 1023) + `"}`), want: said{"resource_exhausted", "the ping has 1025 bytes of data; it may have 1024"}},
		{name: "cancel of calls never opened", attack: tells(strings.Repeat(`{"id":3,"kind":"cancel"}{"id":99999,"kind":"cancel"}{"kind":"cancel"}`, 1000), ping), want: said{"pong", ""}},
		{name: "id used twice at once", attack: tells(hold, hold), want: said{argument, "call 3 is open already"}},
		{name: "request with id 0 in binary", attack: asksBinary(&packet.Packet{Action: lookSpec.Action}), want: said{argument, "a request needs a call id"}},
		{name: "call id of 2^64-1", attack: asksBinary(&packet.Packet{CallID: 1<<64 - 1, Action: lookSpec.Action}), want: said{argument, "call id 18446744073709551615 is above 2^53-1"}},
		{name: "unary request without an action", attack: asks(`{"id":3,"data":"x","token":TOKEN}`), want: said{argument, "the packet names no action"}},
		{name: "data on the request of a stream", attack: asks(`{"id":3,"action":"test.Hold/Talk","data":"x","token":TOKEN}`), want: said{argument, "the request of test.Hold/Talk carries no data"}},
		{name: "stream without an id", attack: asks(`{"action":"test.Hold/Talk","token":TOKEN}`), want: said{argument, "a stream needs a call id"}},
		{name: "stream on a plain connection", attack: asksPlain(`{"action":"test.Hold/Talk","token":TOKEN}`), want: said{"unimplemented", `action "test.Hold/Talk" streams; shake hands with "version":1 to call it`}},
		{name: "binary packet that is not protobuf", attack: writesBinary("\x05\xff\xff\xff\xff\xff"), want: said{argument, "malformed packet: not protobuf"}},
		{name: "binary data that is not protobuf", attack: asksBinary(&packet.Packet{CallID: 3, Action: lookSpec.Action, Data: []byte{0xff}}), want: said{argument, "the data is no google.protobuf.StringValue"}},
		{name: "binary action that is not UTF-8", attack: writesBinary("\x09\x30\x03\x0a\x05bank\xff"), want: said{argument, "malformed packet: field 1 (action): not UTF-8"}},
		{name: "length of 2^53+1 after the handshake", attack: writesBinary("\x81\x80\x80\x80\x80\x80\x80\x10"), want: said{closed, "the length of a packet is not a number up to 2^53"}},
		{name: "credit for everything", attack: tellsBinary(
			&packet.Packet{Kind: packet.KindCredit, Credit: 1<<64 - 1}, &packet.Packet{Kind: packet.KindCredit, Credit: 1<<64 - 1},
			&packet.Packet{Kind: packet.KindCredit, CallID: 2, Credit: 1 << 63}, &packet.Packet{Kind: packet.KindCredit, CallID: 3, Credit: 1 << 63}, echoes), want: said{answered, ""}},
	}
}
