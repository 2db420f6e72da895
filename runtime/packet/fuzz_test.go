package packet_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// FuzzParseBinary holds ParseBinary against protobuf: the same bytes are
// accepted, apart from what only packets forbid, and say the same.
func FuzzParseBinary(f *testing.F) {
	p := full()
	f.Add(packet.AppendBinary(nil, p)[2:])
	f.Add([]byte("\x0b\x08\x01\x0c\x08\x05\xfa\x7f\x02zz\xf8\x7f\x05\x35abcd"))
	f.Add([]byte("\x52\x08\x08\x01\x0a\x01a\x12\x01b\x19\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var want packetrpcv1.Packet
		wantErr := proto.Unmarshal(text, &want)
		got := *full()
		gotErr := packet.ParseBinary(&got, text)
		forbidden := want.GetCreated() > math.MaxInt64 ||
			slices.ContainsFunc(want.GetMetadata(), func(pair *packetrpcv1.Metadata) bool {
				return !packetrpc.ValidMetadataKey(pair.GetKey())
			})
		if refused := wantErr != nil || forbidden; refused != (gotErr != nil) {
			t.Fatalf("protobuf: %v, forbidden: %t, ParseBinary: %v", wantErr, forbidden, gotErr)
		}
		if gotErr != nil {
			return
		}
		sameProto(t, normalize(&want), normalize(toProto(&got)))
		var again packet.Packet
		if err := packet.ParseBinary(&again, body(t, packet.Binary, packet.AppendBinary(nil, &got))); err != nil {
			t.Fatal(err)
		}
		sameProto(t, normalize(toProto(&got)), normalize(toProto(&again)))
	})
}

// FuzzParseJSON holds ParseJSON against a reader made of encoding/json: the same
// text is accepted and says the same.
func FuzzParseJSON(f *testing.F) {
	p := full()
	f.Add(packet.AppendJSON(nil, p))
	f.Add([]byte(`{"action": "PACKETNAME", "data": {"example": 1}, "packet-created": 1712345678.9, "token": null}`))
	f.Add([]byte(`{"id":1.0,"timeout":1e-9,"retry-after":12345678901234567890123e-3,"kind":"x","more":false,"status":""}`))
	f.Add([]byte(`{"metadata":{"a":["1","\ud800"],"b":"2"},"details":[{"type":"a","value":"AQ"}],"\u0061":[1,{"a":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if hugeExponent(text) {
			t.Skip("takes the reference too long")
		}
		want, wantErr := referenceJSON(text)
		got := *full()
		gotErr := packet.ParseJSON(&got, text)
		if (wantErr != nil) != (gotErr != nil) {
			t.Fatalf("reference: %v, ParseJSON: %v", wantErr, gotErr)
		}
		if gotErr != nil {
			return
		}
		if diff := cmp.Diff(want, &got, compare); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if got.Kind == packet.KindUnknown {
			return
		}
		var again packet.Packet
		if err := packet.ParseJSON(&again, packet.AppendJSON(nil, &got)); err != nil {
			t.Fatal(err)
		}
		got.Metadata = sorted(got.Metadata)
		if got.Kind != packet.KindCancel && len(got.Data) == 0 {
			got.Data = again.Data
		}
		if diff := cmp.Diff(&got, &again, compare, cmp.FilterPath(isTypeURL, cmp.Ignore())); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// isTypeURL finds the type of a detail, of which the JSON form keeps only what
// stands behind the last slash.
func isTypeURL(path cmp.Path) bool { return strings.Contains(path.GoString(), `"type_url"`) }

// hugeExponent reports whether a number may be too long for math/big.
func hugeExponent(text []byte) bool {
	digits := 0
	for i, c := range text {
		if c|0x20 == 'e' {
			digits = 0
			for _, c := range text[i+1:] {
				if c >= '0' && c <= '9' {
					digits++
				} else if c != '+' && c != '-' {
					break
				}
			}
			if digits > 3 {
				return true
			}
		}
	}
	return false
}

var errReference = errors.New("refused")

// orderedObject returns the members of an object in their order.
func orderedObject(text []byte) (keys []string, values []json.RawMessage, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, nil, errReference
	}
	for d.More() {
		key, err := d.Token()
		if err != nil || slices.Contains(keys, key.(string)) {
			return nil, nil, errReference
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, nil, errReference
		}
		keys, values = append(keys, key.(string)), append(values, value)
	}
	return keys, values, nil
}

func depth(text []byte) (deepest int) {
	d := json.NewDecoder(bytes.NewReader(text))
	depth := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		deepest = max(deepest, depth)
	}
}

func referenceJSON(text []byte) (*packet.Packet, error) {
	if !utf8.Valid(text) || !json.Valid(text) || depth(text) > 512 {
		return nil, errReference
	}
	keys, values, err := orderedObject(text)
	if err != nil {
		return nil, err
	}
	p := &packet.Packet{Kind: packet.KindRequest}
	for i, key := range keys {
		if key == "data" {
			p.Data = values[i]
		} else if string(values[i]) == "null" {
			continue
		} else if err := referenceMember(p, key, values[i]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func referenceMember(p *packet.Packet, key string, raw json.RawMessage) (err error) {
	var more bool
	switch key {
	case "action":
		return json.Unmarshal(raw, &p.Action)
	case "token":
		return json.Unmarshal(raw, &p.Token)
	case "message":
		return json.Unmarshal(raw, &p.Message)
	case "reason":
		return json.Unmarshal(raw, &p.Reason)
	case "sealed":
		return json.Unmarshal(raw, &p.Sealed)
	case "may-have-run":
		return json.Unmarshal(raw, &p.MayHaveRun)
	case "more":
		if err := json.Unmarshal(raw, &more); err != nil || more {
			return errReference
		}
	case "kind":
		var name string
		err = json.Unmarshal(raw, &name)
		p.Kind = packet.KindUnknown
		for number, protoName := range packetrpcv1.Kind_name {
			if number != 0 && strings.ReplaceAll(strings.ToLower(protoName[len("KIND_"):]), "_", "-") == name {
				p.Kind = packet.Kind(number)
			}
		}
	case "status":
		var name string
		err = json.Unmarshal(raw, &name)
		p.Status = packetrpc.CodeUnknown
		for number, protoName := range packetrpcv1.Code_name {
			if number != 0 && strings.ToLower(protoName[len("CODE_"):]) == name {
				p.Status = packetrpc.Code(number)
			}
		}
	case "id":
		p.CallID, err = referenceInteger(raw, 1<<53-1)
	case "credit":
		p.Credit, err = referenceInteger(raw, 1<<53-1)
	case "sequence":
		p.Sequence, err = referenceInteger(raw, 1<<53-1)
	case "acknowledged":
		p.Acknowledged, err = referenceInteger(raw, 1<<53-1)
	case "number":
		var n uint64
		n, err = referenceInteger(raw, 1<<32-1)
		p.ActionNumber = uint32(n)
	case "packet-created":
		var micros *big.Int
		if micros, _, err = referenceSeconds(raw); err == nil {
			if !micros.IsInt64() {
				return errReference
			}
			p.Created = micros.Int64()
		}
	case "timeout":
		p.Timeout, err = referenceDuration(raw)
	case "retry-after":
		p.RetryAfter, err = referenceDuration(raw)
	case "metadata":
		return referenceMetadata(p, raw)
	case "details":
		return referenceDetails(p, raw)
	}
	return err
}

func referenceNumber(raw []byte) (*big.Rat, error) {
	number, ok := new(big.Rat).SetString(string(raw))
	if !ok || number.Sign() < 0 {
		return nil, errReference
	}
	return number, nil
}

func referenceInteger(raw []byte, most uint64) (uint64, error) {
	number, err := referenceNumber(raw)
	if err != nil || !number.IsInt() || number.Cmp(new(big.Rat).SetUint64(most)) > 0 {
		return 0, errReference
	}
	return number.Num().Uint64(), nil
}

func referenceSeconds(raw []byte) (micros *big.Int, nothing bool, err error) {
	number, err := referenceNumber(raw)
	if err != nil {
		return nil, false, err
	}
	nothing = number.Sign() == 0
	number.Mul(number, big.NewRat(1e6, 1))
	number.Add(number, big.NewRat(1, 2))
	return new(big.Int).Quo(number.Num(), number.Denom()), nothing, nil
}

func referenceDuration(raw []byte) (time.Duration, error) {
	micros, nothing, err := referenceSeconds(raw)
	switch {
	case err != nil:
		return 0, err
	case micros.Cmp(big.NewInt(math.MaxInt64/1000)) > 0:
		return math.MaxInt64, nil
	case micros.Sign() == 0 && !nothing:
		return time.Microsecond, nil
	default:
		return time.Duration(micros.Int64()) * time.Microsecond, nil
	}
}

func referenceMetadata(p *packet.Packet, raw []byte) error {
	keys, values, err := orderedObject(raw)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if !packetrpc.ValidMetadataKey(key) {
			return errReference
		}
		if values[i][0] == '"' {
			values[i] = slices.Concat([]byte("["), values[i], []byte("]"))
		}
		var texts []any
		if values[i][0] != '[' || json.Unmarshal(values[i], &texts) != nil {
			return errReference
		}
		for _, text := range texts {
			text, ok := text.(string)
			if !ok {
				return errReference
			}
			p.Metadata.Add(key, text)
		}
	}
	return nil
}

func referenceDetails(p *packet.Packet, raw []byte) error {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return errReference
	}
	for _, element := range elements {
		keys, values, err := orderedObject(element)
		if err != nil {
			return err
		}
		detail := new(anypb.Any)
		for i, key := range keys {
			if key != "type" && key != "value" || string(values[i]) == "null" {
				continue
			}
			var text string
			if json.Unmarshal(values[i], &text) != nil {
				return errReference
			}
			if key == "type" {
				detail.TypeUrl = "type.googleapis.com/" + text
				continue
			}
			unpadded := text
			if strings.HasSuffix(text, "=") && len(text)%4 == 0 {
				unpadded = strings.TrimSuffix(strings.TrimSuffix(text, "="), "=")
			}
			if detail.Value, err = base64.RawStdEncoding.DecodeString(unpadded); err != nil {
				return errReference
			}
		}
		p.Details = append(p.Details, detail)
	}
	return nil
}

// FuzzSplitter holds a Splitter that gets a stream in pieces against one that
// gets it whole.
func FuzzSplitter(f *testing.F) {
	p := full()
	f.Add(false, uint16(1000), uint64(1), slices.Concat(packet.AppendBinary(nil, p), packet.AppendBinary(nil, typical(packet.Binary))))
	f.Add(false, uint16(3), uint64(2), append([]byte("\x86\x20"), make([]byte, 5000)...))
	f.Add(true, uint16(1000), uint64(3), slices.Concat(packet.AppendJSON(nil, p), packet.AppendJSON(nil, typical(packet.JSON))))
	f.Add(true, uint16(9), uint64(4), []byte(` {"id":9,"a":["}\"",{}]} {} {"a\`))
	f.Fuzz(func(t *testing.T, jsonForm bool, limit uint16, seed uint64, stream []byte) {
		form := packet.Binary
		if jsonForm {
			form = packet.JSON
		}
		want := split(t, packet.NewSplitter(form, int(limit)), stream, all)
		r := rand.New(rand.NewPCG(seed, 0))
		most := 1 + r.IntN(200)
		got := split(t, packet.NewSplitter(form, int(limit)), stream, func() int { return 1 + r.IntN(most) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-whole +in pieces):\n%s", diff)
		}
	})
}
