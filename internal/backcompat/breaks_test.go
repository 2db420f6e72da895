package backcompat_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// brokenSet is the set that these tests break.
const brokenSet = "v1-2026-11-26/"

// TestBrokenRecordings: a replay that nothing can fail shows nothing. Each of these
// recordings is what another wire would have left, and the replay says where it is
// another one.
func TestBrokenRecordings(t *testing.T) {
	for _, test := range []struct {
		name, file string
		plays      side
		damage     damage
		want       []string // parts of the error
	}{
		// What today's server sends is compared.
		{"a field has another number", "unary.binary", theClient, renumber(5, 6, 26),
			[]string{"step 5, ", "of the server on connection 1", "26 was 3 and is not there", "6 call_id was not there and is 3"}},
		{"a kind has another number", "unary.binary", theClient, setVarint(5, 5, 14), []string{"step 5, ", "5 kind was 14 and is 5"}},
		{"a status has another number", "errors.binary", theClient, setVarint(5, 11, 10), []string{"step 5, ", "11 status was 10 and is 5"}},
		{"a field of the handshake has another number", "handshake.binary", theClient, renumberData(3, 7, 12),
			[]string{"step 3, ", "2.12 was ", "2.7 was not there"}},
		{"a key has another name", "unary.json", theClient, replace(4, `"kind"`, `"type"`), []string{"step 4, ", `type was "response" and is not there`}},
		{"a kind has another name", "streams.json", theClient, replace(10, `"message"`, `"item"`), []string{"step 10, ", `kind was "item" and is "message"`}},
		{"a status has another name", "errors.json", theClient, replace(4, `"not_found"`, `"missing"`), []string{"step 4, ", `status was "missing" and is "not_found"`}},
		{"a key of the handshake has another name", "handshake.json", theClient, replace(2, `"limits"`, `"bounds"`), []string{"step 2, ", "data.bounds was "}},
		{"a handler's words are others", "errors.json", theClient, replace(4, "not here", "gone"), []string{"step 4, ", "message was "}},
		{"metadata has another value", "metadata.json", theClient, replace(4, "q6ur", "q6us"), []string{"step 4, ", "metadata was "}},
		{"a reply has other data", "unary.json", theClient, replace(4, `"received":5`, `"received":6`), []string{"step 4, ", "data was "}},
		{"an answer is missing", "unary.json", theClient, repeat(4), []string{"step 5, ", "nothing comes for 10s"}},
		{"an answer is there that was not", "unary.json", theClient, drop(4), []string{"step 5, ", "id was 5 and is 3"}},
		{"the last answer is there and was not", "token.json", theClient, cutBefore(10), []string{"after the last step came response", "which was not recorded"}},
		{"pushes come in another order", "without-ids.json", theClient, swap(6, 7), []string{"step 6, ", "data was "}},
		{"the token is not taken", "unary.json", theClient, replace(3, `"token":"`, `"token":"X`), []string{"step 4, ", `status was not there and is "unauthenticated"`}},
		{"a push has another sequence", "resume.binary", theClient, setVarint(16, 16, 4), []string{"step 16, ", "on connection 2", "16 sequence was 4 and is 3"}},
		{"the session does not go on", "resume.json", theClient, replace(12, `"resumeToken":"`, `"resumeToken":"AAAA`), []string{"step 13, ", "data.resumed was true and is not there"}},
		{"a refusal is a packet", "refused.binary", theClient, setWhat(12, aPacket), []string{"step 12, ", "in its place came text"}},
		{"the connection goes on", "refused.binary", theClient, repeat(8), []string{"step 9, ", "in its place came end"}},

		// What today's client sends is compared.
		{"the preface has another version", "unary.binary", theServer, replace(1, "pkt\x01", "pkt\x02"), []string{"step 1, ", "the preface was f5 70 6b 74 02"}},
		{"the client's field has another number", "unary.binary", theServer, renumber(4, 4, 24), []string{"step 4, ", "of the client on connection 1", "24 was ", "4 token was not there"}},
		{"an action's number is another one", "unary.binary", theServer, setVarint(6, 8, 2), []string{"step 6, ", "8 action_number was 2 and is 1"}},
		{"the handshake tells another version", "handshake.json", theServer, replace(1, `"version":1`, `"version":2`), []string{"step 1, ", "data.version was 2 and is 1"}},
		{"a message is missing", "streams.json", theServer, repeat(5), []string{"step 6, "}},
		{"a cancel is not recorded", "cancel.json", theServer, drop(7), []string{"step 9, "}},
		{"a pong has other data", "drain.json", theServer, replace(8, `"drain"`, `"drained"`), []string{"step 8, ", `data was "drained" and is "drain"`}},
		{"a timeout is longer", "deadline.binary", theServer, setVarint(4, 9, 2_000_000), []string{"step 4, ", "9 timeout was 2000000 and is 1500000"}},
		{"a push more was acknowledged", "resume.binary", theServer, setVarint(18, 17, 5), []string{"step 18, ", "push 5 is not acknowledged, the last one is 4"}},
		{"a push less was acknowledged", "resume.binary", theServer, setVarint(18, 17, 3), []string{"step 18, ", "push 4 is acknowledged"}},
		{"the server gives no credit", "credit.json", theServer, dropKind(theServer, packet.KindCredit), []string{"nothing comes for 10s"}},

		// What today's client makes of what the server sends is checked by the scenario.
		{"a reply is another one", "unary.json", theServer, replace(4, `"received":5`, `"received":6`), []string{"what the client gets: the size that the handler received is 6, want 5"}},
		{"a failure is another one", "errors.json", theServer, replace(4, `"not_found"`, `"aborted"`), []string{"what the client gets: with a code: it failed with aborted"}},
		{"details are missing", "errors.json", theServer, replace(6, `"details"`, `"detail"`), []string{"what the client gets: with details: the details are []"}},
		{"a push is another one", "broadcast.json", theServer, replaceAll("to lobby", "to nobody"), []string{"what the client gets: the note is to nobody, want to lobby"}},
		{"the session has not gone on", "resume.json", theServer, replace(13, `"resumed":true`, `"resumed":false`), []string{"what the client gets: the session does not go on"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := readRecording(t, brokenSet+test.file+".txt")
			test.damage(t, r)
			err := replay(t, r, test.plays)
			if err == nil {
				t.Fatal("the replay does not notice")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want an error with %q", err, part)
				}
			}
		})
	}
}

// damage is done to a recording, whose steps are counted from 1.
type damage = func(*testing.T, *recording)

// edit changes the body of a binary packet.
func edit(number int, change func(*testing.T, []byte) []byte) damage {
	return func(t *testing.T, r *recording) {
		s := &r.steps[number-1]
		s.raw = protowire.AppendBytes(nil, change(t, s.body(r.form)))
	}
}

// renumber gives a field of a binary packet another number.
func renumber(step int, from, to protowire.Number) damage {
	return edit(step, eachField(from, func(typ protowire.Type, value []byte) []byte {
		return append(protowire.AppendTag(nil, to, typ), value...)
	}))
}

// renumberData does so in the data of the packet.
func renumberData(step int, from, to protowire.Number) damage {
	return func(t *testing.T, r *recording) {
		edit(step, eachField(2, func(typ protowire.Type, value []byte) []byte {
			data, _ := protowire.ConsumeBytes(value)
			inner := eachField(from, func(typ protowire.Type, value []byte) []byte {
				return append(protowire.AppendTag(nil, to, typ), value...)
			})
			return protowire.AppendBytes(protowire.AppendTag(nil, 2, typ), inner(t, data))
		}))(t, r)
	}
}

// setVarint gives a field of a binary packet another value.
func setVarint(step int, number protowire.Number, value uint64) damage {
	return edit(step, eachField(number, func(typ protowire.Type, _ []byte) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, number, typ), value)
	}))
}

// eachField replaces the fields of a number.
func eachField(number protowire.Number, change func(protowire.Type, []byte) []byte) func(*testing.T, []byte) []byte {
	return func(t *testing.T, message []byte) []byte {
		var out []byte
		found := false
		for len(message) > 0 {
			n, typ, tag := protowire.ConsumeTag(message)
			size := tag + protowire.ConsumeFieldValue(n, typ, message[tag:])
			if n == number {
				found = true
				out = append(out, change(typ, message[tag:size])...)
			} else {
				out = append(out, message[:size]...)
			}
			message = message[size:]
		}
		if !found {
			t.Fatalf("there is no field %d", number)
		}
		return out
	}
}

// replace replaces a text in a step.
func replace(step int, from, to string) damage {
	return func(t *testing.T, r *recording) {
		s := &r.steps[step-1]
		if !bytes.Contains(s.raw, []byte(from)) {
			t.Fatalf("step %d has no %q: %q", step, from, s.raw)
		}
		s.raw = bytes.Replace(s.raw, []byte(from), []byte(to), 1)
	}
}

// replaceAll replaces a text in all steps.
func replaceAll(from, to string) damage {
	return func(t *testing.T, r *recording) {
		for i := range r.steps {
			r.steps[i].raw = bytes.ReplaceAll(r.steps[i].raw, []byte(from), []byte(to))
		}
	}
}

func setWhat(step int, what string) damage {
	return func(_ *testing.T, r *recording) { r.steps[step-1].what = what }
}

func repeat(step int) damage {
	return func(_ *testing.T, r *recording) { r.steps = slices.Insert(r.steps, step, r.steps[step-1]) }
}

func drop(step int) damage {
	return func(_ *testing.T, r *recording) { r.steps = slices.Delete(r.steps, step-1, step) }
}

func dropKind(from side, kind packet.Kind) damage {
	return func(_ *testing.T, r *recording) {
		r.steps = slices.DeleteFunc(r.steps, func(s step) bool { return s.from == from && s.packet(r.form).Kind == kind })
	}
}

func cutBefore(step int) damage {
	return func(_ *testing.T, r *recording) { r.steps = r.steps[:step-1] }
}

func swap(first, second int) damage {
	return func(_ *testing.T, r *recording) {
		r.steps[first-1], r.steps[second-1] = r.steps[second-1], r.steps[first-1]
	}
}
